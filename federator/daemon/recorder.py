"""Step 5 of the cycle: what was decided becomes intents, written before anything is sent.

A plan may change thousands of workloads. They are written some hundreds at a time, each workload with all that belongs
to it in one transaction, and what is written is sent while the next are: orders, other writers and the event loop wait
for none of the rest. A crash in between leaves a plan of which a part is carried out, as every plan is for a while.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from federator.daemon.decision import Change, Decision
from federator.daemon.draft import Draft, spread
from federator.daemon.filler_ends import not_wanted
from federator.daemon.settle import Rules, Settler
from federator.daemon.state import Displaced, Live, State
from federator.engine.assign import Holder, assign
from federator.model.checkpoints import Tried, wave_of
from federator.model.cluster import Health
from federator.model.indexset import IndexSet
from federator.model.intent import WHOLE, Intent
from federator.model.plan import Placement, Plan, Preemption
from federator.model.records import WorkloadState
from federator.ports import Clock, Store
from federator.telemetry.metrics import Metrics
from federator.turns import Turns

T = TypeVar("T")
Send = Callable[[Draft], Awaitable[None]]
Clocks = dict[tuple[str, str, str], float]
"""By (policy, tier, shape), since when."""
Work = tuple[str, Change | None]
"""A workload, and how it changes; None: only why it waits is to be told."""

WORKLOADS_AT_ONCE = 1000
"""Workloads that one transaction changes, or of which it tells why they wait."""


class Recorder:
    """Writes what was decided. ``send`` is given every draft that was written."""

    def __init__(self, state: State, store: Store, clock: Clock, metrics: Metrics, rules: Rules, send: Send) -> None:
        self._state = state
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._rules = rules
        self._send = send

    async def record(self, decided: Decision) -> None:
        """Write all of it. Raises StoreUnavailable; what was written by then stays, and is being sent."""
        plan_id = f"{int(decided.seen.at_s)}-{self._state.cycles}"
        clocks = self._clocks(decided)
        work: list[Work] = [(change.workload, change) for change in decided.changes]
        turns = Turns()
        for name, words in decided.words.items():
            live = self._state.workloads.get(name)
            if live is not None and live.waiting_for != words:
                work.append((name, None))
            if turns.due:
                await turns.rest()
        parts = list(_parts(work, WORKLOADS_AT_ONCE))
        if not parts and (clocks != self._state.clocks or decided.displaced != self._state.displaced):
            parts.append(())
        for number, part in enumerate(parts, start=1):
            displaced = decided.displaced if number == 1 else None  # before anything gives way
            await self._write(part, decided, plan_id, clocks if number == len(parts) else None, displaced)
        self._state.plan_id = plan_id
        self._metrics.moves_total.inc(sum(move.replicas for move in decided.made.moves))
        for one in decided.made.preemptions:
            self._metrics.preemptions_total.labels(one.reason).inc(one.replicas)

    async def _write(
        self,
        part: Sequence[Work],
        decided: Decision,
        plan_id: str,
        clocks: Clocks | None,
        displaced: Displaced | None,
    ) -> None:
        """Write some changes, and why some workloads wait; and the clocks and who displaced whom, unless None."""
        state, turns = self._state, Turns()
        filled = state.filled() if part else set()
        words: list[tuple[Live, str]] = []
        async with state.writing:
            draft = Draft(state, self._clock.now_s(), plan_id)
            lost = {name for name, m in state.members.items() if m.health is Health.LOST}
            for name, change in part:
                live = state.workloads.get(name)
                if live is None or not _is_planned(live):
                    continue  # it changed while the plan was made
                if change is None:
                    words.append((live, decided.words[name]))
                    draft.tell(live.record, "waiting", decided.words[name])
                else:
                    self._assign(draft, live, change, lost, decided.made)
                    if name not in decided.words:
                        words.append((live, ""))
                if turns.due:
                    await turns.rest()
            await Settler(state, draft, self._rules).progress_in_turns(turns)
            if clocks is not None and clocks != state.clocks:
                draft.values["clocks"] = [[*key, since] for key, since in sorted(clocks.items())]
            if displaced is not None and displaced != state.displaced:
                draft.values["displaced"] = [list(one) for one in displaced]
            await draft.commit(self._store)
            state.clocks = state.clocks if clocks is None else clocks
            state.displaced = state.displaced if displaced is None else displaced
        for live, why in words:
            live.waiting_for = why
        made = [intent for intent in draft.intents.values() if intent is not None and intent.plan_id == plan_id]
        for intent in made:
            live = state.workloads.get(intent.workload)
            if live is not None and not live.spec.workload.backfill:
                state.starts.planned(intent, filled=intent.cluster in filled)
        await self._send(draft)
        for intent in made:
            if intent.policy:
                self._metrics.placements_total.labels(intent.cluster, intent.policy).inc(len(intent.indices))

    def _assign(self, draft: Draft, live: Live, change: Change, lost: set[str], plan: Plan) -> None:
        record, now_s = live.record, self._clock.now_s()
        fewer = not_wanted(self._state, live, plan) if live.spec.workload.backfill else {}
        made: list[Intent] = []
        for role, replicas in live.roles():
            holder = Holder(
                workload=record.name,
                uid=record.uid,
                role=role,
                lifetime=live.spec.workload.lifetime,
                generation=record.generation,
                wanted=_wanted(live, role, replicas, change, now_s),
                intents=tuple(i for i in self._state.intents_of(live) if i.role == role),
                pending=self._pending(live, role),
                gang=live.spec.workload.gang is not None,
                checkpoint_every_s=live.spec.workload.checkpoint_every_s if live.spec.workload.backfill else None,
            )
            assignment = assign(
                holder,
                _of_role(change.placements, role),
                lost=lost,
                at_s=now_s,
                plan_id=draft.plan_id,
                next_wave=record.waves + len(made),
                why=fewer | {one.cluster: _gives_way(one) for one in change.gives_way if role in (one.role, WHOLE)},
            )
            made.extend(assignment.new)
            draft.put(*assignment.new, *assignment.changed)
        for one in change.gives_way:
            draft.tell(record, "preempted", _gives_way(one), cluster=one.cluster, by=one.by, reason=one.reason)
        if not made:
            return
        record = replace(record, waves=record.waves + len(made))
        if live.spec.checkpoints is not None:
            record = replace(record, tried=_tried(record.tried, made))
        draft.put_record(record)
        counts: dict[str, int] = defaultdict(int)
        for intent in made:
            counts[intent.cluster] += len(intent.indices)
        policy = made[0].policy
        draft.tell(record, "placed", f"{spread(counts)}, by policy {policy}", placements=dict(counts), policy=policy)

    def _pending(self, live: Live, role: str) -> IndexSet:
        pending = IndexSet()
        for intent in self._state.intents_of(live):
            member = self._state.members.get(intent.cluster)
            seen = member.observed(intent.id) if member else None
            if intent.role == role:
                pending = pending | (intent.live - seen.running if seen else intent.live)
        return pending

    def _clocks(self, decided: Decision) -> Clocks:
        """Since when each tier has been full, for those that are full now."""
        before = self._state.clocks
        return {key: before.get(key, decided.seen.at_s) for key in decided.made.full_tiers}


def _tried(before: Mapping[str, Tried], made: Iterable[Intent]) -> dict[str, Tried]:
    """With these attempts more: who makes the next one looks for what they have kept."""
    tried = dict(before)
    for intent in made:
        tried[intent.role] = {**tried.get(intent.role, {}), wave_of(intent.id): intent.indices}
    return tried


def _gives_way(one: Preemption) -> str:
    return f"{one.replicas} on {one.cluster} gave way to {one.by} ({one.reason})"


def _is_planned(live: Live) -> bool:
    record = live.record
    return not (record.state.over or record.state is WorkloadState.CANCELLING or record.deleted)


def _wanted(live: Live, role: str, replicas: int, change: Change, now_s: float) -> IndexSet:
    """The indices of a role that may run now."""
    if live.service:
        # The number may be the policy's (totalReplicas), so the plan's own sum counts.
        return IndexSet.span(0, sum(p.replicas for p in change.placements if p.role == role) + change.refused)
    for key in [key for key, until in live.resting.items() if until <= now_s]:
        del live.resting[key]
    resting = IndexSet.of(index for name, index in live.resting if name == role)
    return live.unfinished(role, replicas) - resting


def _of_role(placements: Iterable[Placement], role: str) -> list[Placement]:
    """The placements of one role; of all roles of one manifest together, summed by cluster."""
    if role != WHOLE:
        return [p for p in placements if p.role == role]
    summed: dict[str, Placement] = {}
    for p in placements:
        before = summed.get(p.cluster)
        summed[p.cluster] = p._replace(role=WHOLE, replicas=p.replicas + (before.replicas if before else 0))
    return list(summed.values())


def _parts(items: Iterable[T], size: int) -> Iterator[Sequence[T]]:
    """So many at a time."""
    rest = iter(items)
    while part := tuple(islice(rest, size)):
        yield part
