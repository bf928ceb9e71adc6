"""From how many replicas should run where to which: the intents to make, to change and to withdraw. Pure.

The planner speaks in numbers; a cluster is sent indices. An index is given to one intent at a time: it is free again
only when the cluster has been seen without it, or has not answered for so long that its work is placed elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from federator.engine.lifecycle import IntentEvent, next_intent_state
from federator.model.backfill import lost_s
from federator.model.indexset import IndexSet
from federator.model.intent import WHOLE, Intent, IntentState
from federator.model.plan import Placement
from federator.model.workload import Lifetime

NOT_WANTED = "not wanted there any more"
LARGEST_WAVE = 1000
"""Replicas in one intent: a larger wave would be one object too large for some API servers."""


@dataclass(frozen=True, slots=True)
class Holder:
    """One role of a workload (or all of them, role ``WHOLE``) and the intents it has anywhere.

    ``wanted`` are the indices that may run now: neither finished nor resting after a failure.
    ``pending`` are those that are known not to run yet; they are withdrawn first.
    """

    workload: str
    uid: str
    role: str
    lifetime: Lifetime
    generation: int
    wanted: IndexSet
    intents: tuple[Intent, ...]
    pending: IndexSet = IndexSet()
    gang: bool = False
    checkpoint_every_s: float | None = None
    """Of a filler, how often its replicas save what they have; None: they lose all when they are stopped."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """New intents, and old ones as they should be from now on (by their state, indices and withdrawn)."""

    new: tuple[Intent, ...] = ()
    changed: tuple[Intent, ...] = ()


@dataclass(slots=True)
class _Desk:
    """What one call of ``assign`` works on."""

    holder: Holder
    at_s: float
    plan_id: str
    next_wave: int
    why: Mapping[str, str]
    new: list[Intent] = field(default_factory=list)
    changed: dict[str, Intent] = field(default_factory=dict)

    def now(self, intent: Intent) -> Intent:
        return self.changed.get(intent.id, intent)

    def make(self, placement: Placement, indices: IndexSet, *, moved: bool) -> None:
        wave = self.next_wave + len(self.new)
        self.new.append(
            Intent(
                id=intent_id(self.holder.workload, self.holder.uid, wave),
                workload=self.holder.workload,
                workload_uid=self.holder.uid,
                role=self.holder.role,
                cluster=placement.cluster,
                indices=indices,
                generation=self.holder.generation,
                created_s=self.at_s,
                plan_id=self.plan_id,
                tier=placement.tier,
                policy=placement.policy,
                moved=moved,
            )
        )


def intent_id(workload: str, uid: str, wave: int) -> str:
    """The name of an intent, and of its object at the cluster: a DNS label, alike for alike arguments.

    At most 46 characters, so that a replica's index and the suffix of a pod's name still fit into a label.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", workload.lower()).strip("-")[:24].strip("-") or "w"
    if not slug[0].isalpha():
        slug = f"w{slug}"
    return f"{slug}-{uid[:10]}-{wave}"


def withdraw(intent: Intent, reason: str) -> Intent:
    """The intent when all of it should leave."""
    state = next_intent_state(intent.id, intent.state, IntentEvent.WITHDRAW)
    return replace(intent, state=state, withdrawn=IndexSet(), reason=reason)


def assign(
    holder: Holder,
    placements: Sequence[Placement],
    *,
    lost: Collection[str],
    at_s: float,
    plan_id: str,
    next_wave: int,
    why: Mapping[str, str] = MappingProxyType({}),
) -> Assignment:
    """What makes the intents of one holder match its placements (those of its role, one a cluster).

    ``why`` says, by cluster, why replicas leave it where that is more than that they are not wanted there.

    ``lost`` clusters do not answer for so long that their replicas are placed elsewhere; what they hold is withdrawn
    only as far as something else takes its place, so that a cluster which returns goes on with the rest.
    """
    desk = _Desk(holder, at_s, plan_id, next_wave, why)
    numbers = {p.cluster: p for p in placements if p.cluster not in lost and p.replicas > 0}
    if holder.lifetime is Lifetime.SERVICE:
        _assign_service(desk, numbers, lost)
    else:
        _assign_batch(desk, numbers, lost)
    return Assignment(tuple(desk.new), tuple(desk.changed.values()))


def _assign_service(desk: _Desk, numbers: Mapping[str, Placement], lost: Collection[str]) -> None:
    """One intent a cluster, whose number follows the plan."""
    holder = desk.holder
    elsewhere = sum(p.replicas for p in numbers.values())
    served: set[str] = set()
    for intent in holder.intents:
        if intent.state is IntentState.LEAVING:
            continue
        if intent.cluster in lost:
            count = min(len(intent.indices), max(0, len(holder.wanted) - elsewhere))
        else:
            placement = numbers.get(intent.cluster)
            count = placement.replicas if placement and intent.cluster not in served else 0
            served.add(intent.cluster)
        if count == 0:
            desk.changed[intent.id] = withdraw(intent, desk.why.get(intent.cluster, NOT_WANTED))
        elif count != len(intent.indices) or intent.generation != holder.generation:
            desk.changed[intent.id] = replace(
                intent,
                state=next_intent_state(intent.id, intent.state, IntentEvent.CHANGED),
                indices=IndexSet.span(0, count),
                generation=holder.generation,
                plan_id=desk.plan_id,
            )
    for cluster in sorted(set(numbers) - served):
        desk.make(numbers[cluster], IndexSet.span(0, numbers[cluster].replicas), moved=bool(holder.intents))


def _assign_batch(desk: _Desk, numbers: Mapping[str, Placement], lost: Collection[str]) -> None:
    """Waves of indices: shrink where too much runs, then give free indices to where too little does."""
    holder = desk.holder
    held: dict[str, list[Intent]] = {}
    for intent in holder.intents:
        if intent.live and intent.cluster not in lost:
            held.setdefault(intent.cluster, []).append(intent)
    withdrawing = False
    for cluster, intents in sorted(held.items()):
        surplus = sum(len(i.live) for i in intents) - (numbers[cluster].replicas if cluster in numbers else 0)
        if surplus > 0:
            withdrawing = True
            _shrink(desk, intents, surplus)
    free = holder.wanted - _taken(holder.intents, lost)
    missing = {c: p.replicas - sum(len(i.live) for i in held.get(c, ())) for c, p in numbers.items()}
    if holder.gang and sum(n for n in missing.values() if n > 0) > len(free):
        return  # some members have not left their last place yet: a gang starts whole
    for cluster in sorted(c for c, n in missing.items() if n > 0):
        indices = free.first(missing[cluster])
        free = free - indices
        while indices:
            wave = indices.first(LARGEST_WAVE)
            desk.make(numbers[cluster], wave, moved=withdrawing)
            indices = indices - wave
    _withdraw_from_lost(desk, lost)


def _taken(intents: Sequence[Intent], lost: Collection[str]) -> IndexSet:
    """The indices that some cluster that answers may still run, or has yet to be seen without."""
    taken = IndexSet()
    for intent in intents:
        if intent.cluster not in lost and intent.state is not IntentState.ENDED:
            taken = taken | (intent.indices - intent.settled)
    return taken


def _shrink(desk: _Desk, intents: Sequence[Intent], surplus: int) -> None:
    """Withdraw so many replicas: those that do not run yet first, then from the intent that loses least; of those that
    lose as much, from the youngest."""
    least_first = sorted(intents, key=lambda i: (_loses_s(desk, i), -i.created_s, i.id))
    for only_pending in (True, False):
        for intent in least_first:
            now = desk.now(intent)
            candidates = now.live & desk.holder.pending if only_pending else now.live
            leaving = candidates.last(surplus)
            if leaving:
                surplus -= len(leaving)
                desk.changed[intent.id] = _withdraw_some(now, leaving, desk.why.get(now.cluster, NOT_WANTED))
            if surplus <= 0:
                return


def _loses_s(desk: _Desk, intent: Intent) -> float:
    return lost_s(desk.at_s - intent.created_s, desk.holder.checkpoint_every_s)


def _withdraw_some(intent: Intent, indices: IndexSet, reason: str) -> Intent:
    # All roles of one manifest come and go together.
    if intent.role == WHOLE or not intent.live - indices:
        return withdraw(intent, reason)
    return replace(intent, withdrawn=intent.withdrawn | indices, reason=reason)


def _withdraw_from_lost(desk: _Desk, lost: Collection[str]) -> None:
    given = IndexSet()
    for intent in desk.new:
        given = given | intent.indices
    for intent in desk.holder.intents:
        copies = intent.live & given
        if copies and intent.cluster in lost:
            desk.changed[intent.id] = _withdraw_some(intent, copies, "placed elsewhere while the cluster was away")


def recall(intent: Intent, indices: IndexSet, reason: str, *, service: bool) -> Intent:
    """The intent without these replicas, which the cluster cannot start; of a service, only their number counts."""
    indices = indices & intent.live
    if not service or not intent.indices - indices:
        return _withdraw_some(intent, indices, reason)
    state = next_intent_state(intent.id, intent.state, IntentEvent.CHANGED)
    return replace(intent, state=state, indices=IndexSet.span(0, len(intent.indices) - len(indices)), reason=reason)
