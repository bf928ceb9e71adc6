"""A Slurm that pilots are sent to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from federator.clusters.sent.queue import QueueAway, Queued
from federator.clusters.sent.settings import PROGRAM, PilotJobs
from federator.clusters.slurm import pilot_jobs
from federator.clusters.slurm.provider import ways_in
from federator.clusters.slurm.refusals import Gone, NoNode, Unreachable
from federator.clusters.slurm.settings import SlurmSettings
from federator.clusters.slurm.tracking import Transport
from federator.pilot.pack import pack
from federator.ports import Clock, OrderRefused


class SlurmQueue:
    """See PilotQueue."""

    what = "Slurm"

    def __init__(
        self,
        cluster: str,
        jobs: PilotJobs,
        settings: SlurmSettings,
        federation: str,
        clock: Clock,
        transport: Transport | None = None,
    ) -> None:
        """``transport``: instead of the way in that the settings name."""
        self._cluster = cluster
        self._jobs = jobs
        self._settings = settings
        self._federation = federation
        self._clock = clock
        self._transport = transport or ways_in(settings, clock)[0]

    async def open(self) -> None:
        """See PilotQueue."""
        await self._transport.open()

    async def look(self) -> Queued:
        """See PilotQueue."""
        now_s = self._clock.now_s()
        with _away():
            async with asyncio.timeout(self._settings.timeout_s):
                listing = await self._transport.listing()
        return pilot_jobs.read(self._cluster, self._federation, listing.tasks, now_s)

    async def start(self, count: int) -> Sequence[str]:
        """See PilotQueue. Files are read anew each time: a token may have been exchanged."""
        files = await asyncio.to_thread(self._files)
        text = pilot_jobs.script(self._cluster, self._settings.directory, self._jobs, files)
        job = pilot_jobs.job(self._cluster, self._federation, self._settings, self._jobs, text, count)
        with _away():
            number = await self._transport.submit(job)
        return [f"{number}_{task}" for task in range(count)]

    async def withdraw(self, jobs: Sequence[str]) -> None:
        """See PilotQueue."""
        with _away():
            await self._transport.cancel(jobs)

    async def close(self) -> None:
        """See PilotQueue."""
        await self._transport.close()

    def _files(self) -> Mapping[str, bytes]:
        program = self._settings.ledger / PROGRAM
        pack(program)
        paths = [Path(path) for path in (self._jobs.token_file, self._jobs.ca_file) if path]
        return {path.name: path.read_bytes() for path in (program, *paths)}


@contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise QueueAway("it told nothing in time") from error
    except (Unreachable, NoNode, Gone, OrderRefused) as error:
        raise QueueAway(str(error)) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise QueueAway(f"it answered in a form that we do not know: {error!r}") from error
