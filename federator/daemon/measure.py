"""Step 7 of the cycle: what the dashboards see, computed from the state."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from federator.daemon.amounts import in_base_units
from federator.daemon.state import Live, Member, State
from federator.model.cluster import Health
from federator.model.intent import Intent
from federator.model.plan import Refusal
from federator.model.reasons import Reason
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
    mains: dict[int, str] = {}  # alike workloads share their reasons
    for refusal in state.plan.refusals:
        waiting = state.workloads.get(refusal.workload)
        key = id(refusal.reasons)
        if key not in mains:
            mains[key] = str(main_reason(refusal))
        refused[waiting.record.queue if waiting else "default", mains[key]] += refusal.replicas
    replace(metrics.refused_replicas, refused)
    replace(metrics.queue_share, {(queue,): share for queue, share in shares(state).items()})


MAIN_REASONS = (
    Reason.NO_ROOM,
    Reason.UNSCHEDULABLE,
    Reason.OVER_LIMIT,
    Reason.GANG_DOES_NOT_FIT,
    Reason.BELOW_MIN_REPLICAS,
    Reason.TIER_NOT_OPEN,
    Reason.AT_MAXIMUM,
    Reason.CLUSTER_AWAY,
    Reason.CLUSTER_UNKNOWN,
    Reason.CORDONED,
    Reason.DRAINING,
    Reason.BEHIND_BLOCKED_HEAD,
    Reason.REFUSED_BY_CLUSTER,
    Reason.TOO_BIG,
)
"""The reason that is counted where clusters give several is the first of these: what time may cure comes first."""


def main_reason(refusal: Refusal) -> Reason:
    """The one reason of a refusal that metrics count."""
    given = {verdict.reason for verdict in refusal.reasons.values()}
    return next((reason for reason in MAIN_REASONS if reason in given), min(given, default=Reason.NOT_IN_POLICY))


def shares(state: State) -> dict[str, float]:
    """What part of the federation each queue uses, of the resource it uses the largest part of (0 to 1)."""
    capacity = sum((capacity_of(member) for member in state.members.values()), Resources())
    used: dict[str, Counter[str]] = defaultdict(Counter)
    for live in state.workloads.values():
        total = used[live.record.queue]
        for intent_id in live.intents:
            for name, amount in requests_of(live, state.intents[intent_id]):
                total[name] += amount
    return {
        queue: max((amount / capacity[name] for name, amount in total.items() if capacity[name]), default=0.0)
        for queue, total in used.items()
    }


def requests_of(live: Live, intent: Intent) -> Iterator[tuple[str, int]]:
    """What the live replicas of an intent ask for together, by resource (a resource may come several times)."""
    count = len(intent.live)
    for role in live.spec.workload.roles if count else ():
        if intent.role == role.name or live.whole:
            replicas = role.replicas if live.whole else count
            for name, amount in role.requests.items_:
                yield name, amount * replicas


def capacity_of(member: Member) -> Resources:
    """What the nodes of a cluster offer together; empty where that is unknown."""
    flavors = member.observation.flavors if member.observation else member.cluster.flavors
    return sum((flavor.allocatable * flavor.count for flavor in flavors or ()), Resources())


def free_of(member: Member) -> Resources:
    """What is free on the nodes of a cluster together."""
    flavors = member.observation.flavors if member.observation else member.cluster.flavors
    groups = (group for flavor in flavors or () for group in flavor.nodes)
    return sum((group.free.floor() * group.count for group in groups), Resources())


def used_of(member: Member) -> dict[str, Resources]:
    """What is used of a cluster, by class: production (ours) and foreign."""
    foreign = member.observation.foreign if member.observation else Resources()
    return {"production": (capacity_of(member) - free_of(member) - foreign).floor(), "foreign": foreign}
