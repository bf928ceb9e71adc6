"""The least that was free of a cluster lately, kept up look by look. Pure: the time comes with each look."""

from __future__ import annotations

from collections import deque
from math import inf

from federator.model.resources import Resources

ROUNDED_S = 1e-6
"""So far sums of times may be from each other; ``for_s`` is longer."""


class LeastFree:
    """Of the last ``for_s`` seconds. What was free at a look is taken to have stayed so until the next one."""

    def __init__(self, for_s: float) -> None:
        self.for_s = for_s
        self._seen: dict[str, deque[tuple[float, int]]] = {}
        """By resource: until when it was so, and how much, rising; the first is the least."""
        self._last: dict[str, int] = {}

    def see(self, at_s: float, free: Resources) -> Resources:
        """Take in what is free now; the least of all that the time has seen."""
        for name in {**self._last, **dict(free.items_)}:
            seen = self._seen.setdefault(name, deque())
            for amount in (self._last.get(name, free[name]), free[name]):
                while seen and seen[-1][1] >= amount:
                    seen.pop()
                seen.append((at_s, amount))
            while seen[0][0] <= at_s - self.for_s + ROUNDED_S:
                seen.popleft()
            self._last[name] = free[name]
        return Resources.of({name: seen[0][1] for name, seen in self._seen.items()})

    def was_s(self, resource: str) -> float | None:
        """Until when no more of a resource than the least was free: then use was highest. None: it was never seen."""
        seen = self._seen.get(resource)
        return seen[0][0] if seen else None

    @property
    def rises_s(self) -> float:
        """When the least will be more, if what is free stays as it is; infinity: never."""
        ends = (seen[0][0] + self.for_s for seen in self._seen.values() if len(seen) > 1)
        return min(ends, default=inf)
