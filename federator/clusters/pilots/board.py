"""How each replica of one order stands, so that an order of hundreds of thousands is told in milliseconds. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from federator.model.indexset import IndexSet
from federator.turns import Turns

_PIECE = 4096
_AT_ONCE = 4096
"""Ranges that are made in one go."""


class Standing(IntEnum):
    """Of one replica."""

    NOWHERE = 0
    """In nobody's hands, and not ended."""
    HANDED = 1
    """Leased; its pilot has not said that it runs."""
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4


_HELD = (Standing.HANDED, Standing.RUNNING)


class Board:
    """One byte for each index, in pieces: those that were never in anybody's hands take none."""

    def __init__(self) -> None:
        self._pieces: dict[int, npt.NDArray[np.uint8]] = {}
        self.held = 0
        """How many are in pilots' hands."""

    def mark(self, index: int, standing: Standing) -> None:
        """A replica stands otherwise now."""
        at, within = divmod(index, _PIECE)
        piece = self._pieces.get(at)
        if piece is None:
            piece = self._pieces[at] = np.zeros(_PIECE, np.uint8)
        self.held += (standing in _HELD) - (int(piece[within]) in _HELD)
        piece[within] = standing

    def copy(self) -> Board:
        """As it stands now: what is read of it at leisure is of one instant."""
        one = Board()
        one._pieces = {at: piece.copy() for at, piece in self._pieces.items()}
        return one

    async def all(self, standing: Standing, turns: Turns) -> IndexSet:
        """Those that stand so. Rests: ask a copy."""
        starts, stops = _ranges(self._indices(lambda piece: piece == standing))
        ranges: list[tuple[int, int]] = []
        for at in range(0, starts.size, _AT_ONCE):
            if turns.due:
                await turns.rest()
            part = slice(at, at + _AT_ONCE)
            ranges.extend(zip(starts[part].tolist(), stops[part].tolist(), strict=True))
        return IndexSet(tuple(ranges))

    def free_of(self, wanted: IndexSet) -> IndexSet:
        """Those of the wanted that stand nowhere."""
        taken = self._indices(lambda piece: piece != Standing.NOWHERE)
        if not taken.size:
            return wanted
        free = _laid_out(wanted, int(taken[-1]) + 1)
        free[taken] = False
        starts, stops = _ranges(np.flatnonzero(free))
        beyond = wanted - IndexSet.span(0, free.size)
        return IndexSet(tuple(zip(starts.tolist(), stops.tolist(), strict=True))) | beyond

    def held_but(self, wanted: IndexSet) -> npt.NDArray[np.int64]:
        """Those in pilots' hands that are none of the wanted."""
        held = self._indices(lambda piece: np.isin(piece, _HELD))
        return held[~_laid_out(wanted, int(held[-1]) + 1)[held]] if held.size else held

    def _indices(self, chosen: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.bool_]]) -> npt.NDArray[np.int64]:
        found = [np.flatnonzero(chosen(piece)) + at * _PIECE for at, piece in sorted(self._pieces.items())]
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def _ranges(indices: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the ranges of sorted indices begin, and where they end."""
    if not indices.size:
        return indices, indices
    breaks = np.flatnonzero(np.diff(indices) != 1)
    return indices[np.concatenate(([0], breaks + 1))], indices[np.concatenate((breaks, [indices.size - 1]))] + 1


def _laid_out(indices: IndexSet, count: int) -> npt.NDArray[np.bool_]:
    """Whether each of the first so many is in the set."""
    told = np.zeros(count, np.bool_)
    for start, stop in indices.ranges:
        told[start:stop] = True
    return told
