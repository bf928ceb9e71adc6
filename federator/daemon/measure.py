"""Step 7 of the cycle: what the dashboards see, computed from the state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Gauge

from federator.daemon.sites import count_states, marks
from federator.daemon.snapshots import Snapshots
from federator.daemon.state import Member, State
from federator.documents.backfill import PREFIX
from federator.model.budget import Cost
from federator.model.cluster import Health
from federator.model.limits import Limit
from federator.model.plan import Snapshot
from federator.model.resources import Resources, in_base_units
from federator.telemetry.metrics import Metrics, replace
from federator.turns import Turns

Takers = Mapping[tuple[str, str], Resources]
"""What one replica takes of limits by name, by workload and role; of those that take any."""


async def measure(state: State, snapshots: Snapshots, refused: Mapping[tuple[str, str], int], metrics: Metrics) -> None:
    """Set every gauge to what the state says now; series of what is gone disappear.

    ``refused``: how many replicas the last plan refused, by (queue, main reason).
    """
    turns = Turns()
    capacity: dict[tuple[str, ...], float] = {}
    used: dict[tuple[str, ...], float] = {}
    whole = Resources()
    for name, member in list(state.members.items()):
        offered = capacity_of(member)
        whole += offered
        for resource, amount in in_base_units(offered).items():
            capacity[name, resource] = amount
        for kind, resources in used_of(member, state).items():
            for resource, amount in in_base_units(resources).items():
                used[name, resource, kind] = amount
        if turns.due:
            await turns.rest()
    gauges: list[tuple[Gauge, Mapping[tuple[str, ...], float]]] = [
        (metrics.cluster_capacity, capacity),
        (metrics.cluster_used, used),
        (metrics.backfill_kept_free, _kept_free(state)),
        (metrics.cluster_up, {(n,): float(m.health is Health.UP) for n, m in state.members.items()}),
        (metrics.queue_workloads, {key: float(count) for key, count in snapshots.states.items()}),
        (metrics.refused_replicas, {key: float(count) for key, count in refused.items()}),
        (metrics.policy_shadow_difference, {(name,): float(count) for name, count in state.shadows.items()}),
        (metrics.queue_spent, _spent(state)),
        (metrics.limit_capacity, _limits(state)),
        (metrics.limit_used, await _limits_used(state, turns)),
        (metrics.pilots, count_states(state)),
        (metrics.pilot_site_marks, marks(state)),
        (metrics.queue_share, {(queue,): share for queue, share in shares(state, snapshots, whole).items()}),
    ]
    for gauge, values in gauges:
        replace(gauge, values)
        if turns.due:
            await turns.rest()


def _kept_free(state: State) -> dict[tuple[str, ...], float]:
    """What each filler leaves free of which cluster, of the resources that it asks for; zero where it leaves none now,
    so that no series comes and goes."""
    found: dict[tuple[str, ...], float] = {}
    asked = {one.name: one.workload.roles[0].requests for one in state.fillers if one.idle_for_s or one.keep_free}
    for filled in state.plan.backfill:
        name = filled.workload.removeprefix(PREFIX)
        for cluster in filled.why if filled.workload in asked else ():
            kept = {one.resource: one.amount for one in filled.kept.get(cluster, ())}
            for resource, amount in in_base_units({r: kept.get(r, 0) for r in asked[filled.workload]}).items():
                found[cluster, name, resource] = amount
    return found


def _limits(state: State) -> dict[tuple[str, ...], float]:
    """How much there is of each limit by name that has an end."""
    found = {(one.name,): capacity_of_limit(one, state.members) for one in state.limits}
    return {key: float(count) for key, count in found.items() if count is not None}


async def _limits_used(state: State, turns: Turns) -> dict[tuple[str, ...], float]:
    """How much of each limit by name is in use."""
    snapshot = state.snapshot
    used: dict[tuple[str, ...], float] = {(one.name,): 0.0 for one in state.limits}
    for name, _, amount in in_use(snapshot, takers(snapshot)) if used else ():
        if (name,) in used:
            used[(name,)] += amount
        if turns.due:
            await turns.rest()
    return used


def _spent(state: State) -> dict[tuple[str, ...], float]:
    """What queues with a budget have spent: money, and grams of CO2."""
    costs = {one.queue: one.cost for one in state.snapshot.spent}
    bounded = [(queue.name, costs.get(queue.name, Cost())) for queue in state.queues if queue.budget is not None]
    spent: dict[tuple[str, ...], float] = {}
    for queue, cost in bounded:
        spent[queue, "money"], spent[queue, "carbon"] = cost.money_micro / 1e6, cost.carbon_mg / 1000
    return spent


def shares(state: State, snapshots: Snapshots, capacity: Resources) -> dict[str, float]:
    """What part of the federation each queue uses, of the resource it uses the largest part of (0 to 1)."""
    queues = {*(queue.name for queue in state.queues), *(queue for queue, _ in snapshots.states)}
    used: Mapping[str, Mapping[str, int]] = snapshots.used
    return {
        queue: max((n / capacity[name] for name, n in used.get(queue, {}).items() if capacity[name]), default=0.0)
        for queue in queues
    }


def takers(snapshot: Snapshot) -> Takers:
    """Who takes any of a limit."""
    return {
        (one.name, role.name): role.limits for one in snapshot.workloads for role in one.roles if role.limits.items_
    }


def in_use(snapshot: Snapshot, roles: Takers) -> Iterator[tuple[str, str, int]]:
    """(limit, cluster, how much), as planning counts it: what runs, is on its way there, or is being removed. What a
    lost cluster held counts as gone."""
    there = {cluster.name for cluster in snapshot.clusters if cluster.health is not Health.LOST}
    for holding in snapshot.holdings if roles else ():
        each = roles.get((holding.workload, holding.role))
        if each is not None and holding.cluster in there:
            for name, amount in each.items_:
                yield name, holding.cluster, amount * (holding.replicas + holding.leaving)


def capacity_of_limit(limit: Limit, clusters: Iterable[str]) -> int | None:
    """How much there is of it in all; where the federation has no limit, on its clusters together. None: no end."""
    if limit.count is not None:
        return limit.count
    here = [limit.on(cluster) for cluster in clusters]
    return None if None in here else sum(one or 0 for one in here)


def capacity_of(member: Member) -> Resources:
    """What the nodes of a cluster offer together; empty where that is unknown."""
    flavors = member.observation.flavors if member.observation else member.cluster.flavors
    return sum((flavor.allocatable * flavor.count for flavor in flavors or ()), Resources())


def free_of(member: Member) -> Resources:
    """What is free on the nodes of a cluster together."""
    flavors = member.observation.flavors if member.observation else member.cluster.flavors
    groups = (group for flavor in flavors or () for group in flavor.nodes)
    return sum((group.free.floor() * group.count for group in groups), Resources())


def used_of(member: Member, state: State) -> dict[str, Resources]:
    """What is used of a cluster, by class: production (ours), backfill (which counts as free) and foreign."""
    foreign = member.observation.foreign if member.observation else Resources()
    production = (capacity_of(member) - free_of(member) - foreign).floor()
    return {"production": production, "backfill": _filled(member, state), "foreign": foreign}


def _filled(member: Member, state: State) -> Resources:
    """What fillers use of a cluster."""
    total = Resources()
    for filler in state.fillers:
        live = state.workloads.get(filler.name)
        for intent_id in live.intents if live is not None else ():
            seen = member.observed(intent_id)
            if seen is not None and state.intents[intent_id].cluster == member.cluster.name:
                total += filler.workload.roles[0].requests * seen.bound
    return total
