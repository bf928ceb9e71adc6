"""What a simulated cluster has of an intent: replicas that start and end together, and their seats."""

from __future__ import annotations

from dataclasses import dataclass, field

from federator.model.indexset import IndexSet
from federator.model.intent import Failure
from federator.model.workload import Role, Workload

NONE = IndexSet()
Seats = tuple[tuple[str, IndexSet], ...]
"""By node, who is there."""


@dataclass(slots=True, eq=False)
class Batch:
    """Replicas of one intent that start together, and end together, ``badly`` or not; ``ends_s`` None: a service.

    ``starts_s`` is still to come where others end first to make room, or inputs are on their way. ``cut_off``: its
    lease will be void, and it has its seat until ``ends_s`` all the same.
    """

    seats: Seats
    indices: IndexSet
    starts_s: float
    ends_s: float | None
    badly: bool = False
    cut_off: bool = False

    def on(self, node: str) -> IndexSet:
        """Those that are on a node."""
        return IndexSet.join(r for name, there in self.seats if name == node for r in there.ranges)


@dataclass(slots=True, eq=False)
class Job:
    """What the cluster has of one intent."""

    workload: Workload
    role: Role
    run_s: float
    flavors: tuple[str, ...]
    unbound: IndexSet
    batches: list[Batch] = field(default_factory=list)
    succeeded: IndexSet = NONE
    failed: dict[int, Failure] = field(default_factory=dict)
