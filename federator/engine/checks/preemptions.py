"""What gives way may: for a reason that holds, not before its time, gangs as a whole, and somebody gains by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from federator.engine.checks.facts import Facts, Key
from federator.engine.checks.quotas import borrowing, one_tree
from federator.model.cluster import Health
from federator.model.plan import Preemption
from federator.model.workload import Workload


def preemptions_legal(facts: Facts) -> Iterator[str]:
    """Every replica that gives way, and for whom."""
    totals: Counter[Key] = Counter()
    for one in facts.plan.preemptions:
        totals[one.workload, one.role, one.cluster] += one.replicas
        if one.workload not in facts.workloads or one.by not in facts.workloads or one.workload == one.by:
            yield f"{one.workload} gives way to {one.by}: these are not two workloads"
            continue
        yield from _justified(facts, one)
    for (workload, role, cluster), count in totals.items():
        key = workload, role, cluster
        if count > facts.held.get(key, 0) or facts.clusters[cluster].health is not Health.UP:
            yield f"{workload}: {count} replicas give way on {cluster}, which holds {facts.held.get(key, 0)}"
        may = _long_enough(facts, key)
        if count > may:
            yield f"{workload}: {count} replicas give way on {cluster}, {may} have run for minRun"
    yield from _whole(facts, totals)
    for name in sorted({one.by for one in facts.plan.preemptions}):
        gained = any(key[0] == name for key in facts.new)
        if not gained and not any(one.workload == name for one in facts.plan.reservations):
            yield f"{name}: others give way to it, and it gains nothing"


def _justified(facts: Facts, one: Preemption) -> Iterator[str]:
    victim, taker = facts.workloads[one.workload], facts.workloads[one.by]
    allows, what = facts.policies[taker.name].preempt, f"{victim.name} gives way to {taker.name} ({one.reason})"
    if one.replicas <= 0:
        yield f"{what}: {one.replicas} replicas"
    if allows == "never" or taker.backfill:
        yield f"{what}, which may displace nothing"
    if any((d.workload, d.victim) == (victim.name, taker.name) for d in facts.snapshot.displacements):
        yield f"{what}, which it displaced before"
    right = {
        "Backfill": victim.backfill,
        "LowerPriority": allows == "lowerPriority" and _less_urgent(facts, victim, taker),
        "Reclaim": _borrows(facts, victim, taker),
        "FairShare": facts.snapshot.planning.order == "fair" and _borrows(facts, victim, taker),
    }
    if not right.get(one.reason, False):
        yield f"{what}, but that is no reason"


def _less_urgent(facts: Facts, victim: Workload, taker: Workload) -> bool:
    if victim.queue == taker.queue:
        return victim.priority < taker.priority
    priorities = {queue.name: queue.priority for queue in facts.snapshot.queues}
    urgency = [(priorities.get(one.queue, 0), one.priority) for one in (victim, taker)]
    by_turns = facts.snapshot.planning.order == "fair"
    return not by_turns and urgency[0] < urgency[1] and not one_tree(facts, victim.queue, victim.queue)


def _borrows(facts: Facts, victim: Workload, taker: Workload) -> bool:
    """Whether the victim's queue uses more than its claim of anything, and the taker's may have a claim to that."""
    return (
        victim.queue != taker.queue
        and one_tree(facts, victim.queue, taker.queue)
        and borrowing(facts, victim.queue, facts.held)
    )


def _long_enough(facts: Facts, key: Key) -> int:
    least_s = facts.policies[key[0]].stay.min_run_s if key[0] in facts.policies else 0.0
    count = 0
    for holding in facts.snapshot.holdings:
        if (holding.workload, holding.role, holding.cluster) == key:
            waves = holding.waves or ((holding.age_s, holding.replicas),)
            count += sum(replicas for age_s, replicas in waves if age_s >= least_s)
    return count


def _whole(facts: Facts, totals: Counter[Key]) -> Iterator[str]:
    for name in sorted({key[0] for key in totals} & facts.workloads.keys()):
        workload = facts.workloads[name]
        if workload.gang is None and len(workload.roles) == 1:
            continue
        stays = sum(count - totals[key] for key, count in facts.held.items() if key[0] == name)
        if stays:
            yield f"gang {name} gives way in part: {stays} replicas stay"
