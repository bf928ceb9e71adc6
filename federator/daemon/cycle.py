"""One cycle of the daemon, in seven steps: observe, reconcile, snapshot, plan, record, dispatch, explain."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

import structlog

from federator.daemon.decision import Decision, decision
from federator.daemon.dispatcher import Dispatcher, needs_action
from federator.daemon.draft import Draft
from federator.daemon.fillers import FillerKeeper
from federator.daemon.learnt import LearntKeeper
from federator.daemon.measure import measure
from federator.daemon.recorder import Recorder
from federator.daemon.settle import Rules, Settler
from federator.daemon.shadows import ShadowKeeper
from federator.daemon.snapshots import Picture, Snapshots
from federator.daemon.spending import SpendingKeeper
from federator.daemon.state import NOT_YET, State
from federator.daemon.timing import within
from federator.daemon.usage import UsageKeeper
from federator.engine.downtimes import next_change_s
from federator.engine.ground import Ground
from federator.engine.planner import plan
from federator.model.cluster import Health
from federator.ports import Clock, Store, StoreUnavailable
from federator.telemetry.metrics import Metrics
from federator.turns import Turns

LOG = structlog.get_logger(__name__)
CHANGES_AT_ONCE = 1000
"""Changes that reconciling writes in one transaction."""
ORDERS_AT_ONCE = 16
"""Orders that are begun in one turn of the event loop."""
REST = 4
"""A cycle is followed by a rest of so many times its length, though by none longer than ``cycle_s``."""
FIRST_ANSWERS_S = 3.0
"""How long the first plan waits for the clusters to answer: a plan without them would send work the wrong way."""


@dataclass(slots=True)
class Pace:
    """When cycles run, in seconds."""

    cycle_s: float = 1.0
    debounce_s: float = 0.05
    rules: Rules = field(default_factory=Rules)
    usage_s: float = 30.0
    """How often what queues use is added to what they had lately, and what it costs to what they have spent."""
    learnt_s: float = 3600.0
    """How often what is learnt of how others use a cluster is written, each cluster by itself."""
    shadow_s: float = 30.0
    """How often it is planned what policies in the shadow would change."""


class Cycle:
    """Runs cycles: soon after something changed, at the moments of downtimes, and at least every ``cycle_s``."""

    def __init__(
        self,
        state: State,
        snapshots: Snapshots,
        store: Store,
        dispatcher: Dispatcher,
        clock: Clock,
        metrics: Metrics,
        planners: Executor,
        pace: Pace,
    ) -> None:
        self._state = state
        self._snapshots = snapshots
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._metrics = metrics
        self._planners = planners
        self._pace = pace
        self._recorder = Recorder(state, store, clock, metrics, pace.rules, self._send)
        self._fillers = FillerKeeper(state, store, pace.rules)
        self._usage = UsageKeeper(state, snapshots, store, pace.usage_s)
        self._spending = SpendingKeeper(state, store, planners, pace.usage_s)
        self._shadows = ShadowKeeper(state, planners, pace.shadow_s)
        self.learnt = LearntKeeper(state, store, pace.learnt_s)
        self._ground = Ground()
        self._began_s = 0.0

    async def run(self) -> None:
        """Run cycles until cancelled. A store that does not answer only delays them; nothing is lost by it."""
        took_s = 0.0
        self._began_s = self._clock.now_s()
        while True:
            with suppress(TimeoutError):
                await within(self._clock, self._longest_rest_s(), self._state.woken())
            # Under load most of the processor is left to orders, watches and requests.
            await self._clock.sleep(max(self._pace.debounce_s, min(REST * took_s, self._pace.cycle_s)))
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
        fillers = await self._fillers.keep_up(self._clock.now_s())
        if fillers is not None:
            await self._send(fillers)
        # 3 snapshot
        await self._usage.keep_up(self._clock.now_s())
        picture = await self._snapshots.take(self._clock.now_s())
        # 4 plan, off the loop
        decided = await asyncio.get_running_loop().run_in_executor(self._planners, _decide, picture, self._ground)
        self._metrics.plan_seconds.observe(decided.took_s)
        # 5 record the intents, 6 dispatch
        await self._recorder.record(decided)
        # 7 explain and measure
        self._remember(decided)
        await self._shadows.keep_up(decided)
        await self._spending.keep_up(decided.seen)
        await self.learnt.keep_up(self._clock.now_s())
        await self._snapshots.refresh(self._clock.now_s())
        await measure(self._state, self._snapshots, decided.counted, self._metrics)
        self._metrics.cycle_seconds.observe(time.perf_counter() - started)

    def _longest_rest_s(self) -> float:
        now_s = self._clock.now_s()
        announced = chain.from_iterable(member.cluster.downtimes for member in self._state.members.values())
        return min(self._pace.cycle_s, next_change_s(announced, now_s) - now_s)

    def _ready(self) -> bool:
        """Whether a first plan may be made: all clusters answered, or had the time to."""
        if self._state.cycles or self._clock.now_s() - self._began_s > FIRST_ANSWERS_S:
            return True
        return all(m.health is not Health.UNKNOWN or m.message != NOT_YET for m in self._state.members.values())

    def _judge_health(self) -> None:
        """A cluster that has not answered for the outage grace is lost: its replicas are placed elsewhere."""
        now_s = self._clock.now_s()
        for member in self._state.members.values():
            silent_s = now_s - member.away_since_s
            if member.health in (Health.AWAY, Health.UNKNOWN) and silent_s >= self._state.planning.outage_grace_s:
                member.health = Health.LOST
                LOG.warning("cluster lost", cluster=member.cluster.name, silent_s=round(silent_s, 1))

    async def _reconcile(self) -> None:
        """Settle all news, and write what follows: so many changes at a time, with turns for others."""
        taken = len(self._dispatcher.answers)
        settler = Settler(self._state, Draft(self._state, self._clock.now_s()), self._pace.rules)
        news = chain(
            settler.answers(self._dispatcher.answers[:taken]),
            *map(settler.observation, list(self._state.members.values())),
            settler.housekeeping(),
        )
        turns, more = Turns(), True
        while more:
            async with self._state.writing:
                draft = Draft(self._state, self._clock.now_s(), self._state.plan_id)
                settler.go_on(draft)
                more = False
                for _ in news:
                    if turns.due:
                        await turns.rest()
                    if more := draft.size >= CHANGES_AT_ONCE:
                        break
                await settler.progress_in_turns(turns)
                await draft.commit(self._store)
                settler.written()
            self._count(settler)
            await self._send(draft)
        del self._dispatcher.answers[:taken]
        for cluster, intent_id in settler.orphans:
            LOG.warning("an intent that nobody means is removed", cluster=cluster, intent=intent_id)
            self._dispatcher.kick(cluster, intent_id)

    def _count(self, settler: Settler) -> None:
        """Count what was settled and is written: should the store be away for the rest, this is not found again."""
        for start in settler.starts:
            self._metrics.production_start_seconds.labels(start.cluster, start.beside).observe(start.took_s)
        for one in settler.spent:
            self._state.tallies[one.filler, one.cluster].add(one)
            for outcome, seconds in (("useful", one.useful_s), ("lost", one.lost_s)):
                self._metrics.backfill_cpu_seconds_total.labels(one.cluster, one.filler, outcome).inc(seconds)
            if one.cause:
                self._metrics.backfill_evictions_total.labels(one.cluster, one.filler, one.cause).inc(one.replicas)
        for (cluster, outcome), replicas in settler.ended.items():
            self._metrics.replicas_ended_total.labels(cluster, outcome).inc(replicas)
        for queue, waited_s in settler.waits:
            self._metrics.wait_seconds.labels(queue).observe(waited_s)
        settler.counted()

    async def _send(self, draft: Draft) -> None:
        orders = [i for i in draft.intents.values() if i is not None and needs_action(i)]
        for number, intent in enumerate(orders, start=1):
            self._dispatcher.kick(intent.cluster, intent.id)
            if number % ORDERS_AT_ONCE == 0:
                await asyncio.sleep(0)
        if draft.intents:
            self._state.wake()

    def _remember(self, decided: Decision) -> None:
        state = self._state
        state.snapshot, state.plan, state.refused = decided.seen, decided.made, decided.refused
        state.cycles += 1


def _decide(picture: Picture, ground: Ground) -> Decision:
    """Runs in the planner's thread."""
    seen = picture.snapshot()
    began = time.perf_counter()
    made = plan(seen, ground=ground)
    return decision(seen, made, time.perf_counter() - began)
