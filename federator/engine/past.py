"""What was free at many moments of one plan, kept as what changed from each to the next."""

from __future__ import annotations

from federator.engine.arrays import Array

_WHOLE = 64
"""Every so many moments, all of it is kept."""


class Past:
    """By moment, an array that changes in a few of its lines from one to the next."""

    def __init__(self) -> None:
        self._wholes: list[Array] = []
        self._changes: list[tuple[Array, Array]] = []
        self._last: Array | None = None

    def add(self, seen: Array) -> int:
        """The number of this moment."""
        if self._last is None or len(self._changes) % _WHOLE == 0:
            self._wholes.append(seen.copy())
            self._changes.append((seen[:0, 0], seen[:0]))
        else:
            lines = (seen != self._last).any(axis=1).nonzero()[0]
            self._changes.append((lines, seen[lines]))
        self._last = seen.copy()
        return len(self._changes) - 1

    def at(self, moment: int) -> Array:
        """What was seen then."""
        seen = self._wholes[moment // _WHOLE].copy()
        for lines, values in self._changes[moment // _WHOLE * _WHOLE : moment + 1]:
            seen[lines] = values
        return seen
