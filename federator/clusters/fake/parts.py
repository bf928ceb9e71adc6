"""One intent at a fake cluster, and its replicas' seats on nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from federator.model.indexset import IndexSet
from federator.model.intent import WHOLE, Failure, Note, ObservedIntent, Order
from federator.model.resources import Resources
from federator.model.whole_cores import rounded
from federator.model.workload import Lifetime, Role

NOTES_SHOWN = 16
NONE = IndexSet()


class FakeIntent:
    """What the cluster has of an intent. Replicas are kept as sets of indices: alike ones cost nothing."""

    __slots__ = (
        "created_s",
        "failed",
        "leaving",
        "order",
        "parts",
        "running",
        "seats",
        "seen",
        "started_s",
        "starting",
        "succeeded",
        "unbound",
    )

    def __init__(self, order: Order, now_s: float, *, whole_cores: bool = False) -> None:
        self.order = order
        self.created_s = now_s
        self.unbound = wanted_of(order)
        self.starting = NONE
        self.running = NONE
        self.succeeded = NONE
        self.failed: dict[int, Failure] = {}
        self.seats: dict[str, IndexSet] = {}
        self.leaving = False
        self.started_s: float | None = None
        self.seen: ObservedIntent | None = None
        self.parts = parts_of(order, whole_cores=whole_cores)

    @property
    def there(self) -> IndexSet:
        """The replicas that have not ended."""
        return self.unbound | self.starting | self.running

    @property
    def started(self) -> IndexSet:
        """The replicas that run or have run."""
        return self.running | self.succeeded | IndexSet.of(self.failed)

    @property
    def is_service(self) -> bool:
        """Whether its replicas are kept running."""
        return self.order.lifetime is Lifetime.SERVICE

    def env(self, name: str) -> str | None:
        """What the container's environment says under a name."""
        return self.order.container.env.get(name) if self.order.container else None

    def seats_of(self, indices: IndexSet) -> Iterator[tuple[str, Resources, IndexSet]]:
        """The nodes on which some of the replicas have seats, what one seat takes, and whose seats they are."""
        for node, seated in list(self.seats.items()):
            for role, share in self.parts:
                mine = seated & share & indices
                if mine:
                    yield node, role.requests, mine

    def leave_seats(self, indices: IndexSet) -> None:
        """Forget the seats of these replicas."""
        self.seats = {node: left for node, seated in self.seats.items() if (left := seated - indices)}

    def observed(self) -> ObservedIntent:
        """What the cluster says of it; made once for every change."""
        if self.seen is None:
            waiting = self.unbound.first(NOTES_SHOWN)
            message = "0 nodes are available: insufficient room"
            self.seen = ObservedIntent(
                id=self.order.intent.id,
                pending=self.unbound | self.starting,
                running=self.running,
                succeeded=self.succeeded,
                failed=tuple(self.failed[index] for index in sorted(self.failed)),
                bound=len(self.starting) + len(self.running),
                notes=tuple(Note(index, "Unschedulable", message, self.created_s) for index in waiting),
                spec_hash=self.order.spec_hash,
                replicas=len(wanted_of(self.order)),
                leaving=self.leaving,
                started_s=self.started_s,
            )
        return self.seen


def wanted_of(order: Order) -> IndexSet:
    """The replicas that should run."""
    return order.intent.indices - order.intent.withdrawn


def parts_of(order: Order, *, whole_cores: bool) -> list[tuple[Role, IndexSet]]:
    """Each role of the order with its indices: those of the intent, or one role's after the other's.

    What a role's replica requests is what it takes: cores are whole where the cluster gives no others.
    """
    roles = [replace(one, requests=rounded(one.requests)) for one in order.roles] if whole_cores else order.roles
    if order.intent.role != WHOLE:
        return [(role, IndexSet.span(0, 1 << 62)) for role in roles[:1]]
    parts, start = [], 0
    for role in roles:
        parts.append((role, IndexSet.span(start, start + role.replicas)))
        start += role.replicas
    return parts
