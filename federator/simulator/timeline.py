"""What happens when. At one moment arrivals come first, then ends, then all else; of those, what was noted first."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

ARRIVAL, END, OTHER = 0, 1, 2
Act = Callable[[float], None]


class Timeline:
    """Acts by their moments. It knows no time but that of what it is given."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Act]] = []
        self._noted = 0

    def at(self, at_s: float, rank: int, act: Act) -> None:
        """Note what is to be done then."""
        self._noted += 1
        heappush(self._heap, (at_s, rank, self._noted, act))

    @property
    def next_s(self) -> float | None:
        """The moment of the next act."""
        return self._heap[0][0] if self._heap else None

    def do_next(self) -> None:
        """Do the next act."""
        at_s, _, _, act = heappop(self._heap)
        act(at_s)
