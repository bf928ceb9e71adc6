"""No limit by name is passed by what starts anew, and none is blamed that leaves enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from federator.engine.checks.facts import Facts, Key
from federator.model.limits import Limit
from federator.model.reasons import Reason
from federator.model.workload import Role, Workload


def limits_kept(facts: Facts) -> Iterator[str]:
    """What runs, and what starts anew, together; where more runs than a limit allows, nothing more starts."""
    for limit in facts.snapshot.limits:
        new, left = _new_in_all(facts, limit.name), _left_before(facts, limit, None)
        if new > max(0, left):
            yield f"limit {limit.name}: {new} more are promised, {left} are left in all"
        for cluster in facts.clusters:
            new, left = _sum(facts, facts.new, limit.name, cluster), _left_before(facts, limit, cluster)
            if new > max(0, left):
                yield f"limit {limit.name}: {new} more are promised on {cluster}, {left} are left there"


def blamed_limits_are_reached(facts: Facts) -> Iterator[str]:
    """A workload that one more replica of which still keeps every limit is not refused for one."""
    for refusal in facts.plan.refusals:
        workload, role = facts.workloads[refusal.workload], facts.role(refusal.workload, refusal.role)
        if workload.gang is not None or len(workload.roles) > 1:
            continue
        for name, verdict in refusal.reasons.items():
            if verdict.reason is Reason.LIMIT_REACHED and more_by_limits(facts, workload, role, name) > 0:
                yield f"{workload.name}: a limit is said to keep it off {name}, but allows more"


def more_by_limits(facts: Facts, workload: Workload, role: Role, cluster: str) -> int:
    """How many more replicas limits allow on a cluster after the whole plan."""
    more = 2**40
    for limit in facts.snapshot.limits:
        each = role.limits[limit.name]
        if each:
            left = max(0, _left_before(facts, limit, None)) - _new_in_all(facts, limit.name)
            here = max(0, _left_before(facts, limit, cluster)) - _sum(facts, facts.new, limit.name, cluster)
            more = min(more, left // each, here // each)
    return max(0, more)


def _left_before(facts: Facts, limit: Limit, cluster: str | None) -> int:
    """What is left beside what runs: of the count, or of what one cluster may have."""
    most = limit.count if cluster is None else limit.on(cluster)
    if most is None:
        return 2**40
    running = _sum(facts, facts.held, limit.name, cluster) + _sum(facts, facts.leaving, limit.name, cluster)
    return most - running


def _sum(facts: Facts, counts: Mapping[Key, int], limit: str, cluster: str | None) -> int:
    """What so many replicas take of a limit."""
    return sum(
        count * facts.role(workload, role).limits[limit]
        for (workload, role, where), count in counts.items()
        if cluster in (None, where)
    )


def _new_in_all(facts: Facts, limit: str) -> int:
    """By role, what is placed beyond what runs: a replica that moves does not run twice."""
    growth: Counter[tuple[str, str]] = Counter()
    for (workload, role, _), count in facts.placed.items():
        growth[workload, role] += count
    for (workload, role, _), count in facts.held.items():
        growth[workload, role] -= count
    return sum(
        grown * facts.role(workload, role).limits[limit] for (workload, role), grown in growth.items() if grown > 0
    )
