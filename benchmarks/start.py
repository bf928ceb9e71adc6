"""How long a daemon takes to its first cycle with 50,000 workloads in the store (SQLite). Limit: 10 s.

``python -m benchmarks.start [WORKLOADS]``. Half of the workloads run and fill 200 fake clusters, which outlive the
daemon as real ones do; the others, of 100 kinds, wait for room. The time is that of a restart: from nothing to the end
of the first cycle, with everything read, observed, reconciled and planned, and why each one waits written down. It also
tells for how long the event loop was held in one piece (design: 50 ms), then and while people go on working.
"""

from __future__ import annotations

import asyncio
import logging
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil
import structlog
import yaml

from benchmarks.machine import describe
from federator.clock import SystemClock
from federator.clusters.fake import FakeProvider, FakeSettings
from federator.daemon.compose import Daemon
from federator.daemon.cycle import Pace
from federator.documents import Document, read_files, to_cluster, workload_spec
from federator.engine.assign import intent_id
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, IntentState, Order
from federator.model.records import Changes, WorkloadRecord, WorkloadState
from federator.model.workload import Lifetime
from federator.store import SqlStore
from federator.telemetry.metrics import Metrics

LIMIT_S = 10.0
RUNS = 3
CLUSTERS = 200
KINDS = 100
REPLICAS = 8
CPU = 4
HELD_MS = 50
LOOK_EVERY_S = 0.002
WORK_S = 15.0
CHANGES = 20


def documents(count: int) -> Iterator[dict[str, object]]:
    """200 clusters in two tiers, each just large enough for what runs there."""
    nodes = math.ceil(count / 2 / CLUSTERS * REPLICAS * CPU / 64)
    for number in range(CLUSTERS):
        flavor = {"name": "standard", "count": nodes, "allocatable": {"cpu": 64, "memory": "256Gi"}}
        yield {
            "apiVersion": "federator.dev/v1alpha1",
            "kind": "Cluster",
            "metadata": {"name": f"c{number:03}", "labels": {"site": "cloud" if number % 4 == 0 else "grid"}},
            "spec": {"provider": "fake", "flavors": [flavor]},
        }
    tiers = [{"name": site, "selector": {"matchLabels": {"site": site}}} for site in ("grid", "cloud")]
    yield {
        "apiVersion": "federator.dev/v1alpha1",
        "kind": "PlacementPolicy",
        "metadata": {"name": "grid-first"},
        "spec": {"tiers": tiers},
    }


def record(number: int) -> WorkloadRecord:
    """A workload; every second one runs."""
    kind = number % KINDS
    spec = {
        "queue": f"q{kind % 10}",
        "replicas": REPLICAS,
        "requests": {"cpu": CPU, "memory": f"{1000 + kind}Mi"},
        "container": {"image": "example.org/reco:1", "command": ["reco", str(kind)]},
    }
    document = {
        "apiVersion": "federator.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": f"w{number:06}"},
        "spec": spec,
    }
    state = WorkloadState.RUNNING if number % 2 else WorkloadState.WAITING
    return WorkloadRecord(
        f"w{number:06}", f"{number:012x}", document, "bench", 1.8e9 + number, f"q{kind % 10}", state=state, waves=1
    )


def intent(kept: WorkloadRecord, number: int) -> Intent:
    """What a running one has at a cluster."""
    at = f"c{number // 2 % CLUSTERS:03}"
    return Intent(
        intent_id(kept.name, kept.uid, 0), kept.name, kept.uid, "", at, IndexSet.span(0, REPLICAS),
        state=IntentState.SENT, created_s=kept.submitted_s, tier="grid", policy="grid-first",
    )  # fmt: skip


Worlds = dict[str, FakeProvider]


async def fill(store: SqlStore, worlds: Worlds, count: int) -> None:
    """Write the workloads, and run those that run, as daemons before this one would have."""
    await store.open()
    for first in range(0, count, 5000):
        records = [record(number) for number in range(first, min(first + 5000, count))]
        intents = [intent(kept, int(kept.name[1:])) for kept in records if kept.state is WorkloadState.RUNNING]
        await store.commit(Changes(workloads=tuple(records), intents=tuple(intents)))
        by_name = {kept.name: kept for kept in records}
        for one in intents:
            role = workload_spec(by_name[one.workload].document).workload.roles[0]
            order = Order(one, Lifetime.BATCH, (role,), "bench", container=Container("example.org/reco:1"))
            await worlds[one.cluster].submit(order)
    await store.close()


def world(document: Document) -> FakeProvider:
    """The fake cluster of a document."""
    return FakeProvider(document.name, FakeSettings(to_cluster(document).flavors), clock=SystemClock())


class Lag:
    """The longest time that the event loop kept a task waiting that was due, in seconds; the watch costs next to
    nothing."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while True:
            due = time.perf_counter() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self.longest_s = max(self.longest_s, time.perf_counter() - due)

    def take(self) -> float:
        """The longest since the last call."""
        longest, self.longest_s = self.longest_s, 0.0
        return longest

    def stop(self) -> None:
        """Watch no more."""
        self._task.cancel()


@dataclass(frozen=True, slots=True)
class Start:
    """One start, in seconds: from nothing until the first cycle began and until it had ended, the processor's time in
    it, and how long planning took; how long the event loop was held, until the first cycle ended and in the daily work
    after it; and how long a cycle took then."""

    begins: float
    ends: float
    processor: float
    planned: float
    held_at_first: float
    held_later: float
    cycle_later: float


async def start(folder: Path, worlds: Worlds) -> Start:
    """Start a daemon, and let it work for a while."""
    began, processor = time.perf_counter(), time.process_time()
    clock, metrics = SystemClock(), Metrics("bench")
    lag = Lag()
    daemon = Daemon(
        store=SqlStore(f"sqlite:///{folder / 'federator.db'}"),
        clock=clock,
        metrics=metrics,
        paths=lambda: [folder / "files.yaml"],
        samples=(),
        make_provider=lambda document: FakeProvider(
            document.name, worlds[document.name].settings, clock=clock, cluster=worlds[document.name].cluster
        ),
        planners=ThreadPoolExecutor(2),
        pace=Pace(),
        retention_s=1e9,
    )
    await daemon.start()
    while not daemon.state.cycles or not _sum(metrics, "cycle"):
        await asyncio.sleep(0.01)
    ends, processor = time.perf_counter() - began, time.process_time() - processor
    cycle_s, plan_s = _sum(metrics, "cycle"), _sum(metrics, "plan")
    held_at_first = lag.take()
    cycles = daemon.state.cycles
    await work(daemon)
    held_later = lag.take()
    later = (_sum(metrics, "cycle") - cycle_s) / max(1, daemon.state.cycles - cycles)
    lag.stop()
    await daemon.stop()
    return Start(ends - cycle_s, ends, processor, plan_s, held_at_first, held_later, later)


async def work(daemon: Daemon) -> None:
    """What people do all day: some hand in, some cancel what runs."""
    ends = time.perf_counter() + WORK_S
    running = iter([name for name, live in daemon.state.workloads.items() if live.record.state == "running"])
    number = 10**6
    while time.perf_counter() < ends:
        for _ in range(CHANGES):
            number += 1
            arriving = [record(number).document]
            await daemon.service.submit(arriving, owner="bench", permit=lambda queue: None)
            await daemon.service.cancel(next(running), permit=lambda queue: None)
        await asyncio.sleep(1.0)


def _sum(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(f"federator_{name}_seconds_sum") or 0.0


def main() -> None:
    """Print the medians of some starts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    starts = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "files.yaml").write_text(yaml.safe_dump_all(documents(count)))
            worlds = {d.name: world(d) for d in read_files([folder / "files.yaml"]).clusters}
            asyncio.run(fill(SqlStore(f"sqlite:///{folder / 'federator.db'}"), worlds, count))
            starts.append(asyncio.run(start(folder, worlds)))
    memory_mib = psutil.Process().memory_info().rss / 2**20
    begins, ends, processor, planned, first, later, cycle = (
        statistics.median(each) for each in zip(*map(astuple, starts), strict=True)
    )
    print(f"start with {count} workloads in SQLite, {CLUSTERS} fake clusters; {describe()}")
    print(f"  until the first cycle begins, all read and every cluster seen: {begins:.2f} s (limit {LIMIT_S:g} s)")
    print(f"  until it has ended: {ends:.2f} s ({processor:.2f} s of a processor), of which planning: {planned:.2f} s")
    print(f"  the event loop was held for at most {first * 1000:.0f} ms until then (limit {HELD_MS} ms),")
    print(
        f"  and for {later * 1000:.0f} ms in {WORK_S:g} s of work after it, {CHANGES} handed in and cancelled at a time"
    )
    later_cycle = f"a later cycle took {cycle:.2f} s" if cycle else "no later cycle had ended by then"
    print(f"  {later_cycle}; medians of {RUNS}; memory: {memory_mib:.0f} MiB")


if __name__ == "__main__":
    main()
