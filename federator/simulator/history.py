"""What a run was like over time: averages over a bounded number of spans of time, however long it is and however much
happens in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Key = tuple[str, str]
SPANS = 512
"""At most so many spans of time are told apart; a run that gets longer makes them twice as long."""
MOST_NAMES = 256
"""At most so many names of one kind are told apart; those that come later are ``OTHERS``."""
OTHERS = "(others)"


class History:
    """Values that change in steps, by kind and name.

    Of each span are kept the sum of the changes in it, and what these add to the integral until its end: both are sums,
    so that two spans become one exactly.
    """

    def __init__(self, span_s: float = 1.0) -> None:
        self.span_s = span_s
        """How long each span is by now."""
        self._rows: dict[Key, int] = {}
        self._names: dict[str, int] = {}
        self._changes = np.zeros((16, SPANS))
        self._areas = np.zeros((16, SPANS))

    def lasted(
        self, keys: Sequence[Key], starts_s: Sequence[float], ends_s: Sequence[float], amounts: Sequence[float]
    ) -> None:
        """So much of each of these (a kind and a name) has lasted from then to then."""
        if not keys:
            return
        row_of = {key: self._row(*key) for key in dict.fromkeys(keys)}
        rows = np.fromiter(map(row_of.__getitem__, keys), dtype=np.int64, count=len(keys))
        starts, ends, by = np.array(starts_s), np.array(ends_s), np.array(amounts)
        self._widen(float(ends.max()))
        self._add(rows, starts, by)
        self._add(rows, ends, -by)

    def changed(self, kind: str, name: str, at_s: float, by: float) -> None:
        """It has changed by so much for good; or, of what is counted, so many came."""
        self._widen(at_s)
        self._add(np.array([self._row(kind, name)]), np.array([at_s]), np.array([by]))

    def names(self, kind: str) -> list[str]:
        """The names of a kind, in the order in which they came."""
        return [name for one, name in self._rows if one == kind]

    def means(self, kind: str, name: str, until_s: float) -> Array:
        """Its average in each span; the last ends with the run. Of a name that never came, zeros."""
        starts = self.starts_s(until_s)
        changes, areas = (one[: len(starts)] for one in self._of(kind, name))
        missing_s = np.maximum(0.0, starts + self.span_s - until_s)
        before = np.cumsum(changes) - changes
        found: Array = before + (areas - changes * missing_s) / np.maximum(self.span_s - missing_s, 1e-9)
        return found

    def counts(self, kind: str, name: str, until_s: float) -> Array:
        """How many came in each span."""
        spans = len(self.starts_s(until_s))
        changes, _ = self._of(kind, name)
        counted = changes[:spans].copy()
        counted[-1] += changes[spans:].sum()  # at the very end
        return counted

    def starts_s(self, until_s: float) -> Array:
        """When the spans of a run that ends then begin."""
        self._widen(until_s)
        spans = max(1, int(np.ceil(until_s / self.span_s)))
        found: Array = np.arange(spans, dtype=np.float64) * self.span_s
        return found

    def _row(self, kind: str, name: str) -> int:
        row = self._rows.get((kind, name))
        if row is None:
            if self._names.get(kind, 0) >= MOST_NAMES and name != OTHERS:
                return self._row(kind, OTHERS)
            self._names[kind] = self._names.get(kind, 0) + 1
            row = self._rows[kind, name] = len(self._rows)
            if row >= len(self._changes):
                more = np.zeros((len(self._changes), SPANS))
                self._changes, self._areas = np.vstack((self._changes, more)), np.vstack((self._areas, more))
        return row

    def _of(self, kind: str, name: str) -> tuple[Array, Array]:
        row = self._rows.get((kind, name))
        if row is None:
            return np.zeros(SPANS), np.zeros(SPANS)
        return self._changes[row], self._areas[row]

    def _add(self, rows: NDArray[np.int64], at_s: Array, by: Array) -> None:
        spans = np.minimum((at_s / self.span_s).astype(np.int64), SPANS - 1)
        np.add.at(self._changes, (rows, spans), by)
        np.add.at(self._areas, (rows, spans), by * ((spans + 1) * self.span_s - at_s))

    def _widen(self, until_s: float) -> None:
        """Make two spans one until this moment is in one."""
        while until_s > SPANS * self.span_s:
            first, second = self._changes[:, ::2], self._changes[:, 1::2]
            areas = self._areas[:, ::2] + first * self.span_s + self._areas[:, 1::2]
            empty = np.zeros((len(first), SPANS // 2))
            self._changes, self._areas = np.hstack((first + second, empty)), np.hstack((areas, empty))
            self.span_s *= 2
