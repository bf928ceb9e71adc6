"""How much more of a cluster others came to use, within minutes and within hours: learnt look by look. Pure: the time
comes with each look.

Time is cut into slots of five minutes. Of each is kept what was free when it began, and the least that was free in it.
"""

from __future__ import annotations

from collections import Counter

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


class UseHistory:
    """Of one cluster. What was free at a look is taken to have stayed so until the next one."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        """Its slots begin so much earlier than those of others: not all clusters are reckoned anew in one moment."""
        self._ahead_s = ahead_s
        self._names: tuple[str, ...] = ()
        self._first = self._least = np.zeros((KEPT, 0), dtype=np.int64)
        self._slot = self._since = -1
        """The slot of the last look, and the first of which anything is known."""
        self._free = np.zeros(0, dtype=np.int64)
        self._told: tuple[Rise, ...] = ()

    def see(self, at_s: float, free: Resources) -> tuple[Rise, ...]:
        """Take in what is free now; what is known of rises."""
        slot = int((at_s + self._ahead_s) // SLOT_S)
        if not set(free) <= set(self._names):
            self._name(free)
        if self._slot < 0:
            self._since = self._slot = slot
            self._free = self._amounts(free)
            self._first[slot % KEPT] = self._least[slot % KEPT] = self._free
        if slot > self._slot:
            for each in range(max(self._slot + 1, slot - KEPT + 1), slot + 1):
                self._first[each % KEPT] = self._least[each % KEPT] = self._free
            self._slot = slot
            self._since = max(self._since, slot - KEPT + 1)
            self._told = tuple(self._rise(length) for length in WITHIN if slot - length >= self._since)
        self._free = self._amounts(free)
        np.minimum(self._least[slot % KEPT], self._free, out=self._least[slot % KEPT])
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
        known = np.array([b for b in begins if self._since <= b <= self._slot - length], dtype=np.int64)
        least = self._least[(known[:, None] + np.arange(length)) % KEPT].min(axis=1)
        by = np.maximum(self._first[known % KEPT] - least, 0)
        counts = Counter(map(tuple, by.tolist()))
        samples = ((Resources.of(zip(self._names, amounts, strict=True)), n) for amounts, n in sorted(counts.items()))
        return Rise(float(length * SLOT_S), tuple(samples))
