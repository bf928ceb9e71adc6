"""A batch system as a place for pilots: the line and its leases as for any pilots, and as many pilots as it needs."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from federator.clusters.pilots.agents import flavor_name
from federator.clusters.pilots.provider import PilotsProvider
from federator.clusters.pilots.settings import PilotsSettings
from federator.clusters.pilots.site import Count, Measured, Spend
from federator.clusters.sent.missing import Missing
from federator.clusters.sent.queue import PilotQueue, QueueAway, Queued
from federator.clusters.sent.settings import PilotJobs
from federator.clusters.sizing import Decision, Look, decide
from federator.model.checkpoints import Sign, plain
from federator.model.cluster import Flavor
from federator.model.intent import Observation
from federator.model.pilots import Pilot
from federator.ports import Clock, LineStore

LOG = structlog.get_logger(__name__)


class SentPilots(PilotsProvider):
    """Pilots that pull, sent to a batch system as the line needs them. ``sizing`` decides how many.

    What was sent, and how it ended, is in the batch system's queue, which is read before anything is sent. One that
    does not answer takes no pilots; those that live work on.
    """

    def __init__(
        self,
        name: str,
        settings: PilotsSettings,
        jobs: PilotJobs,
        queue: PilotQueue,
        *,
        store: LineStore,
        clock: Clock,
        count: Count,
        spend: Spend = lambda use, core_seconds: None,
        kept: Count = lambda outcome: None,
        measured: Measured = lambda workload, cpu_s: None,
        sign: Sign = plain,
    ) -> None:
        super().__init__(
            name, settings, store=store, clock=clock, count=count, spend=spend, kept=kept, measured=measured, sign=sign
        )
        self._jobs = jobs
        self._queue = queue
        self._sender: asyncio.Task[None] | None = None
        self._told = Decision()
        self._words = f"{queue.what} has not answered yet"
        self._missing = Missing()
        self._heard_s = 0.0
        self._pilot = Pilot(name, name, jobs.limits.size, runtimes=jobs.runtimes)

    async def open(self) -> None:
        """Begin to watch over leases, and to send pilots."""
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_pilots(), name=f"pilots of {self.name}")
        await super().open()

    async def close(self) -> None:
        """Stop watching. Pilots that were sent go on, and end when they find no work."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
        await self._queue.close()
        await super().close()

    async def observe(self) -> Observation:
        """The pilots that live, and those that may still come."""
        seen = await super().observe()
        flavors = self._with_those_to_come(seen.flavors or ())
        return replace(seen, flavors=flavors, version=f"{seen.version}; {self._words}")

    def _with_those_to_come(self, flavors: tuple[Flavor, ...]) -> tuple[Flavor, ...]:
        """A pilot that may come is a node that an autoscaler may make."""
        name = flavor_name(self._pilot)
        same = next((flavor for flavor in flavors if flavor.name == name), None)
        same = same or Flavor(name, 0, self._pilot.resources, ())
        others = [flavor for flavor in flavors if flavor.name != name]
        return tuple(sorted((*others, replace(same, max_count=same.count + self._told.to_come)), key=lambda f: f.name))

    def _abilities(self) -> frozenset[str]:
        """What the pilots that are sent can run."""
        container = self._settings.images_as_processes or self._jobs.runtimes - {"process"}
        return frozenset({"service", *(["container"] if container else ()), *({"process"} & self._jobs.runtimes)})

    async def _send_pilots(self) -> None:
        await self._queue.open()
        while True:
            try:
                if self._loaded:
                    await self._size()
            except (QueueAway, OSError) as error:
                self._tell(Decision(), f"{self._queue.what} takes no pilots now: {error}", away=True)
            except Exception:
                # A mistake in one round must not leave the site without pilots for ever.
                LOG.exception("sizing failed", cluster=self.name)
            await self._clock.sleep(self._jobs.poll_s)

    async def _size(self) -> None:
        """Look at the queue, decide, and do it. What was sent and not answered is seen at the next look."""
        queued = await self._without_silent(await self._queue.look())
        told = decide(self._look(queued), self._jobs.limits)
        self._tell(told, self._in_words(told, queued))
        if told.submit:
            self._missing.sent(await self._queue.start(told.submit))
            LOG.info("pilots sent", cluster=self.name, pilots=told.submit, reasons=told.reasons)
        if told.withdraw:
            old = [job for job, age in queued.waiting.items() if age >= self._jobs.limits.keep_waiting_s]
            await self._take_back(old[-told.withdraw :])
            LOG.info("pilots taken back", cluster=self.name, pilots=told.withdraw)

    async def _take_back(self, jobs: list[str]) -> None:
        self._missing.taken_back(jobs)
        await self._queue.withdraw(jobs)

    async def _without_silent(self, queued: Queued) -> Queued:
        """Take away pilots that run and were not heard of for too long: they end badly, as do those that vanished."""
        registered = self._line.agents.keys()
        if vanished := self._missing.look(queued, registered):
            LOG.warning("pilots were removed by somebody else", cluster=self.name, jobs=vanished)
        unheard = self._missing.unheard(queued, registered)
        silent = {name: job for name, (job, age) in unheard.items() if age >= self._jobs.silent_s}
        if silent:
            await self._take_back(list(silent.values()))
            self._missing.bad(silent.values(), queued.now_s)
            LOG.warning("pilots ran and never registered", cluster=self.name, pilots=sorted(silent))
        return replace(queued, running={name: told for name, told in queued.running.items() if name not in silent})

    def _look(self, queued: Queued) -> Look:
        agents, margin_s = self._line.agents, self._settings.margin_s
        ahead_s = queued.now_s - self._clock.now_s()
        heard = [agents[name].pilot.registered_s + ahead_s for name in queued.running if name in agents]
        self._heard_s = max([self._heard_s, *heard])
        unheard = self._missing.unheard(queued, agents.keys())
        here = self._clock.now_s()
        return Look(
            now_s=queued.now_s,
            demand=tuple(self._line.demand(self._pilot)),
            free=tuple(agent.room() for agent in agents.values() if agent.trusted(here, margin_s)),
            live=len(queued.running) - len(unheard),
            starting=len(unheard),
            ending=self._missing.ending(queued),
            waiting_s=tuple(queued.waiting.values()),
            heard_s=self._heard_s,
            ends=self._missing.ends,
        )

    def _tell(self, told: Decision, words: str, *, away: bool = False) -> None:
        """What the planner may count on, and what people read."""
        if told.to_come != self._told.to_come or words != self._words:
            self._stirred.set()
        if told.closed != self._told.closed:
            LOG.warning("site closed" if told.closed else "site open again", cluster=self.name, words=words)
        self._told, self._words = told, words
        self.marks = {"closed": told.closed, "full": told.full, "away": away}
        marks = ((told.closed, "pilots end badly here"), (told.full, "pilots wait too long here"))
        self._line.why_none = next((mark for holds, mark in marks if holds), "")
        self._line.coming = self._pilot if told.to_come else None

    def _in_words(self, told: Decision, queued: Queued) -> str:
        """``3 run at the schedd, 2 wait; 9 wanted, 5 sent: ...``."""
        count = f"{len(queued.running)} run at {self._queue.what}, {len(queued.waiting)} wait"
        why = (queued.words,) if told.again_s and queued.words else ()
        return "; ".join((count, *told.reasons, *why))
