"""How each replica of one order stands, so that an order of hundreds of thousands is told in milliseconds. Pure."""

from __future__ import annotations

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


class Board:
    """One byte for each index, in pieces: those that were never in anybody's hands take none."""

    def __init__(self) -> None:
        self._pieces: dict[int, npt.NDArray[np.uint8]] = {}

    def mark(self, index: int, standing: Standing) -> None:
        """A replica stands otherwise now."""
        at, within = divmod(index, _PIECE)
        piece = self._pieces.get(at)
        if piece is None:
            piece = self._pieces[at] = np.zeros(_PIECE, np.uint8)
        piece[within] = standing

    def copy(self) -> Board:
        """As it stands now: what is read of it at leisure is of one instant."""
        one = Board()
        one._pieces = {at: piece.copy() for at, piece in self._pieces.items()}
        return one

    async def all(self, standing: Standing, turns: Turns) -> IndexSet:
        """Those that stand so. Rests: ask a copy."""
        indices = self._indices(standing)
        if not indices.size:
            return IndexSet()
        breaks = np.flatnonzero(np.diff(indices) != 1)
        starts = indices[np.concatenate(([0], breaks + 1))]
        stops = indices[np.concatenate((breaks, [indices.size - 1]))] + 1
        ranges: list[tuple[int, int]] = []
        for at in range(0, starts.size, _AT_ONCE):
            if turns.due:
                await turns.rest()
            part = slice(at, at + _AT_ONCE)
            ranges.extend(zip(starts[part].tolist(), stops[part].tolist(), strict=True))
        return IndexSet(tuple(ranges))

    def taken(self) -> IndexSet:
        """Those that stand anywhere."""
        return IndexSet.of(self._indices(None).tolist())

    def _indices(self, standing: Standing | None) -> npt.NDArray[np.int64]:
        found = [
            np.flatnonzero(piece if standing is None else piece == standing) + at * _PIECE
            for at, piece in sorted(self._pieces.items())
        ]
        return np.concatenate(found) if found else np.zeros(0, np.int64)
