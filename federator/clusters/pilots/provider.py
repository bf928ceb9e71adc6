"""The planner's side of a cluster of pilots: orders join the line, observations tell what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from federator.clusters.pilots.agents import CONTAINER_RUNTIMES
from federator.clusters.pilots.entry import Entry, Seat
from federator.clusters.pilots.line_order import Standing, standing, to_json
from federator.clusters.pilots.output import last_lines
from federator.clusters.pilots.site import Site
from federator.model import backfill, checkpoints
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.model.pilots import LineChanges, LineOrder
from federator.ports import ClusterUnreachable, NoLogs, OrderRefused, StoreUnavailable
from federator.turns import Turns

LOG = structlog.get_logger(__name__)
SWEEP_S = 0.2
SEE_STORE_S = 1.0
"""How often it is seen whether the store could write: without it nothing can be leased."""
LOOK_S = 0.2
OUTPUT_WAIT_S = 15.0
"""How long to wait for a pilot to send the output of a replica."""


class PilotsProvider(Site):
    """Replicas are leased to whichever pilot asks first and fits. Keeps the promises of ``ports.ClusterProvider``.

    What is sent, leased and ended is in the store: a provider that is opened over it after a crash knows all of it.
    """

    _sweeper: asyncio.Task[None] | None = None
    _seen_store_s = float("-inf")

    async def open(self) -> None:
        """Begin to watch over leases."""
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._watch_leases(), name=f"leases {self.name}")
        try:
            await self._load()
        except StoreUnavailable as error:
            raise self._unreachable(error) from error

    async def close(self) -> None:
        """Stop watching. What runs goes on running."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    async def _watch_leases(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_S)
            try:
                if self._loaded:
                    await self._sweep()
            except Exception:
                # A mistake in one round must not leave all leases unwatched.
                LOG.exception("watching over leases failed", cluster=self.name)

    async def observe(self) -> Observation:
        """The pilots that live, and what became of every order in the line."""
        self._stirred.clear()
        await self._see_store()
        now_s = self._clock.now_s()
        turns = Turns()
        flavors = await self._line.flavors(now_s, turns)
        self._line.tell_who_is_stuck(flavors, now_s)
        entries = list(self._line.entries.items())
        intents = {}
        for intent, entry in entries:
            if turns.due:
                await turns.rest()
            intents[intent] = await entry.observed(turns)
        if self._stirred.is_set():
            # What is free is looked at last: a replica that was given away meanwhile counts twice then, and never not.
            flavors = await self._line.flavors(now_s, turns)
        return Observation(
            cluster=self.name,
            at_s=now_s,
            flavors=flavors,
            intents=intents,
            abilities=self._abilities() | {backfill.ABILITY, checkpoints.ABILITY},
            version=f"{sum(not agent.lost for agent in self._line.agents.values())} pilots",
        )

    async def changed(self) -> None:
        """Return when something changed since the last ``observe`` began."""
        await self._stirred.wait()

    def _abilities(self) -> frozenset[str]:
        """What any of its pilots can run; before there is one, all that one could."""
        live = [agent.pilot.runtimes for agent in self._line.agents.values() if not agent.lost]
        can_hold = self._settings.images_as_processes or any(runtimes & CONTAINER_RUNTIMES for runtimes in live)
        can_run = any("process" in runtimes for runtimes in live)
        told = {"service", *(["container"] if can_hold else ()), *(["process"] if can_run else ())}
        return frozenset(told if live else {"service", "container", "process"})

    async def submit(self, order: Order) -> None:
        """Put the order into the line. Raises OrderRefused."""
        await self._see_store()
        now_s = self._clock.now_s()
        wanted = standing(order, now_s, self._settings.images_as_processes)
        self._check_store(order)
        entry = self._line.entries.get(wanted.intent)
        if entry is not None:
            if entry.order.leaving:
                raise OrderRefused("Cancelled", f"{wanted.intent} was cancelled before", permanent=True)
            wanted = replace(wanted, since_s=entry.order.since_s, withdrawn=wanted.withdrawn | entry.order.withdrawn)
            if not entry.order.service or wanted == entry.order:
                return
        await self._write_order(wanted)
        entry = self._line.entries.get(wanted.intent)
        if entry is None:
            self._line.add(Entry(wanted, now_s))
        elif entry.order.service:
            await self._change(entry, wanted)
        await self._make_room()
        self._stir()

    def _check_store(self, order: Order) -> None:
        """Raise OrderRefused where its checkpoints could not be kept."""
        try:
            if order.attempt is not None:
                checkpoints.errand(order.attempt, 0, self._line.sign)
        except checkpoints.NoStore as error:
            raise OrderRefused("NoStore", str(error), permanent=True) from error

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Take an order, or some of its replicas, out of the line, and let pilots end what they run of it."""
        await self._see_store()
        entry = self._line.entries.get(intent_id)
        if entry is None:
            return
        gone = entry.order.withdrawn | (indices or IndexSet())
        leaving = entry.order.leaving or indices is None
        # In memory first: from now on nothing of it is leased. The daemon asks again for what is not written.
        await self._change(entry, replace(entry.order, leaving=leaving, withdrawn=gone, grace_s=grace_s))
        await self._write_order(entry.order)
        try:
            await self._endings.forget_if_over(intent_id)
        except StoreUnavailable as error:
            raise self._unreachable(error) from error
        self._stir()

    async def _change(self, entry: Entry, order: Standing) -> None:
        if entry.order.requests != order.requests:
            self._resize(entry, order)
        entry.change(order, self._clock.now_s())
        self._line.sort(entry)
        await self._stop(entry.to_stop(), order.grace_s)
        self._stir()

    def _resize(self, entry: Entry, order: Standing) -> None:
        """What is out keeps the room that it was given: its pilot is told of the difference here."""
        for seat in entry.granted():
            agent = self._line.agents.get(seat.lease.pilot)
            if agent is not None:
                agent.occupy(order.requests - entry.order.requests)

    async def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """The last part of a replica's output: its pilot sends it while somebody looks. Raises NoLogs."""
        seat = self._seat_with_output(intent_id, index)
        if not seat.granted:
            yield last_lines(seat.lease.log.encode(), tail_lines)
            return
        lease, at = seat.lease.id, -1
        tail = self._tails.of(lease)
        self._ask_for_output(seat)
        until_s = self._clock.now_s() + OUTPUT_WAIT_S
        while seat.granted and self._line.seat((intent_id, index)) is seat:
            if tail.end > max(at, 0):
                yield last_lines(tail.data, tail_lines) if at < 0 else tail.after(at)
                at = tail.end
                if not follow:
                    return
            elif at < 0 and not follow and self._clock.now_s() >= until_s:
                raise NoLogs(f"replica {index} of {intent_id} has written nothing, or its pilot does not answer")
            await self._clock.sleep(LOOK_S)
        await self._clock.sleep(0)  # what came with the end has its turn
        if at >= 0:
            yield tail.after(at)
        elif not seat.granted:
            yield last_lines(seat.lease.log.encode(), tail_lines)

    def _seat_with_output(self, intent_id: str, index: int) -> Seat:
        seat = self._line.seat((intent_id, index))
        if seat is None or (seat.granted and seat.started_s is None):
            raise NoLogs(f"replica {index} of {intent_id} has not started")
        return seat

    def _ask_for_output(self, seat: Seat) -> None:
        agent = self._line.agents.get(seat.lease.pilot)
        if agent is not None and seat.lease.id in agent.leases:
            agent.logs.add(seat.lease.id)
            agent.news = True
            agent.wake()

    async def _write_order(self, order: Standing) -> None:
        stored = LineOrder(order.intent, self.name, to_json(order))
        try:
            await self._scribe.write(LineChanges(orders={order.intent: stored}))
        except StoreUnavailable as error:
            raise self._unreachable(error) from error

    async def _see_store(self) -> None:
        """Raise ClusterUnreachable where nothing can be written: then nothing can be leased either."""
        try:
            await self._load()
            if self._clock.now_s() - self._seen_store_s >= SEE_STORE_S:
                await self._store.commit_line(LineChanges())
                self._seen_store_s = self._clock.now_s()
        except StoreUnavailable as error:
            self._seen_store_s = float("-inf")
            raise self._unreachable(error) from error

    def _unreachable(self, error: StoreUnavailable) -> ClusterUnreachable:
        return ClusterUnreachable(self.name, f"its line is kept in the store: {error}")
