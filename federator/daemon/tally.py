"""What fillers have used and lost on each cluster, and why they had to end, since the daemon began."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Spent(NamedTuple):
    """What replicas of a filler have used, in CPU seconds, when they ended; ``cause``: why, if not by themselves."""

    cluster: str
    filler: str
    useful_s: float
    lost_s: float
    cause: str
    replicas: int


@dataclass(slots=True)
class Tally:
    """Sums of what was spent. ``evictions`` are replicas that ended before their time, by cause."""

    useful_s: float = 0.0
    lost_s: float = 0.0
    evictions: Counter[str] = field(default_factory=Counter)

    def add(self, one: Spent) -> None:
        """Count what has ended."""
        self.useful_s += one.useful_s
        self.lost_s += one.lost_s
        if one.cause:
            self.evictions[one.cause] += one.replicas

    def shown(self) -> dict[str, Any]:
        """For people, in CPU seconds."""
        return {
            "usefulCpuSeconds": round(self.useful_s, 1),
            "lostCpuSeconds": round(self.lost_s, 1),
            "evictions": dict(sorted(self.evictions.items())),
        }


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum of several."""
    whole = Tally()
    for one in tallies:
        whole.useful_s += one.useful_s
        whole.lost_s += one.lost_s
        whole.evictions.update(one.evictions)
    return whole
