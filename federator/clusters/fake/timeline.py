"""What will happen at a fake cluster, in the order of its times."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

Act = Callable[[float], None]
"""Something that happens; it is told when."""


class Timeline:
    """Things to come. Those of one time happen in the order in which they were planned."""

    def __init__(self) -> None:
        self._plans: list[tuple[float, int, Act]] = []
        self._number = itertools.count()

    def __len__(self) -> int:
        return len(self._plans)

    def later(self, at_s: float, act: Act) -> None:
        """Let something happen at a time."""
        heapq.heappush(self._plans, (at_s, next(self._number), act))

    def run(self, now_s: float) -> None:
        """Let happen all that was to happen until now, at its own time."""
        while self._plans and self._plans[0][0] <= now_s:
            at_s, _, act = heapq.heappop(self._plans)
            act(at_s)

    @property
    def next_s(self) -> float | None:
        """When the next thing happens; None: nothing will."""
        return self._plans[0][0] if self._plans else None
