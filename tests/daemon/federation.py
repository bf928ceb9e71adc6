"""A daemon in one process, over fake clusters and a clock that is moved by hand: what takes hours takes moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import yaml

from federator.clock import VirtualClock
from federator.clusters.fake import FakeProvider, FakeSettings
from federator.daemon.compose import Daemon
from federator.daemon.cycle import Pace
from federator.daemon.settle import Rules
from federator.documents import Document, to_cluster
from federator.telemetry.metrics import Metrics
from tests.daemon.memory_store import MemoryStore

P = ParamSpec("P")
T = TypeVar("T")
API = "federator.dev/v1alpha1"


class Inline(ThreadPoolExecutor):
    """Runs everything at once, in the caller's thread: one test, one story."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Federation:
    """One daemon over a folder; may be stopped, or dropped as in a crash, and started again."""

    def __init__(
        self, folder: Path, usage_s: float = 30.0, learnt_s: float = 3600.0, cycle_s: float = 1.0, **rules: float
    ) -> None:
        self.folder = folder
        self.clock = VirtualClock(1_000_000.0)
        self.store = MemoryStore()
        self.providers: dict[str, FakeProvider] = {}
        self.rules = Rules(**rules)
        self.usage_s = usage_s
        self.learnt_s = learnt_s
        self.cycle_s = cycle_s
        self.daemon = self._new()

    def write(self, *documents: Mapping[str, Any], file: str = "federation.yaml") -> None:
        """The documents that the files hold."""
        text = yaml.safe_dump_all({"apiVersion": API, **d} for d in documents)
        (self.folder / file).write_text(text)

    def _new(self) -> Daemon:
        return Daemon(
            store=self.store,
            clock=self.clock,
            metrics=Metrics("test"),
            paths=lambda: [self.folder],
            samples=(),
            make_provider=self._provider,
            planners=Inline(),
            pace=Pace(self.cycle_s, 0.05, self.rules, self.usage_s, self.learnt_s),
            retention_s=86400.0,
        )

    def _provider(self, document: Document) -> FakeProvider:
        """The fake cluster of this name goes on as it was, whoever asks."""
        block = document.spec.fake
        settings = FakeSettings(
            flavors=to_cluster(document).flavors, start_delay_s=block.start_delay, run_time_s=block.run_time
        )
        old = self.providers.get(document.name)
        provider = FakeProvider(document.name, settings, clock=self.clock, cluster=old.cluster if old else None)
        self.providers[document.name] = provider
        return provider

    async def start(self) -> None:
        """Start a daemon over what is there; it reads its files between two moments of its clock, not beside it."""
        asyncio.get_running_loop().set_default_executor(Inline())
        await self.daemon.start()
        await self.run(2)

    async def crash(self) -> None:
        """Drop the daemon without a word, and make a new one."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        self.daemon = self._new()

    async def run(self, seconds: float, step_s: float = 0.25) -> None:
        """Let so much time pass."""
        end = self.clock.now_s() + seconds
        while self.clock.now_s() < end:
            await self.clock.advance(min(step_s, end - self.clock.now_s()))
            for _ in range(5):
                await asyncio.sleep(0)

    async def until(self, condition: Callable[[], bool], seconds: float = 600.0) -> None:
        """Let time pass until the condition holds; fails with the whole story if it does not."""
        end = self.clock.now_s() + seconds
        while not condition():
            assert self.clock.now_s() < end, self.story()
            await self.run(0.5)

    def story(self) -> str:
        """Everything that happened, for a failure."""
        return "\n".join(f"{e.at_s:.1f} {e.workload} {e.kind}: {e.message}" for e in self.store.entries)

    async def submit(self, name: str, replicas: int, cpu: str = "1", **spec: Any) -> None:
        """Hand in a workload."""
        env = {key: str(value) for key, value in spec.pop("env", {}).items()}
        container = {"command": ["payload"], "env": env}
        body = {"replicas": replicas, "requests": {"cpu": cpu}, "container": container, **spec}
        await self.daemon.service.submit([named("Workload", name, body)], owner="tester", permit=lambda queue: None)

    async def view(self, name: str) -> Mapping[str, Any]:
        """A workload as people see it."""
        return await self.daemon.service.get("workloads", name)

    def placed(self, name: str) -> dict[str, int]:
        """How many live replicas the daemon means to have at each cluster."""
        counts: dict[str, int] = {}
        for intent in self.daemon.state.intents.values():
            if intent.workload == name and intent.live:
                counts[intent.cluster] = counts.get(intent.cluster, 0) + len(intent.live)
        return dict(sorted(counts.items()))

    def state(self, name: str) -> str:
        """The state that the store has of a workload."""
        record = self.store.workloads.get(name)
        return str(record.state) if record else "forgotten"

    def running(self, cluster: str) -> int:
        """How many replicas really run at a cluster."""
        return sum(len(seen.running) for seen in self.providers[cluster].cluster.observed().values())

    def kinds(self, name: str) -> list[str]:
        """The kinds of a workload's history entries."""
        return [e.kind for e in self.store.entries if e.workload == name]


def named(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """A document."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, **metadata}, "spec": dict(spec)}


def fake(name: str, cpu: int, nodes: int = 1, run_time: str | None = "60s", **labels: str) -> dict[str, Any]:
    """A fake cluster."""
    flavor = {"name": "standard", "count": nodes, "allocatable": {"cpu": cpu}}
    block = {"runTime": run_time} if run_time else {}
    return named("Cluster", name, {"provider": "fake", "fake": block, "flavors": [flavor]}, labels=labels)


def tiers(name: str, *clusters: str, **spec: Any) -> dict[str, Any]:
    """A policy that fills these clusters one after the other."""
    return named("PlacementPolicy", name, {"tiers": [{"name": c, "clusters": [c]} for c in clusters], **spec})
