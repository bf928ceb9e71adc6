"""One cycle of the daemon, in seven steps: observe, reconcile, snapshot, plan, record, dispatch, explain."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from federator.daemon.dispatcher import Dispatcher, needs_action
from federator.daemon.draft import Draft, spread
from federator.daemon.measure import measure
from federator.daemon.settle import Rules, Settler
from federator.daemon.snapshots import snapshot
from federator.daemon.state import Live, State
from federator.daemon.timing import within
from federator.engine.assign import Holder, assign
from federator.engine.planner import plan
from federator.model.cluster import Health
from federator.model.indexset import IndexSet
from federator.model.intent import WHOLE, Intent
from federator.model.plan import Placement, Plan, Snapshot
from federator.model.reasons import Verdict
from federator.ports import Clock, Store, StoreUnavailable
from federator.telemetry.metrics import Metrics

LOG = structlog.get_logger(__name__)
MOST_NAMED = 5
"""Clusters that a history entry names for one reason; of more it gives the number."""
FIRST_ANSWERS_S = 3.0
"""How long the first plan waits for the clusters to answer: a plan without them would send work the wrong way."""


@dataclass(slots=True)
class Pace:
    """When cycles run, in seconds."""

    cycle_s: float = 1.0
    debounce_s: float = 0.05
    rules: Rules = field(default_factory=Rules)


class Cycle:
    """Runs cycles: soon after something changed, and at least every ``cycle_s``."""

    def __init__(
        self,
        state: State,
        store: Store,
        dispatcher: Dispatcher,
        clock: Clock,
        metrics: Metrics,
        planners: Executor,
        pace: Pace,
    ) -> None:
        self._state = state
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._metrics = metrics
        self._planners = planners
        self._pace = pace
        self._began_s = clock.now_s()

    async def run(self) -> None:
        """Run cycles until cancelled. A store that does not answer only delays them; nothing is lost by it."""
        took_s = 0.0
        while True:
            with suppress(TimeoutError):
                await within(self._clock, self._pace.cycle_s, self._state.woken())
            # A rest as long as the work: under load half of the processor is left to orders, watches and requests.
            await self._clock.sleep(max(self._pace.debounce_s, min(took_s, self._pace.cycle_s)))
            began = time.perf_counter()
            try:
                await self.once()
                took_s = time.perf_counter() - began
                self._state.store_problem = self._state.cycle_problem = ""
            except StoreUnavailable as error:
                self._state.store_problem = str(error)
                LOG.error("the store does not answer; nothing is sent until it does", detail=str(error))
                await self._clock.sleep(self._pace.cycle_s)
            except Exception as error:
                # The next cycle starts from the store's and the clusters' word, so a fault in one is not fatal.
                self._state.cycle_problem = f"the last cycle failed: {type(error).__name__}: {error}; the log says more"
                LOG.exception("cycle failed")
                await self._clock.sleep(self._pace.cycle_s)

    async def once(self) -> None:
        """One cycle. Raises StoreUnavailable, with nothing changed or sent since the last write."""
        started = time.perf_counter()
        # 1 observe: the observers have done it; here only the time that passed is looked at.
        self._judge_health()
        # 2 reconcile
        await self._reconcile()
        if not self._ready():
            return
        # 3 snapshot
        seen = snapshot(self._state, self._clock.now_s())
        # 4 plan, off the loop
        began = time.perf_counter()
        made = await asyncio.get_running_loop().run_in_executor(self._planners, plan, seen)
        self._metrics.plan_seconds.observe(time.perf_counter() - began)
        # 5 record the intents, 6 dispatch
        await self._record(seen, made)
        # 7 explain and measure
        self._remember(seen, made)
        measure(self._state, self._metrics)
        self._metrics.cycle_seconds.observe(time.perf_counter() - started)

    def _ready(self) -> bool:
        """Whether a first plan may be made: all clusters answered, or had the time to."""
        if self._state.cycles or self._clock.now_s() - self._began_s > FIRST_ANSWERS_S:
            return True
        return all(m.health is not Health.UNKNOWN or m.message for m in self._state.members.values())

    def _judge_health(self) -> None:
        """A cluster that has not answered for the outage grace is lost: its replicas are placed elsewhere."""
        now_s = self._clock.now_s()
        for member in self._state.members.values():
            silent_s = now_s - member.away_since_s
            if member.health in (Health.AWAY, Health.UNKNOWN) and silent_s >= self._state.planning.outage_grace_s:
                member.health = Health.LOST
                LOG.warning("cluster lost", cluster=member.cluster.name, silent_s=round(silent_s, 1))

    async def _reconcile(self) -> None:
        async with self._state.writing:
            draft = Draft(self._state, self._clock.now_s(), self._state.plan_id)
            settler = Settler(self._state, draft, self._pace.rules)
            taken = len(self._dispatcher.answers)
            settler.answers(self._dispatcher.answers[:taken])
            marks = {m: m.settled_tick for m in self._state.members.values()}
            try:
                for member in self._state.members.values():
                    settler.observation(member)
                settler.housekeeping()
                settler.progress()
                await draft.commit(self._store)
            except BaseException:
                for member, mark in marks.items():
                    member.settled_tick = mark
                raise
            del self._dispatcher.answers[:taken]
        for queue, waited_s in settler.waits:
            self._metrics.wait_seconds.labels(queue).observe(waited_s)
        self._send(draft)
        for cluster, intent_id in settler.orphans:
            LOG.warning("an intent that nobody means is removed", cluster=cluster, intent=intent_id)
            self._dispatcher.kick(cluster, intent_id)

    async def _record(self, seen: Snapshot, made: Plan) -> None:
        plan_id = f"{int(seen.at_s)}-{self._state.cycles}"
        async with self._state.writing:
            draft = Draft(self._state, self._clock.now_s(), plan_id)
            self._assign(draft, seen, made)
            self._tell_refusals(draft, made)
            settler = Settler(self._state, draft, self._pace.rules)
            settler.progress()
            clocks = self._clocks(seen, made)
            if clocks != self._state.clocks:
                draft.values["clocks"] = [[*key, since] for key, since in sorted(clocks.items())]
            await draft.commit(self._store)
            self._state.clocks = clocks
        self._state.plan_id = plan_id
        self._send(draft)
        for intent in draft.intents.values():
            if intent is not None and intent.plan_id == plan_id and intent.policy:
                self._metrics.placements_total.labels(intent.cluster, intent.policy).inc(len(intent.indices))
        self._metrics.moves_total.inc(sum(move.replicas for move in made.moves))

    def _send(self, draft: Draft) -> None:
        for intent in draft.intents.values():
            if intent is not None and needs_action(intent):
                self._dispatcher.kick(intent.cluster, intent.id)
        if draft.intents:
            self._state.wake()

    def _assign(self, draft: Draft, seen: Snapshot, made: Plan) -> None:
        wanted: dict[str, list[Placement]] = defaultdict(list)
        refused: dict[str, int] = defaultdict(int)
        for placement in made.placements:
            wanted[placement.workload].append(placement)
        for refusal in made.refusals:
            refused[refusal.workload] += refusal.replicas
        held: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for holding in seen.holdings:
            held[holding.workload][holding.role, holding.cluster] = holding.replicas
        lost = {name for name, m in self._state.members.items() if m.health is Health.LOST}
        for name in {*wanted, *refused}:
            live = self._state.workloads.get(name)
            if live is None or live.record.state.over or live.record.state == "cancelling" or live.record.deleted:
                continue  # it changed while the plan was made
            as_held = held[name] == {(p.role, p.cluster): p.replicas for p in wanted[name]}
            if not as_held or live.service:  # a service may have a new spec though its numbers are as they were
                self._assign_one(draft, live, wanted[name], refused[name], lost)

    def _assign_one(self, draft: Draft, live: Live, placements: list[Placement], refused: int, lost: set[str]) -> None:
        record, now_s = live.record, self._clock.now_s()
        made: list[Intent] = []
        for role, replicas in live.roles():
            holder = Holder(
                workload=record.name,
                uid=record.uid,
                role=role,
                lifetime=live.spec.workload.lifetime,
                generation=record.generation,
                wanted=self._wanted(live, role, replicas, placements, refused, now_s),
                intents=tuple(i for i in self._state.intents_of(live) if i.role == role),
                pending=self._pending(live, role),
                gang=live.spec.workload.gang is not None,
            )
            assignment = assign(
                holder,
                _of_role(placements, role),
                lost=lost,
                at_s=now_s,
                plan_id=draft.plan_id,
                next_wave=record.waves + len(made),
            )
            made.extend(assignment.new)
            draft.put(*assignment.new, *assignment.changed)
        if not made:
            return
        record = replace(record, waves=record.waves + len(made))
        draft.put_record(record)
        counts: dict[str, int] = defaultdict(int)
        for intent in made:
            counts[intent.cluster] += len(intent.indices)
        policy = made[0].policy
        draft.tell(record, "placed", f"{spread(counts)}, by policy {policy}", placements=dict(counts), policy=policy)

    @staticmethod
    def _wanted(
        live: Live, role: str, replicas: int, placements: Iterable[Placement], refused: int, now_s: float
    ) -> IndexSet:
        if live.service:
            # The number may be the policy's (totalReplicas), so the plan's own sum counts.
            return IndexSet.span(0, sum(p.replicas for p in placements if p.role == role) + refused)
        for key in [key for key, until in live.resting.items() if until <= now_s]:
            del live.resting[key]
        resting = IndexSet.of(index for name, index in live.resting if name == role)
        return live.unfinished(role, replicas) - resting

    def _pending(self, live: Live, role: str) -> IndexSet:
        pending = IndexSet()
        for intent in self._state.intents_of(live):
            member = self._state.members.get(intent.cluster)
            seen = member.observed(intent.id) if member else None
            if intent.role == role:
                pending = pending | (intent.live - seen.running if seen else intent.live)
        return pending

    def _tell_refusals(self, draft: Draft, made: Plan) -> None:
        """Write why a workload waits into its history, when the reasons are others than before."""
        reasons: dict[str, str] = {}
        told: dict[int, str] = {}  # alike workloads share their reasons: they are put into words once
        for refusal in made.refusals:
            key = id(refusal.reasons)
            if key not in told:
                told[key] = summary(refusal.reasons)
            reasons.setdefault(refusal.workload, told[key])
        for name, words in reasons.items():
            live = self._state.workloads.get(name)
            if live and live.waiting_for != words:
                live.waiting_for = words
                draft.tell(draft.record(live), "waiting", words)
        for name in draft.touched - set(reasons):
            if live := self._state.workloads.get(name):
                live.waiting_for = ""

    @staticmethod
    def _clocks(seen: Snapshot, made: Plan) -> dict[tuple[str, str, str], float]:
        before = {(c.policy, c.tier, c.shape): c.since_s for c in seen.clocks}
        return {key: before.get(key, seen.at_s) for key in made.full_tiers}

    def _remember(self, seen: Snapshot, made: Plan) -> None:
        self._state.snapshot, self._state.plan = seen, made
        self._state.cycles += 1


def summary(reasons: Mapping[str, Verdict]) -> str:
    """Why something waits, short enough to be kept: "NoRoom: cern, gpu; NotInPolicy: 180 clusters"."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for cluster, verdict in sorted(reasons.items()):
        by_reason[str(verdict.reason)].append(cluster)
    named = {
        reason: ", ".join(clusters) if len(clusters) <= MOST_NAMED else f"{len(clusters)} clusters"
        for reason, clusters in by_reason.items()
    }
    return "; ".join(f"{reason}: {words}" for reason, words in sorted(named.items()))


def _of_role(placements: Iterable[Placement], role: str) -> list[Placement]:
    """The placements of one role; of all roles of one manifest together, summed by cluster."""
    if role != WHOLE:
        return [p for p in placements if p.role == role]
    summed: dict[str, Placement] = {}
    for p in placements:
        before = summed.get(p.cluster)
        summed[p.cluster] = p._replace(role=WHOLE, replicas=p.replicas + (before.replicas if before else 0))
    return list(summed.values())
