"""What planning and measuring read of one workload: a value that holds until the workload changes. Pure reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from federator.daemon.state import Live, State
from federator.model.intent import WHOLE, Intent, ObservedIntent
from federator.model.plan import Holding
from federator.model.records import WorkloadState
from federator.model.workload import Role, Workload


@dataclass(frozen=True, slots=True)
class Held:
    """A holding without what changes by time alone."""

    workload: str
    role: str
    cluster: str
    replicas: int
    unbound: int
    youngest_s: float
    """When the youngest of its intents was made."""
    moves: tuple[tuple[float, str, int], ...] = ()
    """(when, by which policy, how many) replicas were moved there."""
    waves: tuple[tuple[float, int], ...] = ()
    """(when, how many) replicas were sent there, where that was at several times."""
    leaving: int = 0
    """Replicas beyond these that are being removed there and still use a node."""


@dataclass(frozen=True, slots=True)
class Part:
    """One workload: its part in snapshots, and in what is measured."""

    queue: str
    state: str
    workload: Workload | None = None
    """With the replicas that are to run now; None if there are none, or it is not to be planned any more."""
    held: tuple[Held, ...] = ()
    uses: tuple[tuple[str, int], ...] = ()
    """What its live replicas ask for together, by resource."""
    resting: bool = False
    """Whether replicas rest after a failure, so that it changes when time passes."""


NOTHING = Part("", "")
"""Stands for a workload that is not there."""


def part_of(state: State, name: str, at_s: float) -> Part | None:
    """The part of a workload; None if there is no such workload."""
    live = state.workloads.get(name)
    if live is None:
        return None
    record = live.record
    uses = tuple(sorted(_uses(state, live).items())) if live.intents else ()
    if record.state.over or record.state is WorkloadState.CANCELLING or record.deleted:
        return Part(record.queue, str(record.state), uses=uses)
    held = tuple(_held(state, live)) if live.intents else ()
    return Part(record.queue, str(record.state), _as_planned(live, at_s, held), held, uses, bool(live.resting))


def _uses(state: State, live: Live) -> Counter[str]:
    total: Counter[str] = Counter()
    for intent_id in live.intents:
        for name, amount in requests_of(live, state.intents[intent_id]):
            total[name] += amount
    return total


def requests_of(live: Live, intent: Intent) -> Iterator[tuple[str, int]]:
    """What the live replicas of an intent ask for together, by resource (a resource may come several times)."""
    count = len(intent.live)
    for role in live.spec.workload.roles if count else ():
        if intent.role == role.name or live.whole:
            replicas = role.replicas if live.whole else count
            for name, amount in role.requests.items_:
                yield name, amount * replicas


def _as_planned(live: Live, at_s: float, held: Sequence[Held]) -> Workload | None:
    """The workload with the replicas that are to run now; None if there are none."""
    workload = live.spec.workload
    if live.service:
        return workload
    wanted = [_remaining(live, role, at_s) for role in workload.roles]
    if live.rests_until_s > at_s:
        wanted = [min(sum(one.replicas for one in held), *wanted)]
    total = sum(wanted)
    if total == 0:
        return None
    # Once it has started there is nothing left to start: what comes back after a failure may come back alone.
    least = 1 if live.record.started_s else min(workload.min_replicas, total)
    if least == workload.min_replicas and all(n == r.replicas > 0 for n, r in zip(wanted, workload.roles, strict=True)):
        return workload  # as it was handed in: most are
    roles = (replace(role, replicas=count) for role, count in zip(workload.roles, wanted, strict=True) if count > 0)
    return replace(workload, roles=tuple(roles), min_replicas=least)


def _remaining(live: Live, role: Role, at_s: float) -> int:
    """How many replicas of a role are to run now."""
    if live.whole:
        finished = bool(live.record.finished.get(WHOLE)) or any(
            until > at_s for (name, _), until in live.resting.items() if name == WHOLE
        )
        return 0 if finished else role.replicas
    if not (live.record.finished or live.resting or live.spec.workload.parallelism):
        return role.replicas
    open_indices = len(live.unfinished(role.name, role.replicas)) - sum(
        1 for (name, _), until in live.resting.items() if name == role.name and until > at_s
    )
    parallelism = live.spec.workload.parallelism
    return max(0, open_indices if parallelism is None else min(open_indices, parallelism))


def _held(state: State, live: Live) -> Iterator[Held]:
    """What the clusters hold of a workload, by role and cluster."""
    grouped: dict[tuple[str, str], list[Intent]] = {}
    for intent_id in live.intents:
        intent = state.intents[intent_id]
        if intent.cluster in state.members and (intent.live or _leaving(state, intent)):
            grouped.setdefault((intent.role, intent.cluster), []).append(intent)
    for (role, cluster), intents in sorted(grouped.items()):
        observed = state.members[cluster].observed
        held = Held(
            workload=live.record.name,
            role=role,
            cluster=cluster,
            replicas=sum(len(intent.live) for intent in intents),
            unbound=sum(_unbound(intent, observed(intent.id)) for intent in intents),
            youngest_s=max(intent.created_s for intent in intents),
            moves=tuple(sorted((i.created_s, i.policy, len(i.live)) for i in intents if i.moved)),
            waves=tuple(sorted((i.created_s, len(i.live)) for i in intents if i.live)) if len(intents) > 1 else (),
            leaving=sum(_leaving(state, intent) for intent in intents),
        )
        yield from _by_role(live, held) if role == WHOLE else (held,)


def _leaving(state: State, intent: Intent) -> int:
    """How many of its replicas use a node though they should not run there any more."""
    seen = state.members[intent.cluster].observed(intent.id)
    return max(0, seen.bound - len(intent.live)) if seen is not None else 0


def _unbound(intent: Intent, seen: ObservedIntent | None) -> int:
    """How many of its live replicas do not show in the free amounts of the cluster's nodes."""
    if seen is None:
        return len(intent.live)
    return max(0, len(intent.live) - seen.bound)


def _by_role(live: Live, held: Held) -> Iterator[Held]:
    """A manifest of several roles holds all replicas of all its roles; what is not bound is shared out in order."""
    unbound = held.unbound
    for role in live.spec.workload.roles:
        part = min(unbound, role.replicas)
        unbound -= part
        there, gone = (role.replicas, 0) if held.replicas else (0, role.replicas)
        yield replace(held, role=role.name, replicas=there, unbound=part, waves=(), leaving=gone)


def as_holding(held: Held, at_s: float, periods: Mapping[str, float]) -> Holding:
    """The holding at an instant; ``periods`` are for how long each policy counts what was moved, in seconds."""
    return Holding(
        held.workload,
        held.role,
        held.cluster,
        held.replicas,
        held.unbound,
        at_s - held.youngest_s,
        sum(count for since_s, policy, count in held.moves if at_s - since_s < periods.get(policy, 0.0)),
        leaving=held.leaving,
        waves=tuple((at_s - since_s, count) for since_s, count in held.waves),
    )
