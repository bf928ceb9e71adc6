"""Backfill has what production leaves, and no more: fillers fit beside all that production has, node by node.

Where production is on its way, and where what is on a node finds no room, what runs of a filler is left as it is: the
cluster itself ends what is needed. Nothing starts beside it then.
"""

from __future__ import annotations

from collections.abc import Iterator

from federator.engine.checks.facts import Facts, satisfied
from federator.engine.checks.packing import Item, Node, impossible
from federator.model.backfill import Filled, Filler
from federator.model.cluster import Cluster, Health
from federator.model.plan import Holding
from federator.model.policy import FULL_PPM


def backfill_yields(facts: Facts) -> Iterator[str]:
    """All that is promised to fillers, cluster by cluster."""
    fillers = {filler.name: filler for filler in facts.snapshot.fillers}
    if sorted(fillers) != sorted(one.workload for one in facts.plan.backfill):
        yield "not every filler has its answer"
        return
    for filled in facts.plan.backfill:
        yield from _alone(facts, fillers[filled.workload], filled)
    for cluster in facts.snapshot.clusters:
        if cluster.flavors is not None and cluster.health is Health.UP:
            yield from _beside_production(facts, fillers, cluster)


def _alone(facts: Facts, filler: Filler, filled: Filled) -> Iterator[str]:
    role, workload = filler.workload.roles[0], filler.workload
    missing = sorted(set(facts.clusters) - set(filled.why))
    if missing:
        yield f"{filler.name} is told no reason for {missing[0]}"
    wanted = min(role.replicas, workload.parallelism or role.replicas)
    believed = sum(n for c, n in filled.replicas.items() if facts.clusters[c].health is not Health.UP)
    if sum(filled.replicas.values()) > max(wanted, believed):
        yield f"{filler.name} has {sum(filled.replicas.values())} replicas, {wanted} are wanted"
    for name, replicas in filled.replicas.items():
        cluster, held = facts.clusters[name], _held(facts, filler, name)
        may = workload.needs <= cluster.abilities and satisfied(workload.clusters, cluster, workload)
        if replicas > held and not (facts.takes_work(cluster) and cluster.flavors is not None):
            yield f"{filler.name} starts on {name}, which takes no work"
        if cluster.health is Health.UP and (not may or cluster.draining or cluster.limits is not None):
            yield f"{filler.name} is on {name}, where it may not be"


def _held(facts: Facts, filler: Filler, cluster: str) -> int:
    return sum(h.replicas for h in _holdings(facts, filler, cluster))


def _bound(facts: Facts, filler: Filler, cluster: str) -> int:
    return sum(h.replicas - min(h.unbound, h.replicas) for h in _holdings(facts, filler, cluster))


def _holdings(facts: Facts, filler: Filler, cluster: str) -> Iterator[Holding]:
    return (h for h in facts.snapshot.holdings if h.workload == filler.name and h.cluster == cluster)


def _beside_production(facts: Facts, fillers: dict[str, Filler], cluster: Cluster) -> Iterator[str]:
    production = _production(facts, cluster)
    has = [(fillers[one.workload], one.replicas.get(cluster.name, 0)) for one in facts.plan.backfill]
    growing = any(replicas > _held(facts, filler, cluster.name) for filler, replicas in has)
    counted = [
        (filler, replicas)
        for filler, replicas in has
        if replicas > _held(facts, filler, cluster.name)
        or (replicas and not production and (growing or replicas > _bound(facts, filler, cluster.name)))
    ]
    nodes = [
        Node(flavor.name, group.free.floor())
        for flavor in cluster.flavors or ()
        for group in flavor.nodes
        for _ in range(group.count)
    ]
    items = [_item(facts, filler, replicas, cluster) for filler, replicas in counted]
    if (not production or (growing and impossible(nodes, production) is None)) and (
        why := impossible(nodes, [*production, *items])
    ):
        yield f"fillers on {cluster.name} do not fit beside production: {why}"
    there = [one for one in has if one[1]]
    room = [one for one in there if one not in counted and not production and _fits_in_all(facts, one[0], cluster)]
    for filler, replicas in (*counted, *room):
        for resource, asked in facts.takes(filler.workload.roles[0], cluster).items_:
            whole = cluster.allocatable[resource]
            left = cluster.free[resource] - asked * replicas
            alone = len(there) == 1 and not production  # what one leaves free another may fill
            if alone and left * FULL_PPM < whole * filler.kept_free(cluster.name, resource) - FULL_PPM:
                yield f"{filler.name} leaves {left} {resource} of {whole} free on {cluster.name}"
            if asked * replicas * FULL_PPM > whole * filler.max_share:
                yield f"{filler.name} has more than its share of {resource} on {cluster.name}"


def _fits_in_all(facts: Facts, filler: Filler, cluster: Cluster) -> bool:
    """Whether what is free in all is enough for what is on its nodes."""
    takes = facts.takes(filler.workload.roles[0], cluster)
    return (takes * _bound(facts, filler, cluster.name)).fits_in(cluster.free)


def _production(facts: Facts, cluster: Cluster) -> list[Item]:
    """What of production is not on a node there yet."""
    found = []
    for counts in (facts.new, facts.coming):
        for (workload, role_name, where), count in sorted(counts.items()):
            if where == cluster.name and count:
                role = facts.role(workload, role_name)
                flavors = cluster.flavors or ()
                usable = (f.name for f in flavors if facts.usable(facts.workloads[workload], role, cluster, f))
                found.append(Item(facts.takes(role, cluster), frozenset(usable), count))
    return found


def _item(facts: Facts, filler: Filler, replicas: int, cluster: Cluster) -> Item:
    role = filler.workload.roles[0]
    usable = (f.name for f in cluster.flavors or () if facts.usable(filler.workload, role, cluster, f))
    return Item(facts.takes(role, cluster), frozenset(usable), replicas)
