"""No cluster is promised more than its nodes and quotas have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from federator.engine.checks.budgets import more_by_budget
from federator.engine.checks.facts import Facts, Key
from federator.engine.checks.limits import more_by_limits
from federator.engine.checks.packing import Item, Node, impossible
from federator.engine.checks.quotas import cluster_quota_left
from federator.model.cluster import Cluster
from federator.model.resources import Resources
from federator.model.workload import Role, Workload


def within_limits(facts: Facts) -> Iterator[str]:
    """What starts anew stays within what a cluster's quotas leave after what is on its way."""
    for name, cluster in facts.clusters.items():
        if cluster.limits is None:
            continue
        new, coming = _requested(facts, facts.new, name), _requested(facts, facts.coming, name)
        for resource, limit in cluster.limits.items_:
            if new[resource] > max(0, limit - coming[resource]):
                yield f"{name}: {new[resource]} more {resource} are promised, quotas leave {limit - coming[resource]}"


def _requested(facts: Facts, counts: Mapping[Key, int], cluster: str) -> Resources:
    total = Resources()
    for (workload, role, name), count in counts.items():
        if name == cluster and count:
            total = total + facts.role(workload, role).requests * count
    return total


def within_capacity(facts: Facts) -> Iterator[str]:
    """What starts anew fits the nodes; where what is on its way fits them too, both fit together."""
    for name, cluster in facts.clusters.items():
        if cluster.flavors is None:
            continue
        nodes = _nodes(cluster)
        new, coming = _items(facts, facts.new, name, cluster), _items(facts, facts.coming, name, cluster)
        why = impossible(nodes, new)
        if why is None and coming and impossible(nodes, coming) is None:
            why = impossible(nodes, [*coming, *new])
        if why is not None:
            yield f"{name} is promised more than its nodes have: {why}"


def _items(facts: Facts, counts: Mapping[Key, int], name: str, cluster: Cluster) -> list[Item]:
    items = []
    for (workload, role_name, where), count in sorted(counts.items()):
        if where == name and count:
            role = facts.role(workload, role_name)
            flavors = [
                f.name for f in cluster.flavors or () if facts.usable(facts.workloads[workload], role, cluster, f)
            ]
            items.append(Item(facts.takes(role, cluster), frozenset(flavors), count))
    return items


def _nodes(cluster: Cluster) -> list[Node]:
    """Every node, those that could exist last."""
    nodes = []
    for flavor in cluster.flavors or ():
        for group in flavor.nodes:
            nodes += [Node(flavor.name, group.free.floor())] * group.count
    for flavor in cluster.flavors or ():
        nodes += [Node(flavor.name, flavor.allocatable)] * max(0, flavor.max_count - flavor.count)
    return nodes


def certain_room(facts: Facts, workload: Workload, role: Role, cluster: Cluster) -> int:
    """How many more replicas surely still fit, however the member binds: each new replica touches one node at most."""
    for report in cluster.unschedulable:
        if report.requests.fits_in(role.requests):
            return 0
    new, coming = _requested(facts, facts.new, cluster.name), _requested(facts, facts.coming, cluster.name)
    limits = [
        max(0, limit - coming[name] - new[name]) // role.requests[name]
        for name, limit in (cluster.limits.items_ if cluster.limits is not None else ())
        if role.requests[name]
    ]
    quota = cluster_quota_left(facts, workload.queue, cluster.name, role.requests)
    limits += [] if quota is None else [quota]
    limits += [more_by_limits(facts, workload, role, cluster.name), more_by_budget(facts, workload, role, cluster)]
    if cluster.flavors is None:
        return min(limits, default=2**40)
    untouched: Counter[int] = Counter()
    for node in _nodes(cluster):
        flavor = next(f for f in cluster.flavors if f.name == node.flavor)
        if facts.usable(workload, role, cluster, flavor):
            fits = facts.takes(role, cluster).count_in(node.free)
            untouched[2**20 if fits is None else fits] += 1
    touched = sum(c for k, c in (*facts.new.items(), *facts.coming.items()) if k[2] == cluster.name)
    room = 0
    for fits, count in sorted(untouched.items(), reverse=True):  # at worst the roomiest nodes were touched
        spared = max(0, count - touched)
        touched -= count - spared
        room += spared * fits
    return min([room, *limits])
