"""Quotas: how much a queue may still use of its own, of its cohort's (see ``ledger``), and on some clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from federator.engine.forest import Forest, forest
from federator.engine.ledger import Ledger
from federator.model.policy import Cohort, Queue
from federator.model.resources import Resources


@dataclass(frozen=True, slots=True)
class Shortage:
    """The limit that holds a queue back: ``holder`` is the queue, cohort, or clusters (name or glob) that it is of.

    ``limit``: ``quota``, ``borrowingLimit`` or ``clusterQuota``. Amounts in the model's units.
    """

    resource: str
    needed: int
    left: int
    limit: str
    holder: str


@dataclass(slots=True)
class ClusterCap:
    """A limit of what one queue uses on the clusters that ``pattern`` matches, together."""

    pattern: str
    limits: Resources
    used: dict[str, int] = field(default_factory=dict)

    def holds_for(self, cluster: str) -> bool:
        """Whether what runs on the cluster counts."""
        return fnmatchcase(cluster, self.pattern)

    def more(self, requests: Mapping[str, int]) -> int | None:
        """How many more of these requests; None: it does not limit any of them."""
        counts = [(most - self.used.get(r, 0)) // requests[r] for r, most in self.limits.items_ if requests.get(r, 0)]
        return max(0, min(counts)) if counts else None

    def add(self, amounts: Mapping[str, int], sign: int) -> None:
        """Count amounts taken or given back."""
        for resource, amount in amounts.items():
            self.used[resource] = self.used.get(resource, 0) + sign * amount


class Quotas:
    """Who may still use what. Made once for a plan; every question takes as many steps as the tree is deep.

    ``take`` counts and never refuses: what runs already is counted even where it is beyond a quota.
    """

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.ledgers: dict[str, Ledger] = {r: Ledger(forest, r) for r in sorted(_resources(forest))}
        self.caps: dict[str, tuple[ClusterCap, ...]] = {
            node.name: tuple(ClusterCap(pattern, limits) for pattern, limits in sorted(node.cluster_quota.items()))
            for node in forest.nodes
            if isinstance(node, Queue) and node.cluster_quota
        }

    @staticmethod
    def of(
        queues: Iterable[Queue], cohorts: Iterable[Cohort] = (), usage: Mapping[str, Mapping[str, int]] | None = None
    ) -> Quotas:
        """The quotas with what each queue uses already (in the model's units). Any queue may appear in ``usage``."""
        used = usage or {}
        quotas = Quotas(forest(queues, cohorts, used))
        for queue in sorted(used):
            quotas.take(queue, used[queue])
        return quotas

    def copy(self) -> Quotas:
        """The same, to try something out on."""
        other = object.__new__(Quotas)
        other.forest = self.forest
        other.ledgers = {resource: ledger.copy() for resource, ledger in self.ledgers.items()}
        other.caps = {
            queue: tuple(ClusterCap(cap.pattern, cap.limits, dict(cap.used)) for cap in caps)
            for queue, caps in self.caps.items()
        }
        return other

    def ledger(self, resource: str) -> Ledger:
        """The ledger of a resource; where nobody ever spoke of it, one without limits."""
        found = self.ledgers.get(resource)
        if found is None:
            found = self.ledgers[resource] = Ledger(self.forest, resource)
        return found

    def used(self, queue: str, resource: str) -> int:
        """What the queue uses."""
        ledger = self.ledgers.get(resource)
        return ledger.used[self.forest.queues[queue]] if ledger else 0

    def available(self, queue: str, resource: str) -> int | None:
        """How much more the queue may take of a resource; None: without limit."""
        ledger = self.ledgers.get(resource)
        return ledger.left(self.forest.queues[queue]) if ledger else None

    def more(self, queue: str, requests: Mapping[str, int]) -> int | None:
        """How many more replicas with these requests the queue may have, wherever; None: without limit."""
        node, ledgers, most = self.forest.queues[queue], self.ledgers, None
        for resource, amount in requests.items():
            if amount <= 0 or (ledger := ledgers.get(resource)) is None:
                continue
            left = ledger.binding(node)[0]
            if left is not None and (most is None or left // amount < most):
                most = left // amount
        return most

    def more_on(self, queue: str, requests: Mapping[str, int], cluster: str) -> int | None:
        """The same for one cluster."""
        counts = [cap.more(requests) for cap in self.caps.get(queue, ()) if cap.holds_for(cluster)]
        counts.append(self.more(queue, requests))
        limits = [count for count in counts if count is not None]
        return min(limits) if limits else None

    def take(self, queue: str, amounts: Mapping[str, int], cluster: str | None = None) -> None:
        """Count what the queue uses from now on. Without a cluster, it counts for no limit of clusters."""
        self._add(queue, amounts, cluster, 1)

    def give_back(self, queue: str, amounts: Mapping[str, int], cluster: str | None = None) -> None:
        """Undo ``take`` of the same. Raises ValueError for more than is used."""
        for resource, amount in amounts.items():
            if amount > self.used(queue, resource):
                raise ValueError(f"queue {queue!r} gives back {amount} {resource}, it has {self.used(queue, resource)}")
        self._add(queue, amounts, cluster, -1)

    def count(self, queue: str, requests: Resources, replicas: int) -> None:
        """``take`` what so many replicas ask for, or, where they are negative, ``give_back``; on no cluster."""
        node = self.forest.queues[queue]
        for resource, amount in requests.items_:
            ledger, change = self.ledger(resource), amount * replicas
            if ledger.used[node] + change < 0:
                raise ValueError(f"queue {queue!r} gives back {-change} {resource}, it has {ledger.used[node]}")
            ledger.add(node, change)

    def _add(self, queue: str, amounts: Mapping[str, int], cluster: str | None, sign: int) -> None:
        node = self.forest.queues[queue]
        for resource, amount in amounts.items():
            if amount:
                self.ledger(resource).add(node, sign * amount)
        if cluster is not None:
            for cap in self.caps.get(queue, ()):
                if cap.holds_for(cluster):
                    cap.add(amounts, sign)

    def borrows(self, node: int, amounts: Mapping[str, int]) -> bool:
        """Whether a node, with so much more, would use more than its claim of any of these resources."""
        ledgers = self.ledgers
        return any(r in ledgers and ledgers[r].borrows(node, amount) > 0 for r, amount in amounts.items() if amount)

    def shortage(self, queue: str, requests: Mapping[str, int]) -> Shortage | None:
        """The limit that lets the queue have the fewest more of these; None: nothing limits it."""
        found: tuple[int, Shortage] | None = None
        for resource, amount in sorted(requests.items()):
            if resource not in self.ledgers or amount <= 0:
                continue
            left, node, borrows = self.ledgers[resource].binding(self.forest.queues[queue])
            if left is not None and (found is None or left // amount < found[0]):
                limit = "borrowingLimit" if borrows else "quota"
                found = left // amount, Shortage(resource, amount, left, limit, self.forest.nodes[node].name)
        return found[1] if found else None


def _resources(forest: Forest) -> set[str]:
    limits = [one for node in forest.nodes for one in (node.quota, node.borrowing_limit, node.lending_limit)]
    return {resource for one in limits if one is not None for resource in one}
