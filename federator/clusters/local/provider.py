"""The provider of local clusters: what the daemon asks, answered from the files of the cluster's directory."""

from __future__ import annotations

import asyncio
import functools
import platform
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from federator.clusters.local import logs as output
from federator.clusters.local.files import Files
from federator.clusters.local.layout import Event
from federator.clusters.local.settings import LocalSettings
from federator.model.checkpoints import TROUBLE, Sign, plain
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.ports import Clock, ClusterUnreachable

LOG = structlog.get_logger(__name__)
T = TypeVar("T")
ABILITIES = frozenset({"container", "process", "service", "backfill", "checkpoints"})
_LOOK_AT_SUPERVISORS_S = 1.0


class LocalProvider:
    """Runs replicas as processes of this machine.

    Nothing runs as a child of the daemon and nothing is kept in memory that is not on the disk: a provider that is
    opened over the same directory after a crash sees what the one before it saw.
    """

    def __init__(
        self,
        name: str,
        settings: LocalSettings,
        *,
        clock: Clock,
        kept: Callable[[str], None] = lambda outcome: None,
        measured: Callable[[str, float], None] = lambda workload, cpu_s: None,
        sign: Sign = plain,
    ) -> None:
        """``kept`` counts one checkpoint by what became of it, ``measured`` what a replica of a filler has used."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._files = Files(settings, sign)
        self._kept = kept
        self._measured = measured
        self._began_s = clock.now_s()
        # One thread: calls of one cluster take turns, and the event loop waits for no disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"local-{name}")
        self._news = True

    async def open(self) -> None:
        """Make the directory, if it is not there yet."""
        await self._call(self._files.open)

    async def observe(self) -> Observation:
        """What the cluster has and runs now."""
        self._news = False
        now_s = self._clock.now_s()
        flavors, intents = await self._call(self._files.observe, now_s)
        self._count_checkpoints(await self._call(self._files.take_kept))
        for workload, event in await self._call(self._files.take_used):
            if event["at_s"] >= self._began_s:
                self._measured(workload, event["cpu_s"])
        return Observation(
            cluster=self.name,
            at_s=now_s,
            flavors=flavors,
            intents=intents,
            abilities=ABILITIES,
            version=f"processes on {platform.system()} {platform.release()}",
        )

    def _count_checkpoints(self, kept: Sequence[Event]) -> None:
        """Count what became of checkpoints since this process began: what was before has been counted."""
        for event in kept:
            if event["at_s"] < self._began_s:
                continue
            self._kept(event["outcome"])
            if event["outcome"] in TROUBLE:
                LOG.warning(event["message"], replica=event["index"], cluster=self.name)

    async def changed(self) -> None:
        """Return when something changed since the last ``observe`` began."""
        looked_at_s = self._clock.now_s()
        while not self._news:
            if await self._call(self._files.news):
                return
            if self._clock.now_s() - looked_at_s >= _LOOK_AT_SUPERVISORS_S:
                looked_at_s = self._clock.now_s()
                if await self._call(self._files.lost_supervisors):
                    return
            await self._clock.sleep(self._settings.poll_s)

    async def submit(self, order: Order) -> None:
        """Run the order as processes. Raises OrderRefused, for ``Cancelled`` ids too: an id never runs again."""
        try:
            await self._call(self._files.submit, order, self._clock.now_s())
        finally:
            self._news = True

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Remove an intent, or some replicas of it: SIGTERM, the grace, SIGKILL, then its files."""
        try:
            await self._call(self._files.cancel, intent_id, grace_s, indices)
        finally:
            self._news = True

    async def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """Output and errors of one replica, in pieces, over all its starts. Raises NoLogs."""
        async for piece in output.pieces(self._read_state, self._clock, intent_id, index, follow, tail_lines):
            yield piece

    async def _read_state(self, intent_id: str, index: int) -> output.State:
        return await self._call(output.state, self._files, intent_id, index)

    async def close(self) -> None:
        """Let go of the directory. What runs goes on running."""
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, functools.partial(function, *args))
        except (OSError, ValueError) as error:
            raise ClusterUnreachable(self.name, f"its directory {self._settings.directory}: {error}") from error
