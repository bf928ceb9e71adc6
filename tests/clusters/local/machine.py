"""A local cluster for tests, and orders of shell commands for it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from federator import processes
from federator.clock import SystemClock
from federator.clusters.local import LocalProvider, LocalSettings, layout
from federator.clusters.local.launch import stop_everything
from federator.model.checkpoints import Sign, plain
from federator.model.cluster import Flavor, NodeGroup
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, ObservedIntent, Order
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import Clock, NoLogs
from federator.processes import birth, marked
from tests.contracts.harness import until_intent
from tests.patience import PATIENCE_S

GIB = 1 << 30
NODE = Resources.of({CPU: 100_000, MEMORY: 100 * GIB})
_numbers = itertools.count()


def flavor(count: int = 2, size: Resources = NODE, name: str = "standard") -> Flavor:
    """Some empty pretended nodes."""
    return Flavor(name, count, size, (NodeGroup(size, count),))


class Machine:
    """One directory, and the providers opened over it."""

    def __init__(self, directory: Path) -> None:
        self.tmp = directory
        self.settings = LocalSettings(directory / "cluster", (flavor(),), kill_grace_s=0.5, backoff_s=0.1, ready_s=0.3)
        self._gate = directory / "gate"
        self.providers: list[LocalProvider] = []
        self.clock: Clock = SystemClock()
        self.kept: list[str] = []
        """What became of checkpoints, as it was counted."""
        self.measured: list[tuple[str, float]] = []
        """What replicas of fillers used: workload, CPU seconds."""

    @property
    def directory(self) -> Path:
        return self.settings.directory

    async def open(self, sign: Sign = plain, **changes: object) -> LocalProvider:
        """A new provider, as after a restart of the daemon (the ones before are just forgotten)."""
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        counters = {"kept": self.kept.append, "measured": lambda *one: self.measured.append(one)}
        self.providers.append(LocalProvider("here", settings, clock=self.clock, sign=sign, **counters))
        await self.providers[-1].open()
        return self.providers[-1]

    def processes(self, intent_id: str) -> list[int]:
        """All live processes that carry the intent's mark."""
        prefix = f"{os.path.realpath(self.directory)}/{intent_id}/"
        return [pid for pid in marked(layout.MARKER, prefix) if birth(pid) is not None]

    def supervisor(self, intent_id: str) -> int:
        """The process id of its latest supervisor."""
        events = layout.JournalReader(str(self.directory / intent_id / layout.JOURNAL)).new_events()
        return [int(event["pid"]) for event in events if event["event"] == "supervisor"][-1]

    async def family(self, intent_id: str, count: int) -> list[int]:
        """Its latest supervisor and all processes below it, once there are so many."""
        async with asyncio.timeout(PATIENCE_S):
            while len(family := processes.family([self.supervisor(intent_id)])) < count:
                await asyncio.sleep(0.02)
        return family

    def events(self, intent_id: str, kind: str) -> list[layout.Event]:
        """What the journal has of one kind."""
        events = layout.JournalReader(str(self.directory / intent_id / layout.JOURNAL)).new_events()
        return [event for event in events if event["event"] == kind]

    @property
    def held(self) -> str:
        """Shell words that wait until the test lets go."""
        return f"until [ -e {self._gate} ]; do sleep 0.05; done"

    def let_go(self) -> None:
        """Everything that is held goes on."""
        self._gate.touch()

    async def clear(self) -> None:
        for provider in self.providers:
            await provider.close()
        stop_everything(self.directory)


def shell(
    script: str,
    indices: Iterable[int] = (0,),
    *,
    env: Mapping[str, str] | None = None,
    lifetime: Lifetime = Lifetime.BATCH,
    cpu: int = 100,
    memory: int = 0,
    time_limit_s: float | None = None,
    working_dir: str = "",
) -> Order:
    """An order of a new intent that runs a shell script."""
    wanted = IndexSet.of(indices)
    role = Role("", len(wanted), Resources.of({CPU: cpu, MEMORY: memory}))
    intent = Intent(f"i-{next(_numbers)}", "work", "uid", "", "here", wanted)
    container = Container(command=("sh", "-c", script), env=env or {}, working_dir=working_dir)
    return Order(intent, lifetime, (role,), "q", container=container, time_limit_s=time_limit_s, spec_hash="first")


async def ended(provider: LocalProvider, intent_id: str) -> ObservedIntent:
    """Wait until every replica has ended."""
    return await until_intent(provider, intent_id, lambda s: not s.pending and not s.running, "it ends")


async def all_run(provider: LocalProvider, intent_id: str) -> ObservedIntent:
    """Wait until every replica runs."""
    return await until_intent(provider, intent_id, lambda s: bool(s.running) and not s.pending, "it runs")


async def says(provider: LocalProvider, intent_id: str, words: str) -> None:
    """Wait until the first replica has written these words."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(NoLogs):
                if words in await output(provider, intent_id):
                    return
            await asyncio.sleep(0.02)


async def output(provider: LocalProvider, intent_id: str, index: int = 0) -> str:
    """All that a replica wrote."""
    return b"".join([piece async for piece in provider.logs(intent_id, index)]).decode()
