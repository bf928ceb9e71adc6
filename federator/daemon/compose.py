"""Puts the daemon together. The only place that knows every kind of cluster and the store at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import structlog

from federator.clock import SystemClock
from federator.daemon import garbage, spending, strays, usage
from federator.daemon.checkpoint_stores import signer
from federator.daemon.cycle import Cycle, Pace
from federator.daemon.desk import Desk
from federator.daemon.dispatcher import Dispatcher
from federator.daemon.files import ObjectSet, Registry
from federator.daemon.intake import stored_spec
from federator.daemon.observer import Observer
from federator.daemon.orders import Orders
from federator.daemon.providers import Surroundings, make_provider
from federator.daemon.settle import Rules
from federator.daemon.snapshots import Snapshots
from federator.daemon.state import Member, State
from federator.daemon.sweeper import Sweeper
from federator.documents import Configuration, Document, DocumentErrors, Problem, read_files
from federator.documents.backfill import PREFIX
from federator.model.checkpoints import LONGEST_S, Sign, plain
from federator.model.records import AuditEntry, Changes, Stored
from federator.ports import Clock, ClusterProvider, Store, StoreUnavailable
from federator.store import SqlStore
from federator.telemetry.metrics import Metrics
from federator.turns import Turns

LOG = structlog.get_logger(__name__)
PRUNE_EVERY_S = 3600.0
LAG_EVERY_S = 0.1


class Daemon:
    """One running federator. ``start`` returns when it serves; ``stop`` leaves everything in order for the next."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        paths: Callable[[], Sequence[Path]],
        samples: Sequence[Path],
        make_provider: Callable[[Document], ClusterProvider],
        planners: Executor,
        pace: Pace,
        retention_s: float,
        sign: Sign = plain,
    ) -> None:
        self.store = store
        self.metrics = metrics
        self.state = State()
        self._clock = clock
        self._samples = samples
        self._retention_s = retention_s
        self._planners = planners
        orders = Orders(self.state, clock)
        self._dispatcher = Dispatcher(self.state, clock, metrics, orders.order)
        self._registry = Registry(self.state, store, clock, paths, make_provider, pace.rules)
        self._registry.added = self._watch
        self._registry.removed = self._unwatch
        snapshots = Snapshots(self.state)
        self._cycle = Cycle(self.state, snapshots, store, self._dispatcher, clock, metrics, self._planners, pace)
        self.service = Desk(self.state, snapshots, store, self._dispatcher, self._registry, clock, self._planners)
        self._sweeper = Sweeper(self.state, store, clock, metrics, sign)
        self._entrance = asyncio.Lock()
        self._observers: dict[int, Observer] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Go on where the last daemon was. Raises DocumentErrors and StoreUnavailable."""
        await self.store.open()
        with garbage.none_sought():
            stored = await self.store.load()
            await self._remember(stored)
        garbage.only_young()
        objects = await self._registry.load()
        self._tasks = [
            asyncio.create_task(self._cycle.run(), name="cycle"),
            asyncio.create_task(self._registry.watch(self._files_changed), name="files"),
            asyncio.create_task(self._keep_house(), name="house"),
            asyncio.create_task(self._sweeper.run(), name="sweeper"),
            asyncio.create_task(self._measure_lag(), name="lag"),
        ]
        await self._hand_in(objects, stored)
        self.state.wake()

    async def stop(self) -> None:
        """Begin nothing more, let calls under way end, close clusters and store. What runs goes on running."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._cycle.learnt.keep_all(self._clock.now_s())
        except StoreUnavailable as error:
            LOG.warning("what was learnt lately is not kept", detail=str(error))
        await self._dispatcher.close()
        await asyncio.gather(*(observer.stop() for observer in self._observers.values()))
        self._planners.shutdown(wait=True, cancel_futures=True)
        await self.store.close()
        garbage.as_usual()

    async def audit(self, entry: AuditEntry) -> None:
        """Write one line of the audit trail. Raises StoreUnavailable."""
        await self.store.commit(Changes(audit=(entry,)))

    async def _remember(self, stored: Stored) -> None:
        """Take the stored state into memory."""
        state, turns = self.state, Turns()
        for record in stored.workloads:
            state.put_record(record, stored_spec(record))
            if turns.due:
                await turns.rest()
        for intent in stored.intents:
            state.put_intent(intent)
            if turns.due:
                await turns.rest()
        state.objects = {(kept.kind, kept.name): kept for kept in stored.objects}
        state.cordoned = set(stored.values.get("cordoned") or ())
        state.draining = set(stored.values.get("draining") or ())
        state.drain_by_s = dict(stored.values.get("drainBy") or {})
        state.last_event = stored.last_event
        state.displaced = tuple((w, v, since, at, n) for w, v, since, at, n in stored.values.get("displaced") or ())
        state.clocks = {(p, t, s): since for p, t, s, since in stored.values.get("clocks") or ()}
        state.lately, state.lately_s = usage.of_value(stored.values.get(usage.VALUE))
        state.spending, state.spending_s = spending.of_value(stored.values.get(spending.VALUE))
        state.strays = strays.of_values(stored.values)
        self._cycle.learnt.remember(stored.values)
        LOG.info("state read", workloads=len(state.workloads), intents=len(state.intents))

    async def _hand_in(self, objects: ObjectSet, stored: Stored) -> None:
        """Hand in the sample workloads, once in the life of a database."""
        if stored.values.get("samples"):
            return
        raws = [document.raw for document in objects.workloads]
        if self._samples:
            raws += [document.raw for document in read_files(list(self._samples)).workloads]
        if raws:
            await self.service.submit(raws, owner="samples", permit=lambda queue: None)
        await self.store.commit(Changes(values={"samples": True}))

    def _watch(self, member: Member) -> None:
        self._cycle.learnt.resume(member)
        observer = Observer(member, self.state, self._dispatcher, self._clock, self._entrance)
        self._observers[id(member)] = observer
        observer.start()

    async def _unwatch(self, member: Member) -> None:
        if observer := self._observers.pop(id(member), None):
            await observer.stop()

    def _files_changed(self) -> None:
        self.metrics.stale_policies.set(1 if self.state.file_problem else 0)

    async def _keep_house(self) -> None:
        """Forget what is older than the retention, and garbage; let go of clusters that are gone from the documents."""
        pruned_s = 0.0
        while True:
            await self._registry.release()
            now_s = self._clock.now_s()
            if now_s - pruned_s >= PRUNE_EVERY_S:
                if pruned_s:
                    garbage.collect()
                pruned_s = now_s
                try:
                    count = await self.store.prune(now_s - self._retention_s)
                    LOG.info("pruned", entries=count)
                except StoreUnavailable as error:
                    LOG.warning("not pruned", detail=str(error))
            await self._clock.sleep(5.0)

    async def _measure_lag(self) -> None:
        """How late the event loop comes to what is due: nothing may block it."""
        while True:
            due = time.perf_counter() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.metrics.event_loop_lag_seconds.observe(max(0.0, time.perf_counter() - due))


async def compose(configuration: Configuration, config_path: Path | None = None) -> Daemon:
    """A daemon as the configuration says, ready to be started. Raises DocumentErrors."""
    directory = configuration.state_directory
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"{directory} cannot be a folder: {(error.strerror or str(error)).lower()}"
        cure = "name one that may be made and written to"
        raise DocumentErrors(
            [Problem(str(config_path or "the defaults"), 0, 0, "spec.stateDirectory", message, cure)]
        ) from None
    clock = SystemClock()
    store, metrics = SqlStore(configuration.database_url), Metrics()

    def leased(cluster: str, outcome: str) -> None:
        metrics.leases_total.labels(cluster, outcome).inc()

    def spent(cluster: str, use: str, core_seconds: float) -> None:
        metrics.pilot_cpu_seconds_total.labels(cluster, use).inc(core_seconds)

    def kept(cluster: str, outcome: str, count: int) -> None:
        metrics.checkpoints_total.labels(cluster, outcome).inc(count)

    def measured(cluster: str, workload: str, cpu_s: float) -> None:
        metrics.backfill_measured_cpu_seconds_total.labels(cluster, workload.removeprefix(PREFIX)).inc(cpu_s)

    sign = signer(configuration.checkpoint_stores)
    around = Surroundings(
        directory,
        clock,
        configuration.federation,
        store,
        leased=leased,
        spent=spent,
        kept=kept,
        measured=measured,
        sign=sign,
        sign_for_long=signer(configuration.checkpoint_stores, LONGEST_S),
    )
    return Daemon(
        store=store,
        clock=clock,
        metrics=metrics,
        paths=configuration.paths,
        samples=configuration.sample_paths,
        make_provider=lambda document: make_provider(document, around),
        # Two threads: one plans for the cycle, the other answers "explain" meanwhile.
        planners=ThreadPoolExecutor(2, thread_name_prefix="planner"),
        pace=Pace(
            cycle_s=configuration.cycle,
            debounce_s=configuration.debounce,
            usage_s=configuration.count_usage,
            rules=Rules(configuration.recall_unschedulable, configuration.keep_ended),
        ),
        retention_s=configuration.retention,
        sign=sign,
    )


__all__ = ["Daemon", "DocumentErrors", "compose"]
