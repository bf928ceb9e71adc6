"""How long a daemon takes to its first cycle with 50,000 workloads in the store (SQLite). Limit: 10 s.

``python -m benchmarks.start [WORKLOADS]``. Half of the workloads run, the others wait; they are of 100 kinds, on 200
fake clusters.
"""

from __future__ import annotations

import asyncio
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
from federator.daemon.compose import Daemon
from federator.daemon.cycle import Pace
from federator.daemon.providers import Surroundings, make_provider
from federator.engine.assign import intent_id
from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.records import Changes, WorkloadRecord, WorkloadState
from federator.store import SqlStore
from federator.telemetry.metrics import Metrics

LIMIT_S = 10.0
RUNS = 3
CLUSTERS = 200
KINDS = 100


def documents() -> Iterator[dict[str, object]]:
    """200 clusters of 64 nodes, in two tiers."""
    for number in range(CLUSTERS):
        flavor = {"name": "standard", "count": 64, "allocatable": {"cpu": 64, "memory": "256Gi"}}
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
        "replicas": 8,
        "requests": {"cpu": 1 + kind % 8, "memory": f"{2 + kind % 5}Gi"},
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
    return Intent(
        intent_id(kept.name, kept.uid, 0), kept.name, kept.uid, "", f"c{number % CLUSTERS:03}", IndexSet.span(0, 8),
        state=IntentState.RECORDED, created_s=kept.submitted_s, tier="grid", policy="grid-first",
    )  # fmt: skip


async def fill(store: SqlStore, count: int) -> None:
    """Write the workloads, as daemons before this one would have."""
    await store.open()
    for first in range(0, count, 5000):
        records = [record(number) for number in range(first, min(first + 5000, count))]
        intents = [intent(kept, int(kept.name[1:])) for kept in records if kept.state is WorkloadState.RUNNING]
        await store.commit(Changes(workloads=tuple(records), intents=tuple(intents)))
    await store.close()


async def start(folder: Path) -> float:
    """Seconds from nothing to the end of the first cycle."""
    began = time.perf_counter()
    clock = SystemClock()
    around = Surroundings(folder, clock, "bench")
    daemon = Daemon(
        store=SqlStore(f"sqlite:///{folder / 'federator.db'}"),
        clock=clock,
        metrics=Metrics("bench"),
        paths=lambda: [folder / "files.yaml"],
        samples=(),
        make_provider=lambda document: make_provider(document, around),
        planners=ThreadPoolExecutor(2),
        pace=Pace(),
        retention_s=1e9,
    )
    await daemon.start()
    while not daemon.state.cycles:
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    await daemon.stop()
    return took


def main() -> None:
    """Print the median of three starts."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    times = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "files.yaml").write_text(yaml.safe_dump_all(documents()))
            asyncio.run(fill(SqlStore(f"sqlite:///{folder / 'federator.db'}"), count))
            times.append(asyncio.run(start(folder)))
    memory_mib = psutil.Process().memory_info().rss / 2**20
    print(f"start to the first cycle, {count} workloads in SQLite, {CLUSTERS} fake clusters; {describe()}")
    print(f"  median of {RUNS}: {statistics.median(times):.2f} s   limit: {LIMIT_S:g} s   memory: {memory_mib:.0f} MiB")


if __name__ == "__main__":
    main()
