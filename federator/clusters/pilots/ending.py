"""How leases end: a pilot says so, or was not heard of in time. Each ends once, and is written before it counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from federator.clusters.pilots.agents import Agent
from federator.clusters.pilots.entry import Entry, Seat
from federator.clusters.pilots.line import Line
from federator.clusters.pilots.output import KEPT_BYTES, Tails
from federator.clusters.pilots.scribe import Scribe
from federator.clusters.pilots.settings import PilotsSettings
from federator.model.intent import PREEMPTED
from federator.model.pilots import Lease, LeaseState, LineChanges, Replica, Result
from federator.ports import Clock, LeaseRefused
from federator.turns import Turns

LOG = structlog.get_logger(__name__)
VOID = "PilotLost"
"""The reason of a lease that was not renewed."""
STOPPED = "Stopped"
"""The reason of a payload that ended because the line asked its pilot for it."""
RETURNED = "Returned"
"""The reason of a pilot that gives back what it has not started: the replica waits again."""
TELLS_NOTHING = frozenset({STOPPED, RETURNED, PREEMPTED, "Drained", "DeadlineExceeded", "OOMKilled"})
"""Reasons of ends that were not the payload's own: they tell nothing of the node that it ran on."""


class Endings:
    """Ends leases."""

    def __init__(
        self,
        line: Line,
        scribe: Scribe,
        tails: Tails,
        settings: PilotsSettings,
        clock: Clock,
        count: Callable[[str], None],
        measured: Callable[[str, float], None],
    ) -> None:
        self._line = line
        self._scribe = scribe
        self._tails = tails
        self._settings = settings
        self._clock = clock
        self._count = count
        self._measured = measured
        self._ending: dict[str, asyncio.Event] = {}
        """Leases whose end is being written."""

    async def finish(self, agent: Agent, lease_id: str, result: Result) -> None:
        """A pilot says how a payload ended. Raises LeaseRefused, StoreUnavailable."""
        while lease_id in self._ending:
            await self._ending[lease_id].wait()
        replica = agent.leases.get(lease_id)
        seat = self._line.seat(replica) if replica else None
        if seat is None or not seat.granted:
            self._check_repeat(agent, lease_id, result)
            return
        if result.reason == STOPPED and self._yielded(agent, seat):
            result = replace(result, reason=PREEMPTED, message="others needed its room", own_fault=False)
        result = self._judged(agent, seat, result)
        ended = _ended(seat.lease, result, self._clock.now_s())
        order = self._line.entries[seat.lease.intent].order
        await self._end([seat], {lease_id: ended})
        if order.backfill:
            self._measured(order.workload, result.usage.get("cpuSeconds", 0.0))
        self._tails.finish(lease_id, result.log, result.log_from)
        self._count("succeeded" if ended.state is LeaseState.SUCCEEDED else _outcome(result.reason))

    def _judged(self, agent: Agent, seat: Seat, result: Result) -> Result:
        """See what this end tells of the pilot. One of which the pilot is to blame costs the work no retry."""
        name, lease = agent.pilot.name, seat.lease.id
        if result.reason in TELLS_NOTHING or (result.reason and lease in agent.stops):
            return result
        care, now_s = self._line.care, self._clock.now_s()
        workload = self._line.entries[seat.lease.intent].order.workload
        ran_s = max(0.0, now_s - seat.lease.granted_s)
        judged = care.ended(name, lease, workload, well=not result.reason, ran_s=ran_s, now_s=now_s)
        for one in judged.changed:
            self.tell(one, now_s)
        if not judged.excused:
            return result
        why = f"the pilot {name} is suspect: {care.doubts[name].why}"
        return replace(result, own_fault=False, message=f"{result.message}; {why}" if result.message else why)

    def tell(self, pilot: str, now_s: float) -> None:
        """A pilot became suspect, or is trusted again."""
        agent = self._line.agents.get(pilot)
        if agent is None:
            return
        agent.doubt = self._line.care.doubts.get(pilot)
        cluster, host = self._line.cluster, agent.pilot.host
        if agent.doubt is None:
            LOG.warning("pilot trusted again", cluster=cluster, pilot=pilot, host=host)
        else:
            LOG.warning("pilot suspect", cluster=cluster, pilot=pilot, host=host, why=agent.doubt.words(now_s))

    def _yielded(self, agent: Agent, seat: Seat) -> bool:
        """Whether it was asked to end only because others needed its room."""
        order = self._line.entries[seat.lease.intent].order
        return order.backfill and seat.lease.id in agent.stops and seat.lease.index in order.wanted

    def _check_repeat(self, agent: Agent, lease_id: str, result: Result) -> None:
        """Return for what has been said before; raise LeaseRefused for anything else."""
        intent, _, rest = lease_id.rpartition(".")[0].rpartition(".")
        seat = self._line.seat((intent, int(rest))) if rest.isdigit() else None
        if seat is None:
            raise LeaseRefused("LeaseUnknown", f"there is no lease {lease_id} any more; its result does not count")
        lease = seat.lease
        if lease.id != lease_id or lease.reason == VOID or lease.pilot != agent.pilot.name:
            raise LeaseRefused("LeaseVoid", f"lease {lease_id} is void: it was not renewed in time; "
                               "its replica is placed again, and this result does not count")  # fmt: skip
        if (lease.state is LeaseState.SUCCEEDED) != (not result.reason):
            raise LeaseRefused("AlreadyEnded", f"lease {lease_id} has ended otherwise: {lease.reason or 'succeeded'}")

    async def void(self, seats: Sequence[Seat], why: str) -> None:
        """End leases whose pilots were not heard of. Raises StoreUnavailable."""
        seats = [seat for seat in seats if seat.granted and seat.lease.id not in self._ending]
        if not seats:
            return
        now_s = self._clock.now_s()
        result = Result(VOID, why, None, own_fault=False)
        await self._end(seats, {seat.lease.id: _ended(seat.lease, result, now_s) for seat in seats})
        for _ in seats:
            self._count("void")

    async def _end(self, seats: Sequence[Seat], ends: dict[str, Lease]) -> None:
        changes: dict[Replica, Lease | None] = {}
        for seat in seats:
            lease = seat.lease
            self._ending[lease.id] = asyncio.Event()
            keep = self._kept(self._line.entries[lease.intent], ends[lease.id])
            changes[lease.intent, lease.index] = ends[lease.id] if keep else None
        try:
            await self._scribe.write(LineChanges(leases=changes))
            for seat in seats:
                self._apply(seat, ends[seat.lease.id])
        finally:
            for lease_id in ends:
                self._ending.pop(lease_id).set()
        for intent in {seat.lease.intent for seat in seats}:
            await self.forget_if_over(intent)

    @staticmethod
    def _kept(entry: Entry, end: Lease) -> bool:
        """Whether an end is kept for the planner: of a batch, and wanted, and no mere giving back."""
        return not entry.order.service and end.index in entry.order.wanted and end.reason != RETURNED

    def _apply(self, seat: Seat, end: Lease) -> None:
        now_s = self._clock.now_s()
        entry = self._line.entries[seat.lease.intent]
        if self._kept(entry, end):
            self._line.end(seat, end)
            return
        if entry.order.service and end.index in entry.order.wanted and self._by_itself(seat, end):
            ran_s = now_s - (seat.started_s or now_s)
            entry.rest(end.index, ran_s, now_s, self._settings.backoff_s, self._settings.backoff_max_s)
        self._line.give_back(seat, now_s)

    def _by_itself(self, seat: Seat, end: Lease) -> bool:
        """Whether a service's replica ended although nobody wanted it to."""
        agent = self._line.agents.get(seat.lease.pilot)
        asked = agent is not None and seat.lease.id in agent.stops
        return end.own_fault and not asked and end.reason != RETURNED

    async def forget_if_over(self, intent: str) -> None:
        """Let go of an order that should leave and of which nothing is in a pilot's hands."""
        entry = self._line.entries.get(intent)
        if entry is None or not entry.order.leaving or entry.held:
            return
        await self._scribe.write(LineChanges(orders={intent: None}))
        self._line.drop(intent)
        await entry.dissolve(Turns())


def _ended(lease: Lease, result: Result, now_s: float) -> Lease:
    return replace(
        lease,
        state=LeaseState.FAILED if result.reason else LeaseState.SUCCEEDED,
        ended_s=now_s,
        exit_code=result.exit_code,
        reason=result.reason,
        message=result.message,
        own_fault=result.own_fault,
        log=result.log[-KEPT_BYTES:],
        usage=result.usage,
    )


def _outcome(reason: str) -> str:
    return {RETURNED: "returned", STOPPED: "stopped", PREEMPTED: "stopped"}.get(reason, "failed")
