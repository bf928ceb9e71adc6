"""Moves say what the placements say, and what runs stays where its policy holds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from federator.engine.checks.facts import Facts
from federator.model.cluster import Health
from federator.model.policy import FULL_PPM, Rebalance
from federator.model.workload import Role, Workload


def moves_legal(facts: Facts) -> Iterator[str]:
    """For each role: the moves pair what leaves with what arrives, and only what may leave does."""
    for workload in facts.snapshot.workloads:
        for role in workload.roles:
            lost, gained = _changes(facts, workload, role)
            yield from _paired(facts, workload, role, lost, gained)
            if workload.gang is None and len(workload.roles) == 1:
                yield from _may_leave(facts, workload, role, lost, gained)


def _changes(facts: Facts, workload: Workload, role: Role) -> tuple[Counter[str], Counter[str]]:
    lost, gained = Counter[str](), Counter[str]()
    for name in facts.clusters:
        key = (workload.name, role.name, name)
        change = facts.placed.get(key, 0) - facts.held.get(key, 0)
        (gained if change > 0 else lost)[name] += abs(change)
    return +lost, +gained


def _paired(facts: Facts, workload: Workload, role: Role, lost: Counter[str], gained: Counter[str]) -> Iterator[str]:
    left, arrived = Counter[str](), Counter[str]()
    for move in facts.plan.moves:
        if (move.workload, move.role) == (workload.name, role.name):
            left[move.source] += move.replicas
            arrived[move.target] += move.replicas
            if move.replicas <= 0 or move.source == move.target:
                yield f"{workload.name}: a move of {move.replicas} from {move.source} to {move.target}"
    if left - lost or arrived - gained:
        changes = f"placements change by {dict(lost)} and {dict(gained)}"
        yield f"{workload.name}: moves out {dict(left)} and in {dict(arrived)}, {changes}"
    if left.total() != min(lost.total(), gained.total()):
        yield f"{workload.name}: {left.total()} replicas move, {lost.total()} leave and {gained.total()} arrive"


def _may_leave(facts: Facts, workload: Workload, role: Role, lost: Counter[str], gained: Counter[str]) -> Iterator[str]:
    stay = facts.policies[workload.name].stay
    moved = min(lost.total(), gained.total())
    if not moved:
        return
    free_to_leave = 0
    for name in lost:
        cluster, key = facts.clusters[name], (workload.name, role.name, name)
        maximum = facts.bounds(workload.name, name).maximum
        above = max(0, facts.held[key] - maximum) if maximum is not None else 0
        if cluster.draining and cluster.health is Health.UP:
            free_to_leave += lost[name]
            continue
        free_to_leave += min(above, lost[name])
        may = 0 if stay.rebalance is Rebalance.NEVER or not facts.takes_work(cluster) else facts.movable[key]
        if lost[name] > max(may, above):
            yield f"{workload.name}: {lost[name]} replicas leave {name}, {max(may, above)} may"
        if stay.rebalance is Rebalance.PREFERRED and not above:
            yield from _to_an_earlier_tier(facts, workload, role, name)
    if stay.move_budget is not None and stay.rebalance is not Rebalance.NEVER:
        wanted = facts.wanted(workload, role)
        budget = max(1, wanted * stay.move_budget.ppm // FULL_PPM) - facts.moved[workload.name, role.name]
        if moved - free_to_leave > max(0, budget):
            yield f"{workload.name}: {moved} replicas move, the budget leaves {budget}"


def _to_an_earlier_tier(facts: Facts, workload: Workload, role: Role, source: str) -> Iterator[str]:
    at = facts.tier(workload.name, source)
    if at is None or not facts.suits(workload, role, facts.clusters[source]):
        return
    for move in facts.plan.moves:
        if (move.workload, move.role, move.source) != (workload.name, role.name, source):
            continue
        target = facts.tier(workload.name, move.target)
        if target is not None and target >= at:
            count = f"{move.replicas} replicas move"
            yield f"{workload.name}: {count} from {source} to {move.target}, which is in no earlier tier"
