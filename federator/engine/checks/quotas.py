"""No queue grows beyond what it, its cohorts and their limits allow; nor beyond its limits on clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from federator.engine.checks.facts import Facts, Key
from federator.model.policy import Cohort, Queue
from federator.model.resources import Resources


@dataclass(slots=True)
class _Node:
    """A queue or cohort of one resource: what it may call its own, and what is used below it."""

    own: Queue | Cohort
    children: list[_Node] = field(default_factory=list)


def within_quotas(facts: Facts) -> Iterator[str]:
    """Where a queue or cohort uses more than before the plan, it stays within its quota and borrowing limit."""
    roots = _trees(facts)
    before, after = _used(facts, facts.held), _used(facts, facts.placed)
    resources = {name for use in (*before.values(), *after.values()) for name in use}
    for root in roots:
        for resource in sorted(resources):
            yield from _over(root, resource, before, after)


def _trees(facts: Facts) -> list[_Node]:
    queues = {queue.name: queue for queue in facts.snapshot.queues}
    cohorts = {cohort.name: _Node(cohort) for cohort in facts.snapshot.cohorts}
    for name in {queue.cohort for queue in queues.values()} | {c.parent for c in facts.snapshot.cohorts}:
        if name:
            cohorts.setdefault(name, _Node(Cohort(name)))
    roots: list[_Node] = []
    for node in (*cohorts.values(), *map(_Node, queues.values())):
        parent = node.own.cohort if isinstance(node.own, Queue) else node.own.parent
        (cohorts[parent].children if parent else roots).append(node)
    return roots


def _used(facts: Facts, counts: Mapping[Key, int]) -> dict[str, Resources]:
    """What the replicas ask for together, by queue."""
    used: dict[str, Resources] = {}
    for (workload, role, _), count in counts.items():
        queue = facts.workloads[workload].queue
        used[queue] = used.get(queue, Resources()) + facts.role(workload, role).requests * count
    return used


def _governed(node: _Node, resource: str) -> bool:
    return (node.own.quota is not None and resource in node.own.quota) or any(
        _governed(child, resource) for child in node.children
    )


def _claim(node: _Node, resource: str) -> int:
    """Its own quota, and what those below it put together."""
    own = node.own.quota[resource] if node.own.quota is not None else 0
    return own + sum(_claim(child, resource) - _kept(child, resource) for child in node.children)


def _kept(node: _Node, resource: str) -> int:
    lending = node.own.lending_limit
    if lending is None or resource not in lending:
        return 0
    return max(0, _claim(node, resource) - lending[resource])


def _use(node: _Node, resource: str, used: Mapping[str, Resources]) -> int:
    """A queue's use; of a cohort, what those below it use beyond what they keep."""
    if isinstance(node.own, Queue):
        return used.get(node.own.name, Resources())[resource]
    return sum(max(0, _use(child, resource, used) - _kept(child, resource)) for child in node.children)


def _over(
    node: _Node, resource: str, before: Mapping[str, Resources], after: Mapping[str, Resources], *, top: bool = True
) -> Iterator[str]:
    use, claim = _use(node, resource, after), _claim(node, resource)
    limit = node.own.borrowing_limit if not top else None
    grew = use > _use(node, resource, before)
    if top and grew and _governed(node, resource) and use > claim:
        yield f"{node.own.name} has {use} {resource}, its quota is {claim}"
    if limit is not None and resource in limit and grew and use > max(claim, _kept(node, resource)) + limit[resource]:
        yield f"{node.own.name} has {use} {resource}, its quota {claim}, and may borrow {limit[resource]}"
    for child in node.children:
        yield from _over(child, resource, before, after, top=False)


def one_tree(facts: Facts, one: str, other: str) -> bool:
    """Whether both queues stand in one tree in which anybody has a quota."""
    queues = {one, other}
    for root in _trees(facts):
        names = set(_queues(root))
        resources = {name for own in _owners(root) for name in (own.quota or ())}
        if queues <= names:
            return any(_governed(root, resource) for resource in resources)
    return False


def borrowing(facts: Facts, queue: str, counts: Mapping[Key, int]) -> bool:
    """Whether a queue uses more of anything than its own quota."""
    used = _used(facts, counts).get(queue, Resources())
    own = next((one for one in facts.snapshot.queues if one.name == queue), Queue(queue))
    return any(amount > (own.quota[name] if own.quota is not None else 0) for name, amount in used.items_)


def _queues(node: _Node) -> Iterator[str]:
    if isinstance(node.own, Queue):
        yield node.own.name
    for child in node.children:
        yield from _queues(child)


def _owners(node: _Node) -> Iterator[Queue | Cohort]:
    yield node.own
    for child in node.children:
        yield from _owners(child)


def within_cluster_quotas(facts: Facts) -> Iterator[str]:
    """The same for the limits of a queue on some clusters."""
    for queue in facts.snapshot.queues:
        for pattern, limits in queue.cluster_quota.items():
            before, after = (_on(facts, counts, pattern, queue.name) for counts in (facts.held, facts.placed))
            for resource, limit in limits.items_:
                if after[resource] > max(limit, before[resource]):
                    yield f"{queue.name} has {after[resource]} {resource} on {pattern}, its clusterQuota is {limit}"


def _on(facts: Facts, counts: Mapping[Key, int], pattern: str, queue: str) -> Resources:
    """What a queue's replicas on some clusters ask for together."""
    here = {key: count for key, count in counts.items() if fnmatchcase(key[2], pattern)}
    return _used(facts, here).get(queue, Resources())


def cluster_quota_left(facts: Facts, queue: str, cluster: str, requests: Resources) -> int | None:
    """How many more replicas the limits of a queue let onto a cluster; None where there are none."""
    counts = []
    for one in facts.snapshot.queues:
        for pattern, limits in one.cluster_quota.items() if one.name == queue else ():
            if fnmatchcase(cluster, pattern):
                held = {key: max(n, facts.held.get(key, 0)) for key, n in facts.placed.items()}
                held |= {key: n for key, n in facts.held.items() if key not in held}
                used = _on(facts, held, pattern, queue)
                counts += [(most - used[name]) // requests[name] for name, most in limits.items_ if requests[name]]
    return max(0, min(counts)) if counts else None
