"""How much more of a cluster others came to use, within minutes and within hours: learnt look by look. Pure: the time
comes with each look.

Time is cut into slots of five minutes. Of each is kept what was free when it began, and the least that was free in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from federator.engine.arrays import Array
from federator.model.cluster import Rise
from federator.model.resources import Resources

SLOT_S = 300
SLOTS_A_DAY = 86_400 // SLOT_S
DAYS = 7
KEPT = DAYS * SLOTS_A_DAY + SLOTS_A_DAY // 4
"""A week, and as much more as the longest time that is asked for."""
WITHIN = (1, 3, 12, 48)
"""The times within which it is told, in slots: 5 and 15 minutes, 1 and 4 hours."""
RECENT = 24
"""So many slots lately are looked at for each ..."""
AROUND = (-3, 0, 3)
"""... and these of each earlier day, from the same time of day."""


class Learnt(NamedTuple):
    """All that is known of one cluster, to be kept. ``rows`` are slots, the oldest first and the last ``slot``; their
    columns: of each resource what was free at its beginning, of each the least, and whether anything is known of it."""

    names: tuple[str, ...]
    slot: int
    rows: Array


class UseHistory:
    """Of one cluster. What was free at a look is taken to have stayed so until the next one; but of the time from what
    was kept to the first look after it nothing is known."""

    def __init__(self, ahead_s: float = 0.0, learnt: Learnt | None = None) -> None:
        """Its slots begin so much earlier than those of others: not all clusters are reckoned anew in one moment.
        ``learnt``: it goes on from that."""
        self._ahead_s = ahead_s
        self._names: tuple[str, ...] = ()
        self._first = self._least = np.zeros((KEPT, 0), dtype=np.int64)
        self._slot = self._since = -1
        """The slot of the last look, and the first of which anything is known."""
        self._free = np.zeros(0, dtype=np.int64)
        self._told: tuple[Rise, ...] = ()
        self._known = np.zeros(KEPT, dtype=bool)
        self._resumed = learnt is not None and len(learnt.rows) > 0
        """Whether it was not looked at since it goes on from what was kept."""
        if learnt is not None and self._resumed:
            self._resume(learnt)

    def _resume(self, learnt: Learnt) -> None:
        self._name(Resources.of(dict.fromkeys(learnt.names, 1)))
        rows, many = learnt.rows[-KEPT:], len(learnt.names)
        self._slot, self._since = learnt.slot, learnt.slot - len(rows) + 1
        at = np.arange(self._since, self._slot + 1) % KEPT
        order = [learnt.names.index(name) for name in self._names]
        self._first[at], self._least[at] = rows[:, :many][:, order], rows[:, many:-1][:, order]
        self._known[at] = rows[:, -1] != 0
        self._free = self._least[self._slot % KEPT].copy()

    def learnt(self) -> Learnt | None:
        """What it knows, to be kept; None: nothing yet."""
        if self._slot < 0:
            return None
        at = np.arange(self._since, self._slot + 1) % KEPT
        known = self._known[at, None].astype(np.int64)
        return Learnt(self._names, self._slot, np.hstack([self._first[at], self._least[at], known]))

    @property
    def slot(self) -> int:
        """The slot of the last look; -1: there was none."""
        return self._slot

    def kept_since(self, since_s: float) -> Iterator[tuple[float, Resources]]:
        """Before the first look after what was kept: until when what was free, of the slots that end after a time."""
        for slot in range(self._since, self._slot + 1) if self._resumed else ():
            until_s = (slot + 1) * SLOT_S - self._ahead_s
            if until_s > since_s and self._known[slot % KEPT]:
                yield until_s, Resources.of(zip(self._names, self._least[slot % KEPT].tolist(), strict=True))

    def see(self, at_s: float, free: Resources) -> tuple[Rise, ...]:
        """Take in what is free now; what is known of rises."""
        slot = int((at_s + self._ahead_s) // SLOT_S)
        if not set(free) <= set(self._names):
            self._name(free)
        if self._slot < 0:
            self._since = self._slot = slot
            self._free = self._amounts(free)
            self._first[slot % KEPT] = self._least[slot % KEPT] = self._free
            self._known[slot % KEPT] = True
        if self._resumed:
            self._free = self._amounts(free)
        if slot > self._slot or self._resumed:
            for each in range(max(self._slot + 1, slot - KEPT + 1), slot + 1):
                self._first[each % KEPT] = self._least[each % KEPT] = self._free
                self._known[each % KEPT] = each == slot or not self._resumed
            self._slot = max(slot, self._slot)
            self._since = max(self._since, self._slot - KEPT + 1)
            rises = (self._rise(length) for length in WITHIN if self._slot - length >= self._since)
            self._told = tuple(rise for rise in rises if rise.samples)
        self._resumed = False
        self._free = self._amounts(free)
        np.minimum(self._least[self._slot % KEPT], self._free, out=self._least[self._slot % KEPT])
        return self._told

    @property
    def next_s(self) -> float:
        """When it knows more."""
        return float((self._slot + 1) * SLOT_S) - self._ahead_s

    def _name(self, free: Resources) -> None:
        """More resources than before: nothing of them was free."""
        names = tuple(sorted({*self._names, *free}))
        for what in ("_first", "_least", "_free"):
            old = getattr(self, what)
            new = np.zeros((*old.shape[:-1], len(names)), dtype=np.int64)
            new[..., [names.index(name) for name in self._names]] = old
            setattr(self, what, new)
        self._names = names

    def _amounts(self, free: Resources) -> Array:
        return np.array([free[name] for name in self._names], dtype=np.int64)

    def _rise(self, length: int) -> Rise:
        begins = [self._slot - length - back for back in range(RECENT)]
        begins += [self._slot - day * SLOTS_A_DAY + by for day in range(1, DAYS + 1) for by in AROUND]
        inside = np.array([b for b in begins if self._since <= b <= self._slot - length], dtype=np.int64)
        known = inside[self._known[(inside[:, None] + np.arange(length)) % KEPT].all(axis=1)]
        least = self._least[(known[:, None] + np.arange(length)) % KEPT].min(axis=1)
        by = np.maximum(self._first[known % KEPT] - least, 0)
        counts = Counter(map(tuple, by.tolist()))
        samples = ((Resources.of(zip(self._names, amounts, strict=True)), n) for amounts, n in sorted(counts.items()))
        return Rise(float(length * SLOT_S), tuple(samples))
