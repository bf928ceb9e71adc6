"""What pilots ask, answered: every change is in the store before a pilot or the planner hears of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from federator.clusters.pilots.agents import Agent, drained
from federator.clusters.pilots.ending import Endings
from federator.clusters.pilots.entry import Seat
from federator.clusters.pilots.line import Line
from federator.clusters.pilots.output import Tails
from federator.clusters.pilots.scribe import Scribe
from federator.clusters.pilots.settings import PilotsSettings
from federator.model.checkpoints import TROUBLE, Sign, plain
from federator.model.pilots import LineChanges, Mail, Pilot, Progress, Result, Stop
from federator.ports import Clock, LeaseRefused, LineStore, StoreUnavailable, UnknownPilot
from federator.turns import Turns

LOG = structlog.get_logger(__name__)
COUNT_EVERY_S = 1.0
"""How often it is added up what pilots are used for."""
Count = Callable[[str], None]
"""Counts one lease by its outcome: granted, succeeded, failed, void, stopped, returned, refused; or one checkpoint by
what became of it."""

Spend = Callable[[str, float], None]
"""Counts core seconds of pilots by use: payload, idle."""
Measured = Callable[[str, float], None]
"""Counts the CPU seconds that a replica of this filler (its workload) was measured to use."""


class Site:
    """The pilots' side of a cluster."""

    def __init__(
        self,
        name: str,
        settings: PilotsSettings,
        *,
        store: LineStore,
        clock: Clock,
        count: Count,
        spend: Spend = lambda use, core_seconds: None,
        kept: Count = lambda outcome: None,
        measured: Measured = lambda workload, cpu_s: None,
        sign: Sign = plain,
    ) -> None:
        self.name = name
        self._settings = settings
        self._store = store
        self._clock = clock
        self._count = count
        self._spend = spend
        self._kept = kept
        self._scribe = Scribe(store.commit_line)
        self._line = Line(name, settings, sign)
        self._loaded = False
        self._tails = Tails()
        self._stirred = asyncio.Event()
        self._pollers: dict[str, Agent] = {}
        """Pilots that wait for work, those that wait longest first."""
        self.used = {"payload": 0.0, "idle": 0.0}
        self.marks: Mapping[str, bool] = {}
        self._counted_s = clock.now_s()
        self._endings = Endings(self._line, self._scribe, self._tails, settings, clock, count, measured)

    async def register(self, pilot: Pilot) -> Mail:
        """See PilotSite."""
        await self._load()
        now_s = self._clock.now_s()
        known = self._line.agents.get(pilot.name)
        pilot = replace(pilot, cluster=self.name, registered_s=known.pilot.registered_s if known else now_s)
        await self._scribe.write(LineChanges(pilots={pilot.name: pilot}))
        agent = self._line.agents.get(pilot.name)
        if agent is None:
            self._line.add_agent(pilot, now_s)
        else:
            agent.describe(pilot)
            agent.renew((), now_s, 0.0)
        self._stir()
        return Mail(lease_s=self._settings.lease_s)

    async def lease(self, pilot: str, held: Sequence[str], limit: int, wait_s: float) -> Mail:
        """See PilotSite."""
        agent = await self._heard_of(pilot, held)
        agent.poll += 1
        poll = agent.poll
        agent.wake()  # the pilot has given up any call before this one
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while agent.poll == poll:
            await self._give(agent, limit)
            mail = self._mail(agent, held)
            left_s = until_s - loop.time()
            if mail.grants or mail.void or agent.news or left_s <= 0:
                agent.news = False
                return mail
            await self._wait_for_news(agent, left_s)
            if self._line.agents.get(pilot) is not agent:
                raise UnknownPilot(f"pilot {pilot} has said goodbye")
        return Mail(lease_s=self._settings.lease_s)

    async def heartbeat(self, pilot: str, held: Sequence[str]) -> Mail:
        """See PilotSite."""
        agent = await self._heard_of(pilot, held)
        return replace(self._mail(agent, held), grants=())

    async def progress(self, pilot: str, news: Sequence[Progress]) -> Mail:
        """See PilotSite."""
        held = [one.lease for one in news]
        agent = await self._heard_of(pilot, held)
        now_s = self._clock.now_s()
        for one in news:
            if one.checkpoint:
                self._keeps(one)
            for seat in self._line.seats_of((one.lease,), agent):
                self._tails.add(one.lease, one.log, one.log_from)
                if seat.started_s is None:
                    self._line.entries[seat.lease.intent].start(seat, now_s)
        self._stir()
        return replace(self._mail(agent, held), grants=())

    def _keeps(self, one: Progress) -> None:
        """Something became of a checkpoint."""
        self._kept(one.checkpoint)
        if one.checkpoint in TROUBLE:
            LOG.warning(one.message, lease=one.lease, cluster=self.name)

    async def finish(self, pilot: str, lease: str, result: Result) -> None:
        """See PilotSite."""
        agent = await self._heard_of(pilot, (lease,))
        try:
            await self._endings.finish(agent, lease, result)
        except LeaseRefused:
            self._count("refused")
            raise
        self._stir()

    async def drain(self, pilot: str) -> Mail:
        """See PilotSite."""
        agent = await self._heard_of(pilot, ())
        if not agent.pilot.draining:
            await self._scribe.write(LineChanges(pilots={pilot: drained(agent.pilot)}))
            agent.pilot = drained(agent.pilot)
        self._stir()
        return replace(self._mail(agent, ()), grants=())

    async def goodbye(self, pilot: str) -> None:
        """See PilotSite."""
        await self._load()
        agent = self._line.agents.get(pilot)
        if agent is None:
            return
        await self._endings.void(self._line.seats_of(tuple(agent.leases), agent), "its pilot said goodbye")
        await self._scribe.write(LineChanges(pilots={pilot: None}))
        self._line.drop_agent(pilot, self._clock.now_s())
        agent.wake()
        self._stir()

    def names(self) -> Collection[str]:
        """See PilotSite."""
        return self._line.agents.keys()

    def pilots(self, names: Collection[str] | None = None) -> Sequence[Mapping[str, Any]]:
        """See PilotSite."""
        now_s, agents = self._clock.now_s(), self._line.agents
        return [agents[name].shown(now_s) for name in sorted(agents if names is None else names)]

    def states(self) -> Mapping[str, int]:
        """See PilotSite."""
        return Counter(str(agent.state) for agent in self._line.agents.values())

    # What both sides use

    async def _load(self) -> None:
        if self._loaded:
            return
        stored = await self._store.load_line(self.name)
        if not self._loaded:  # another caller may have been quicker
            self._line.load(stored, self._clock.now_s())
            self._loaded = True

    async def _heard_of(self, pilot: str, held: Sequence[str]) -> Agent:
        """A sign of life of a pilot. Raises UnknownPilot."""
        await self._load()
        agent = self._line.agents.get(pilot)
        if agent is None:
            raise UnknownPilot(f"no pilot called {pilot!r} is registered with {self.name}; register first")
        if agent.lost:
            self._stir()
        now_s = self._clock.now_s()
        agent.renew(held, now_s, now_s + self._settings.lease_s)
        return agent

    async def _wait_for_news(self, agent: Agent, at_most_s: float) -> None:
        """Wait until there may be something to tell a pilot."""
        me = agent.waiter = asyncio.get_running_loop().create_future()
        self._pollers[agent.pilot.name] = agent
        await asyncio.wait({me}, timeout=at_most_s)
        if agent.waiter is me:
            self._pollers.pop(agent.pilot.name, None)

    async def _give(self, agent: Agent, limit: int) -> None:
        """Lease what fits, and write that down."""
        seats = self._line.take(agent, limit, self._clock.now_s())
        if not seats:
            return
        ids = [seat.lease.id for seat in seats]
        agent.recording.update(ids)
        try:
            await self._scribe.write(LineChanges(leases={(s.lease.intent, s.lease.index): s.lease for s in seats}))
        except StoreUnavailable:
            for seat in seats:
                self._line.give_back(seat, self._clock.now_s())
            raise
        agent.recording.difference_update(ids)
        for _ in seats:
            self._count("granted")
        self._stir()

    def _mail(self, agent: Agent, held: Sequence[str]) -> Mail:
        """All that a pilot should know now, said again until it is done."""
        known = {*held, *agent.recording}
        unheard = [lease for lease in agent.leases if lease not in known]
        to_sign = agent.to_sign(held, self._clock.now_s())
        return replace(
            agent.mail(held),
            checkpoints={s.lease.id: self._line.errand(s) for s in self._line.seats_of(to_sign, agent)},
            grants=tuple(self._line.grant(seat) for seat in self._line.seats_of(unheard, agent)),
            stop=tuple(Stop(lease, grace_s) for lease, grace_s in agent.stops.items() if lease not in agent.recording),
            lease_s=self._settings.lease_s,
        )

    async def _stop(self, seats: Iterable[Seat], grace_s: float) -> None:
        """Let pilots end payloads, of those that they still hold."""
        turns = Turns()
        for seat in seats:
            if turns.due:
                await turns.rest()
            lease = seat.lease.id
            agent = self._line.agents.get(seat.lease.pilot)
            if agent is not None and lease in agent.leases and agent.stops.get(lease, float("inf")) > grace_s:
                agent.stops[lease] = grace_s
                agent.news = True
                agent.wake()

    async def _make_room(self) -> None:
        """Let backfill end where everything else needs its room."""
        for seat in self._line.who_yields(self._clock.now_s()):
            await self._stop([seat], self._line.entries[seat.lease.intent].order.grace_s)

    def _stir(self) -> None:
        """Something changed: who observes should look, and pilots that wait may find something."""
        self._stirred.set()
        waiting = self._line.waiting(len(self._pollers)) if self._pollers else 0
        now_s = self._clock.now_s()
        for name, agent in list(self._pollers.items()):
            if waiting <= 0:
                break
            if next(self._line.for_agent(agent, now_s), None) is not None:
                self._pollers.pop(name)
                agent.wake()
                waiting -= 1

    def _count_time(self, now_s: float) -> None:
        """Add up what pilots that live were used for since this was last done."""
        passed_s, self._counted_s = max(0.0, now_s - self._counted_s), now_s
        counted = [agent.count(passed_s) for agent in self._line.agents.values() if not agent.lost]
        for use, core_seconds in (("payload", sum(b for b, _ in counted)), ("idle", sum(i for _, i in counted))):
            self.used[use] += core_seconds
            self._spend(use, core_seconds)

    async def _sweep(self) -> None:
        """Leases that were not renewed are void; pilots not heard of are lost; what rested waits again."""
        now_s = self._clock.now_s()
        if now_s - self._counted_s >= COUNT_EVERY_S:
            self._count_time(now_s)
        late: list[Seat] = []
        for agent in self._line.agents.values():
            if agent.oldest_s <= now_s:
                late += self._line.seats_of([i for i, at in agent.expires.items() if at <= now_s], agent)
                agent.oldest_s = min((at for at in agent.expires.values() if at > now_s), default=float("inf"))
            if not agent.lost and agent.seen_s + self._settings.lease_s <= now_s:
                agent.lost = True
                self._stir()
        if late:
            with contextlib.suppress(StoreUnavailable):
                await self._endings.void(late, "its lease was not renewed in time")
                self._stir()
            for seat in late:  # what could not be written is tried again
                agent_ = self._line.agents.get(seat.lease.pilot)
                if agent_ is not None and seat.lease.id in agent_.expires:
                    agent_.oldest_s = 0.0
        await self._forget_lost(now_s)
        over = [intent for intent, e in self._line.entries.items() if e.order.leaving and not e.held]
        with contextlib.suppress(StoreUnavailable):
            for intent in over:
                await self._endings.forget_if_over(intent)
                self._stir()
        await self._look_after_services(now_s)
        self._look_after_suspects(now_s)
        await self._make_room()

    async def _forget_lost(self, now_s: float) -> None:
        gone = [
            name
            for name, agent in self._line.agents.items()
            if agent.lost and not agent.leases and agent.seen_s + self._settings.forget_s <= now_s
        ]
        if gone:
            with contextlib.suppress(StoreUnavailable):
                await self._scribe.write(LineChanges(pilots=dict.fromkeys(gone)))
                for name in gone:
                    if self._line.agents[name].lost:
                        self._line.drop_agent(name, now_s)

    def _look_after_suspects(self, now_s: float) -> None:
        """Those whose probe has run for long are trusted again; those that may be tried are told."""
        passed = self._line.care.passed(now_s)
        for pilot in passed:
            self._endings.tell(pilot, now_s)
        if self._line.care.fell_due(now_s) or passed:
            self._stir()

    async def _look_after_services(self, now_s: float) -> None:
        for entry in list(self._line.entries.values()):
            if not entry.order.service:
                continue
            if entry.resting and entry.rested(now_s):
                self._line.sort(entry)
                self._stir()
            if (seat := entry.to_exchange(now_s, self._settings.ready_s)) is not None:
                await self._stop([seat], entry.order.grace_s)
