"""What each queue and cohort has and may have: for people and for dashboards. Nothing is decided by it.

The order of service has its own arithmetic (``shares``), on the scale of those that compete with each other. Here
everything is a part of the whole federation, so that queues of different cohorts can be compared, and it is computed
only when somebody reads it: most plans are never asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from federator.engine.forest import NOBODY, Forest
from federator.engine.parts import demand_capped, fair
from federator.engine.quotas import Quotas
from federator.engine.shares import Amounts, beyond, lately_part, sums
from federator.model.cluster import Cluster, Health
from federator.model.plan import Explanation, QueueShare, Snapshot
from federator.model.policy import Queue
from federator.model.resources import Resources
from federator.model.workload import Workload

ByName = Mapping[str, QueueShare]


class WhenRead(Mapping[str, QueueShare]):
    """A mapping that is made when it is first read."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], ByName]) -> None:
        """``make`` remembers what it made."""
        self._make = make

    def __getitem__(self, name: str) -> QueueShare:
        return self._make()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())

    def __repr__(self) -> str:
        return repr(self._make())

    def __reduce__(self) -> tuple[type[dict[str, QueueShare]], tuple[ByName]]:
        """Another process gets what was made, not the snapshot that it is made of."""
        return dict, (dict(self._make()),)


def when_read(snapshot: Snapshot) -> tuple[ByName, ByName]:
    """The shares of the queues and of the cohorts of a snapshot, computed when either is read."""
    both = cache(lambda: queue_shares(snapshot))
    return WhenRead(lambda: both()[0]), WhenRead(lambda: both()[1])


def queue_shares(snapshot: Snapshot) -> tuple[ByName, ByName]:
    """The shares of the queues and of the cohorts by name, whether they are declared or only used."""
    workloads = {workload.name: workload for workload in snapshot.workloads}
    used = by_queue(kinds(_held(snapshot, workloads)))
    asked = kinds((w.queue, role.requests, role.replicas) for w in snapshot.workloads for role in w.roles)
    had = {one.queue: one.lately for one in snapshot.usage}
    others = dict.fromkeys((*(kind.queue for kind in asked), *had), Resources())
    quotas = Quotas.of(snapshot.queues, snapshot.cohorts, others | used)
    tree, capacity = quotas.forest, capacity_of(snapshot.clusters)
    using, lately = sums(tree, used), sums(tree, had)
    weighted = _parts(tree, None)
    due = _parts(tree, [largest(amounts, capacity)[0] for amounts in _may_have(quotas, asked)])
    found: tuple[dict[str, QueueShare], dict[str, QueueShare]] = {}, {}
    for node, one in enumerate(tree.nodes):
        share, dominant = largest(using.get(node, {}), capacity)
        found[0 if isinstance(one, Queue) else 1][one.name] = QueueShare(
            name=one.name,
            used=Resources.of(using.get(node, {})),
            share=float(share),
            dominant=dominant,
            by_weight=float(weighted[node]),
            due=float(due[node]),
            lately=float(lately_part(lately.get(node, {}), capacity)),
            borrowed=float(beyond(quotas, node)[0]),
            left={r: left for r, ledger in quotas.ledgers.items() if (left := ledger.left(node)) is not None},
        )
    return found


def with_queues(
    explanations: Mapping[str, Explanation], order: Sequence[Workload], queues: ByName, *, turns: bool
) -> dict[str, Explanation]:
    """The explanations with what is to be told of each workload's queue. ``order``: all workloads, as served.

    ``turns``: queues are served in turns, so that there is an order within each of them only.
    """
    told = dict(explanations)
    for name, explanation in explanations.items():
        at = next(at for at, workload in enumerate(order) if workload.name == name)
        before = sum(workload.queue == order[at].queue for workload in order[:at])
        position = 0 if turns else explanation.position
        told[name] = replace(explanation, position=position, queue=queues[order[at].queue], queue_position=before + 1)
    return told


def capacity_of(clusters: Iterable[Cluster]) -> Resources:
    """What all nodes that exist offer together, whether or not their clusters answer now."""
    flavors = [flavor for cluster in clusters for flavor in cluster.flavors or ()]
    return sum((flavor.allocatable * flavor.count for flavor in flavors), Resources())


def largest(amounts: Amounts, whole: Amounts) -> tuple[Fraction, str]:
    """The largest part of any resource, and which that is: the first by name among equals, "" for no part at all."""
    best, dominant = Fraction(0), ""
    for resource, amount in sorted(amounts.items()):
        if amount > 0 and whole.get(resource, 0) > 0 and (part := Fraction(amount, whole[resource])) > best:
            best, dominant = part, resource
    return best, dominant


class Kind(NamedTuple):
    """So many replicas of a queue with these requests."""

    queue: str
    requests: Resources
    replicas: int


def kinds(asked: Iterable[tuple[str, Resources, int]]) -> list[Kind]:
    """The replicas of each queue, counted by what they ask for; requests count as alike where they are one object."""
    counts: dict[tuple[str, int], int] = {}
    known: dict[int, Resources] = {}
    for queue, requests, count in asked:
        known[id(requests)] = requests
        key = queue, id(requests)
        counts[key] = counts.get(key, 0) + count
    return [Kind(queue, known[which], count) for (queue, which), count in counts.items()]


def by_queue(asked: Iterable[Kind]) -> dict[str, Resources]:
    """What each queue's replicas ask for together."""
    totals: dict[str, dict[str, int]] = {}
    for queue, requests, replicas in asked:
        amounts = totals.setdefault(queue, {})
        for resource, amount in requests.items_:
            amounts[resource] = amounts.get(resource, 0) + amount * replicas
    return {queue: Resources.of(amounts) for queue, amounts in totals.items()}


def _held(snapshot: Snapshot, workloads: Mapping[str, Workload]) -> Iterator[tuple[str, Resources, int]]:
    """What clusters hold of known workloads; what a lost cluster holds counts as gone, as it does in planning."""
    there = {cluster.name for cluster in snapshot.clusters if cluster.health is not Health.LOST}
    for holding in snapshot.holdings:
        workload = workloads.get(holding.workload)
        if workload is not None and holding.cluster in there:
            for role in workload.roles:
                if role.name == holding.role:
                    yield workload.queue, role.requests, holding.replicas


def _may_have(quotas: Quotas, asked: Iterable[Kind]) -> list[dict[str, int]]:
    """By node, what it asks for, but no more than its quotas, or those of whoever is below it, allow."""
    tree = quotas.forest
    amounts: list[dict[str, int]] = [{} for _ in tree.nodes]
    for queue, wanted in by_queue(kind._replace(replicas=_most(quotas, kind)) for kind in asked).items():
        amounts[tree.queues[queue]] = dict(wanted)
    for node in sorted(range(len(amounts)), key=lambda n: -len(tree.paths[n])):
        for resource, amount in amounts[node].items():
            ledger = quotas.ledgers.get(resource)
            if ledger is not None and ledger.governed[node]:
                amount = amounts[node][resource] = min(amount, ledger.reach[node])
            if (parent := tree.parents[node]) != NOBODY:
                amounts[parent][resource] = amounts[parent].get(resource, 0) + amount
    return amounts


def _most(quotas: Quotas, kind: Kind) -> int:
    """How many replicas of a kind its queue could ever have, if it had nothing else."""
    node = quotas.forest.queues[kind.queue]
    limits = [
        ledger.reach[node] // amount
        for resource, amount in kind.requests.items_
        if (ledger := quotas.ledgers.get(resource)) is not None and ledger.governed[node]
    ]
    return min((kind.replicas, *limits))


def _parts(tree: Forest, asked: Sequence[Fraction] | None) -> list[Fraction]:
    """What the weights give of the whole, from the tops down; None: whoever asks. ``asked`` is by node."""
    parts = [Fraction(0)] * len(tree.nodes)
    levels = [(NOBODY, Fraction(1))]
    while levels:
        parent, whole = levels.pop()
        weights = {str(node): tree.nodes[node].weight for node in tree.below(parent)}
        if asked is None:
            given = fair(weights)
        else:
            given = demand_capped(weights, {n: asked[int(n)] / whole if whole else Fraction(0) for n in weights})
        for name, part in given.items():
            node = int(name)
            parts[node] = part * whole
            if tree.children[node]:
                levels.append((node, parts[node]))
    return parts
