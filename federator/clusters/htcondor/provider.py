"""One HTCondor pool as the daemon sees it, each replica a job of one schedd."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from federator.clusters.htcondor import jobs, output, seen, slots
from federator.clusters.htcondor.helper import CallFailed, Helper
from federator.clusters.htcondor.settings import HTCondorSettings
from federator.clusters.outcomes import Outcomes, uncounted
from federator.model import checkpoints
from federator.model.backfill import ABILITY
from federator.model.checkpoints import Sign, plain
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.model.workload import Lifetime
from federator.ports import Clock, ClusterUnreachable, NoLogs, OrderRefused
from federator.telling import ATTRIBUTE

AT_ONCE = 100
"""Jobs of one call: each gets a folder at the schedd, some 60 a second. A call has its own deadline."""


class HTCondorProvider:
    """Implements ``ports.ClusterProvider`` for one schedd.

    Every job carries its intent and its index, and stays in the queue when it has ended until the intent is
    cancelled: the queue is all that has to be known. ``federation`` marks what is ours.
    """

    def __init__(
        self,
        name: str,
        settings: HTCondorSettings,
        *,
        clock: Clock,
        federation: str,
        kept: Callable[[str, int], None] = uncounted,
        sign: Sign = plain,
    ) -> None:
        """``kept`` counts so many checkpoints by what became of them. ``sign``: makes addresses of them that are good
        for as long as can be."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._sign = sign
        self._mark = f"{federation}/{name}"
        self._helper = Helper(settings.access, settings.directory)
        self._outcomes = Outcomes(name, kept, before=True)
        self._slots = slots.Slots()
        self._news = asyncio.Event()
        self._orders = asyncio.Lock()

    async def open(self) -> None:
        """See whether the schedd answers."""
        self._settings.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._look()

    async def observe(self) -> Observation:
        """What the pool has, and the jobs of ours that are in the queue."""
        self._news.clear()
        now_s = self._clock.now_s()
        found = await self._look()
        self._hear(found["jobs"])
        why = self._slots.unfilled
        return Observation(
            cluster=self.name,
            at_s=now_s,
            flavors=self._slots.flavors,
            foreign=seen.foreign(found["jobs"], self._slots),
            intents=seen.observed(found["jobs"], self._slots),
            abilities=self._abilities(),
            version=f"HTCondor {found['version']}" + (f"; not filled: {why}" if why else ""),
        )

    def _hear(self, found: Sequence[seen.Json]) -> None:
        """What companions tell of checkpoints."""
        told = {seen.name_of(job): job[ATTRIBUTE] for job in found if ATTRIBUTE in job}
        for name, text in told.items():
            self._outcomes.hear(name, str(text))
        self._outcomes.only(told)
        self._outcomes.before = False

    def _abilities(self) -> frozenset[str]:
        can = {"process", "service", checkpoints.ABILITY}
        if self._slots.containers:
            can.add("container")
        if self._slots.unfilled == "":
            can.add(ABILITY)
        return frozenset(can)

    async def changed(self) -> None:
        """Return when something changed since the last ``observe`` began."""
        since_s, before = int(self._clock.now_s()) - 2, None
        while not self._news.is_set():
            told = await self._call("news", since_s=since_s)
            if before is not None and told != before:
                return
            before = told
            try:
                async with asyncio.timeout(self._settings.poll_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def submit(self, order: Order) -> None:
        """See that a job is in the queue for each replica wanted. Raises OrderRefused."""
        wanted = order.intent.indices - order.intent.withdrawn
        told = jobs.description(order, self._mark, self._settings, self._requirements(order))
        intent, left = order.intent.id, list(wanted)
        try:
            async with self._orders:
                if order.lifetime is Lifetime.SERVICE:
                    await self._remove(intent, None, left, order.spec_hash)
                for at in range(0, len(left), AT_ONCE):
                    part = left[at : at + AT_ONCE]
                    answer = await self._send(order, told, part)
                    if answer["unsettled"]:
                        words = f"{answer['unsettled']} jobs of a submission that was cut off are not settled yet"
                        raise OrderRefused("Unsettled", words, permanent=False, retry_after_s=2.0)
        finally:
            self._news.set()

    async def _send(self, order: Order, description: dict[str, str], indices: list[int]) -> Any:
        """One call of a submission; a companion goes with jobs whose checkpoints are kept."""
        packed = jobs.companion(order, IndexSet.of(indices), self._sign, self._clock.now_s())
        intent = order.intent.id
        if not packed:
            return await self._call("submit", intent=intent, description=description, indices=indices)
        with tempfile.TemporaryDirectory(dir=self._settings.directory) as folder:
            path = Path(folder) / jobs.COMPANION
            path.write_bytes(packed)
            description = {**description, "transfer_input_files": str(path)}
            return await self._call("submit", intent=intent, description=description, indices=indices)

    def _requirements(self, order: Order) -> str:
        if not order.flavors:
            return ""
        known = [self._slots.requirements[name] for name in order.flavors if name in self._slots.requirements]
        if not known:
            words = f"the pool has no slots of {', '.join(order.flavors)} now"
            raise OrderRefused("NoSuchFlavor", words, permanent=False, retry_after_s=10.0)
        return " || ".join(f"({words})" for words in known)

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Remove jobs of the intent. Their grace is the one that they were submitted with (``settings.grace_s``)."""
        try:
            await self._remove(intent_id, None if indices is None else list(indices), [], "")
        finally:
            self._news.set()

    async def _remove(self, intent: str, indices: list[int] | None, keep: list[int], spec: str) -> None:
        await self._call("remove", intent=intent, indices=indices, keep=keep, spec=spec)

    async def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """The output of one replica; HTCondor gives it when the replica has ended. Raises NoLogs."""
        while True:
            job = await self._job(intent_id, index)
            if job["JobStatus"] in (seen.COMPLETED, seen.HELD) and job.get("JobRunCount", 0):
                break
            if not follow:
                raise NoLogs(f"the output of replica {index} of {intent_id} comes with its end")
            await self._clock.sleep(self._settings.poll_s)
        try:
            data = await output.fetched(self._helper, job, self._settings.directory)
        except (CallFailed, TimeoutError) as error:
            raise NoLogs(f"the schedd does not give the output of replica {index} of {intent_id}: {error}") from error
        yield output.last_lines(data, tail_lines)

    async def _job(self, intent_id: str, index: int) -> dict[str, Any]:
        found: list[dict[str, Any]] = await self._call("jobs", intent=intent_id)
        mine = [job for job in found if job["FederatorIndex"] == index]
        if not mine:
            raise NoLogs(f"replica {index} of {intent_id} has no job in the queue")
        return max(mine, key=lambda job: int(job["ClusterId"]))

    async def close(self) -> None:
        """End the helper. What runs goes on running."""
        await self._helper.close()

    async def _look(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._call("look")
        self._slots = slots.read(found["slots"])
        return found

    async def _call(self, name: str, **arguments: object) -> Any:
        try:
            return await self._helper.call(name, federation=self._mark, **arguments)
        except (CallFailed, TimeoutError, OSError) as error:
            access = self._settings.access
            where = f"schedd {access.schedd or '(the only one)'} of {access.collector}"
            raise ClusterUnreachable(self.name, f"{where}: {error}") from error
