"""What a limit by name left at a role's turn, and why no more of the role may start, in numbers and names."""

from __future__ import annotations

from dataclasses import dataclass

from federator.engine.arrays import Array
from federator.model.reasons import Reason, Verdict

_TOLD = 3
"""So many of the workloads that hold a limit are named."""

Taken = list[tuple[str, int, Array]]
"""Who took how much of a limit, in all and by cluster, in the order it was taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Holders:
    """Who held most of a limit (``at`` one cluster, or in all), when the first ``upto`` had taken theirs."""

    taken: Taken
    upto: int
    at: int | None = None

    def __str__(self) -> str:
        held: dict[str, int] = {}
        for workload, in_all, on in self.taken[: self.upto]:
            held[workload] = held.get(workload, 0) + (in_all if self.at is None else int(on[self.at]))
        largest = sorted((-amount, name) for name, amount in held.items() if amount > 0)
        words = [f"{name} {-amount}" for amount, name in largest[:_TOLD]]
        if others := largest[_TOLD:]:
            words.append(f"others {-sum(amount for amount, _ in others)}")
        return f" (held by {', '.join(words)})" if words else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Holders) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True, slots=True, eq=False)
class LimitLeft:
    """What is ``left`` of a limit on each cluster, and what is ``needed`` there for the next replica or for a whole
    gang; a replica that starts takes ``each`` of it."""

    name: str
    each: int
    needed: Array
    left: Array
    taken: Taken
    upto: int

    def reached(self, at: int, grown: int) -> Verdict | None:
        """Why no more starts on the cluster, where so many more replicas do; None where it may."""
        left, needed = int(self.left[at]) - grown * self.each, int(self.needed[at])
        holders = Holders(self.taken, self.upto, at)
        return None if left >= needed else limit_reached(self.name, left, needed, holders)


def limit_reached(name: str, left: int, needed: int, holders: Holders) -> Verdict:
    """The reason, with its numbers."""
    where = "in all" if holders.at is None else "on this cluster"
    return Verdict(
        Reason.LIMIT_REACHED,
        {"name": name, "left": max(0, left), "needed": needed, "where": where, "who": holders},
    )
