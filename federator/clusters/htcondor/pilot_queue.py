"""A schedd that pilots are sent to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from federator.clusters.htcondor import pilot_jobs
from federator.clusters.htcondor.helper import CallFailed, Helper
from federator.clusters.htcondor.settings import Access
from federator.clusters.sent.queue import QueueAway, Queued
from federator.clusters.sent.settings import PROGRAM, PilotJobs
from federator.pilot.pack import pack


class ScheddQueue:
    """See PilotQueue. The schedd keeps pilots that ended for an hour: nothing is kept here."""

    what = "the schedd"

    def __init__(self, cluster: str, jobs: PilotJobs, access: Access, directory: Path, federation: str) -> None:
        """``directory``: where the pilot is packed."""
        self._cluster = cluster
        self._jobs = jobs
        self._directory = directory
        self._mark = f"{federation}/{cluster}"
        self._helper = Helper(access, directory)

    async def open(self) -> None:
        """See PilotQueue."""
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        pack(self._directory / PROGRAM)

    async def look(self) -> Queued:
        """See PilotQueue."""
        found = await self._call("pilots", federation=self._mark)
        return pilot_jobs.read(self._cluster, found["jobs"], found["now_s"])

    async def start(self, count: int) -> Sequence[str]:
        """See PilotQueue."""
        program = self._directory / PROGRAM
        described = pilot_jobs.description(self._cluster, self._mark, self._jobs, program, self._directory)
        sent: Sequence[str] = (await self._call("start", description=described, count=count))["jobs"]
        return sent

    async def withdraw(self, jobs: Sequence[str]) -> None:
        """See PilotQueue."""
        await self._call("withdraw", jobs=list(jobs))

    async def close(self) -> None:
        """See PilotQueue."""
        await self._helper.close()

    async def _call(self, name: str, **arguments: object) -> Any:
        try:
            return await self._helper.call(name, **arguments)
        except (CallFailed, TimeoutError) as error:
            raise QueueAway(str(error)) from error
