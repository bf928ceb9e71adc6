"""How long a daemon takes to its first cycle with 50,000 workloads in the store (SQLite). Limit: 10 s.

``python -m benchmarks.start [WORKLOADS]``. Half of the workloads run and fill 200 fake clusters, which outlive the
daemon as real ones do; the others, of 100 kinds, wait for room. The time is that of a restart: from nothing to the end
of the first cycle, with everything read, observed, reconciled and planned, and why each one waits written down.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
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


async def start(folder: Path, worlds: Worlds) -> tuple[float, float]:
    """Seconds from nothing until the first cycle begins, and until it has ended."""
    began = time.perf_counter()
    clock = SystemClock()
    daemon = Daemon(
        store=SqlStore(f"sqlite:///{folder / 'federator.db'}"),
        clock=clock,
        metrics=Metrics("bench"),
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
    begins = time.perf_counter() - began
    while not daemon.state.cycles:
        await asyncio.sleep(0.01)
    ends = time.perf_counter() - began
    await daemon.stop()
    return begins, ends


def main() -> None:
    """Print the median of three starts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "files.yaml").write_text(yaml.safe_dump_all(documents(count)))
            worlds = {d.name: world(d) for d in read_files([folder / "files.yaml"]).clusters}
            asyncio.run(fill(SqlStore(f"sqlite:///{folder / 'federator.db'}"), worlds, count))
            times.append(asyncio.run(start(folder, worlds)))
    memory_mib = psutil.Process().memory_info().rss / 2**20
    begins, ends = (statistics.median(each) for each in zip(*times, strict=True))
    print(f"start with {count} workloads in SQLite, {CLUSTERS} fake clusters; {describe()}")
    print(f"  until the first cycle begins: {begins:.2f} s (limit {LIMIT_S:g} s); until it has ended: {ends:.2f} s")
    print(f"  medians of {RUNS}; memory: {memory_mib:.0f} MiB")


if __name__ == "__main__":
    main()
