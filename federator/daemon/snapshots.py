"""Makes the snapshot that the planner reads, out of the state. Pure reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from federator.daemon.state import Live, Member, State
from federator.model.cluster import Cluster, Health
from federator.model.intent import WHOLE, Intent, ObservedIntent
from federator.model.plan import Exclusion, Holding, Snapshot, TierClock
from federator.model.policy import MoveBudget
from federator.model.workload import Role, Workload


def snapshot(state: State, at_s: float) -> Snapshot:
    """The federation as a value at this instant."""
    planned = [live for live in state.workloads.values() if _wants_planning(live)]
    workloads = tuple(w for live in planned if (w := as_planned(live, at_s)) is not None)
    return Snapshot(
        at_s=at_s,
        clusters=tuple(as_cluster(state, member, at_s) for _, member in sorted(state.members.items())),
        workloads=tuple(sorted(workloads, key=lambda w: w.name)),
        holdings=tuple(h for live in planned for h in holdings(state, live, at_s)),
        policies=state.policies,
        queues=state.queues,
        cohorts=state.cohorts,
        limits=state.limits,
        planning=state.planning,
        clocks=tuple(TierClock(*key, since_s) for key, since_s in sorted(state.clocks.items())),
        exclusions=tuple(Exclusion(*key, detail) for key, detail in sorted(state.exclusions.items())),
    )


def as_cluster(state: State, member: Member, at_s: float) -> Cluster:
    """The member as the planner sees it: its document, and what it says of itself now."""
    seen = member.observation
    return replace(
        member.cluster,
        health=member.health,
        health_message=member.message,
        away_s=0.0 if member.health is Health.UP else max(0.0, at_s - member.away_since_s),
        cordoned=member.cluster.cordoned or member.cluster.name in state.cordoned,
        draining=member.retired or member.cluster.name in state.draining,
        flavors=seen.flavors if seen and seen.flavors is not None else member.cluster.flavors,
        limits=seen.limits if seen else None,
        foreign=seen.foreign if seen else member.cluster.foreign,
        abilities=seen.abilities if seen else member.cluster.abilities,
        unschedulable=tuple(member.unschedulable[key] for key in sorted(member.unschedulable)),
    )


def _wants_planning(live: Live) -> bool:
    return not live.record.state.over and live.record.state != "cancelling" and not live.record.deleted


def as_planned(live: Live, at_s: float) -> Workload | None:
    """The workload with the replicas that are to run now; None if there are none."""
    if live.service:
        return live.spec.workload
    if live.resting:
        return _as_planned(live, at_s)
    # Records are replaced, never changed: the same record gives the same answer.
    if live.planned is None or live.planned[0] is not live.record:
        live.planned = (live.record, _as_planned(live, at_s))
    return live.planned[1]


def _as_planned(live: Live, at_s: float) -> Workload | None:
    workload = live.spec.workload
    roles = tuple(_remaining(live, role, at_s) for role in workload.roles)
    roles = tuple(role for role in roles if role.replicas > 0)
    if not roles:
        return None
    total = sum(role.replicas for role in roles)
    # Once it has started there is nothing left to start: what comes back after a failure may come back alone.
    least = 1 if live.record.started_s else min(workload.min_replicas, total)
    return replace(workload, roles=roles, min_replicas=least)


def _remaining(live: Live, role: Role, at_s: float) -> Role:
    if live.whole:
        finished = bool(live.record.finished.get(WHOLE)) or any(
            until > at_s for (name, _), until in live.resting.items() if name == WHOLE
        )
        return replace(role, replicas=0) if finished else role
    open_indices = len(live.unfinished(role.name, role.replicas)) - sum(
        1 for (name, _), until in live.resting.items() if name == role.name and until > at_s
    )
    parallelism = live.spec.workload.parallelism
    return replace(role, replicas=open_indices if parallelism is None else min(open_indices, parallelism))


def holdings(state: State, live: Live, at_s: float) -> Iterator[Holding]:
    """What the clusters hold of a workload, by role and cluster."""
    # Replicas that were moved lately do not move again, whether or not the policy also has a budget of moves.
    periods = {p.name: (p.stay.move_budget or MoveBudget()).period_s for p in state.policies}
    grouped: dict[tuple[str, str], list[Intent]] = {}
    for intent_id in live.intents:
        intent = state.intents[intent_id]
        if intent.live and intent.cluster in state.members:
            grouped.setdefault((intent.role, intent.cluster), []).append(intent)
    for (role, cluster), intents in sorted(grouped.items()):
        member = state.members.get(cluster)
        observed = [(intent, member.observed(intent.id) if member else None) for intent in intents]
        counts = [(len(intent.live), _unbound(intent, seen)) for intent, seen in observed]
        held = Holding(
            workload=live.record.name,
            role=role,
            cluster=cluster,
            replicas=sum(n for n, _ in counts),
            unbound=sum(n for _, n in counts),
            age_s=at_s - max(intent.created_s for intent in intents),
            moved=sum(len(i.live) for i in intents if i.moved and at_s - i.created_s < periods.get(i.policy, 0.0)),
        )
        yield from _by_role(live, held) if role == WHOLE else (held,)


def _unbound(intent: Intent, seen: ObservedIntent | None) -> int:
    """How many of its live replicas do not show in the free amounts of the cluster's nodes."""
    if seen is None:
        return len(intent.live)
    return max(0, len(intent.live) - seen.bound)


def _by_role(live: Live, held: Holding) -> Iterable[Holding]:
    """A manifest of several roles holds all replicas of all its roles; what is not bound is shared out in order."""
    unbound = held.unbound
    for role in live.spec.workload.roles:
        part = min(unbound, role.replicas)
        unbound -= part
        yield replace(held, role=role.name, replicas=role.replicas, unbound=part)
