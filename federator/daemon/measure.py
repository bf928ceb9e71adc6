"""Step 7 of the cycle: what the dashboards see, computed from the state."""

from __future__ import annotations

from collections import Counter, defaultdict

from federator.daemon.amounts import in_base_units
from federator.daemon.state import Member, State
from federator.model.cluster import Health
from federator.model.resources import Resources
from federator.telemetry.metrics import Metrics, replace


def measure(state: State, metrics: Metrics) -> None:
    """Set every gauge to what the state says now; series of what is gone disappear."""
    capacity: dict[tuple[str, ...], float] = {}
    used: dict[tuple[str, ...], float] = {}
    for name, member in state.members.items():
        for resource, amount in in_base_units(capacity_of(member)).items():
            capacity[name, resource] = amount
        for kind, resources in used_of(member).items():
            for resource, amount in in_base_units(resources).items():
                used[name, resource, kind] = amount
    replace(metrics.cluster_capacity, capacity)
    replace(metrics.cluster_used, used)
    replace(metrics.cluster_up, {(n,): float(m.health is Health.UP) for n, m in state.members.items()})
    states: Counter[tuple[str, ...]] = Counter()
    for live in state.workloads.values():
        states[live.record.queue, str(live.record.state)] += 1
    replace(metrics.queue_workloads, {key: float(count) for key, count in states.items()})
    refused: dict[tuple[str, ...], float] = defaultdict(float)
    for refusal in state.plan.refusals:
        waiting = state.workloads.get(refusal.workload)
        queue = waiting.record.queue if waiting else "default"
        for reason in {verdict.reason for verdict in refusal.reasons.values()}:
            refused[queue, str(reason)] += refusal.replicas
    replace(metrics.refused_replicas, refused)


def capacity_of(member: Member) -> Resources:
    """What the nodes of a cluster offer together; empty where that is unknown."""
    flavors = member.observation.flavors if member.observation else member.cluster.flavors
    total = Resources()
    for flavor in flavors or ():
        total = total + flavor.allocatable * flavor.count
    return total


def free_of(member: Member) -> Resources:
    """What is free on the nodes of a cluster together."""
    flavors = member.observation.flavors if member.observation else member.cluster.flavors
    total = Resources()
    for flavor in flavors or ():
        for group in flavor.nodes:
            total = total + group.free.floor() * group.count
    return total


def used_of(member: Member) -> dict[str, Resources]:
    """What is used of a cluster, by class: production (ours) and foreign."""
    foreign = member.observation.foreign if member.observation else Resources()
    return {"production": (capacity_of(member) - free_of(member) - foreign).floor(), "foreign": foreign}
