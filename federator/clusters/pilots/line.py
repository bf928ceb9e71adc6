"""The line of one cluster in memory: who waits, who pulls, who holds what. Nothing here awaits or writes."""

from __future__ import annotations

import secrets
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import Any

import structlog

from federator.clusters.pilots.agents import CONTAINER_RUNTIMES, Agent, flavor_name, flavors_of
from federator.clusters.pilots.care import Care
from federator.clusters.pilots.entry import Entry, Seat
from federator.clusters.pilots.line_order import Standing, from_json, to_json
from federator.clusters.pilots.settings import PilotsSettings
from federator.clusters.pilots.yielding import who_yields
from federator.model.checkpoints import NoStore, Sign, errand, plain
from federator.model.cluster import Flavor
from federator.model.pilots import Grant, Lease, LeaseState, Pilot, Replica, StoredLine
from federator.model.resources import Resources
from federator.turns import Turns

LOG = structlog.get_logger(__name__)
NEARER_S = 10.0
"""A pilot that lacks the inputs of a replica passes it over for so long, where one that has them has room for it."""
NO_PILOT = "no pilot of this cluster has room for it now"
Key = tuple[tuple[bool, int, float, str], str]


class Line:
    """All orders of a cluster and all its pilots. What waits is served in the order of urgency."""

    def __init__(self, cluster: str, settings: PilotsSettings, sign: Sign = plain) -> None:
        self.cluster = cluster
        self.entries: dict[str, Entry] = {}
        self.agents: dict[str, Agent] = {}
        self.coming: Pilot | None = None
        """A pilot as it may be on its way to this cluster; None: none is."""
        self.why_none = ""
        """Why none is on its way, where one could be."""
        self.sign = sign
        self.care = Care()
        self._settings = settings
        self._hungry: list[Key] = []
        """Urgency and intent of the orders of which something waits, the most urgent first."""
        self._keys: dict[str, Key] = {}

    def load(self, stored: StoredLine, now_s: float) -> None:
        """Take over what the store has. Every lease that is out is good for a full time from now on."""
        self.agents = {pilot.name: Agent(pilot, now_s) for pilot in stored.pilots}
        seats: dict[str, list[Seat]] = {}
        for lease in stored.leases:
            # Whether it had begun to run is not kept; a pilot starts what it is given at once.
            seats.setdefault(lease.intent, []).append(Seat(lease, started_s=lease.granted_s))
        for order in stored.orders:
            self.add(Entry(from_json(order.intent, order.document), now_s, seats.get(order.intent, ())))
        for entry in self.entries.values():
            for seat in list(entry.granted()):
                agent = self.agents.get(seat.lease.pilot)
                if agent is None:
                    entry.clear(seat.lease.index, now_s)
                    self.sort(entry)
                else:
                    self._hand(agent, seat, entry.order, now_s)
            for seat in entry.to_stop():
                self.agents[seat.lease.pilot].stops[seat.lease.id] = entry.order.grace_s

    def add(self, entry: Entry) -> None:
        """An order joins the line."""
        self.entries[entry.order.intent] = entry
        self.sort(entry)

    def drop(self, intent: str) -> None:
        """An order leaves the line for good."""
        entry = self.entries.pop(intent, None)
        if entry is not None:
            self._unsort(intent)

    def sort(self, entry: Entry) -> None:
        """Put the order where its urgency says, or out of the way while nothing of it waits."""
        intent = entry.order.intent
        key = (entry.order.urgency, intent)
        if self._keys.get(intent) == key and entry.waiting:
            return
        self._unsort(intent)
        if entry.waiting and intent in self.entries:
            insort(self._hungry, key)
            self._keys[intent] = key

    def _unsort(self, intent: str) -> None:
        key = self._keys.pop(intent, None)
        if key is not None:
            del self._hungry[bisect_left(self._hungry, key)]

    def waiting(self, most: int) -> int:
        """How many replicas wait; counted no further than ``most``."""
        total = 0
        for _, intent in self._hungry:
            total += len(self.entries[intent].waiting)
            if total >= most:
                break
        return min(total, most)

    def demand(self, pilot: Pilot) -> list[tuple[Resources, int]]:
        """What waits and such a pilot might run, by shape, the most urgent first. Backfill needs no pilot more."""
        entries = self.wanting()
        suits = ((e.order, e.waiting) for e in entries if _may(e.order, flavor_name(pilot), pilot.runtimes))
        return [(order.requests, len(waiting)) for order, waiting in suits]

    def wanting(self) -> Iterator[Entry]:
        """The orders of which something waits, the most urgent first, without backfill."""
        for _, intent in self._hungry:
            entry = self.entries[intent]
            if entry.order.backfill:
                return
            yield entry

    def who_yields(self, now_s: float) -> list[Seat]:
        """What of backfill has to end so that everything else finds room."""
        filled = [agent for agent in self.agents.values() if agent.backfill]
        if not filled or next(self.wanting(), None) is None:
            return []
        leases = set(who_yields(self.agents.values(), self.wanting(), now_s, self._settings.margin_s))
        return [seat for agent in filled for seat in self.seats_of(leases & agent.backfill.keys(), agent)]

    def for_agent(self, agent: Agent, now_s: float) -> Iterator[Entry]:
        """The orders of which it may take something now, the most urgent first. Room that something else waits for
        is not for backfill."""
        margin_s = self._settings.margin_s
        if not agent.open(now_s, margin_s):
            return
        awaited = False
        for _, intent in list(self._hungry):
            entry = self.entries[intent]
            if entry.order.backfill and awaited:
                return
            if not entry.waiting or not agent.suits(entry.order, now_s, margin_s):
                continue
            if self._better_elsewhere(entry, agent, now_s) or self._pauses(entry, agent, now_s):
                continue
            if agent.fits(entry.order.requests) > 0:
                yield entry
            awaited = awaited or bool(entry.waiting and agent.could_hold(entry.order.requests))

    def _pauses(self, entry: Entry, agent: Agent, now_s: float) -> bool:
        return self.care.most(agent.pilot.name, entry.order.workload, now_s) == 0

    def _most(self, entry: Entry, agent: Agent, now_s: float) -> int:
        """How many of its replicas a pilot has room for, and may be given now."""
        most = self.care.most(agent.pilot.name, entry.order.workload, now_s)
        fits = agent.fits(entry.order.requests)
        return fits if most is None else min(fits, most)

    def _better_elsewhere(self, entry: Entry, agent: Agent, now_s: float) -> bool:
        """Whether its replicas should wait a little for another pilot, which has the data that they read and room.

        Delay scheduling: Zaharia et al., EuroSys 2010. The wait is bounded, so nothing starves for want of data.
        """
        order, margin_s = entry.order, self._settings.margin_s
        if order.inputs <= agent.pilot.data or now_s - entry.waits_since_s >= NEARER_S:
            return False
        return any(
            order.inputs <= other.pilot.data
            and other.open(now_s, margin_s)
            and other.suits(order, now_s, margin_s)
            and other.fits(order.requests) > 0
            for other in self.agents.values()
            if other.pilot.data
        )

    def take(self, agent: Agent, limit: int, now_s: float) -> list[Seat]:
        """Give a pilot up to so many replicas that fit it; a suspect one no more than one."""
        taken: list[Seat] = []
        limit = limit if agent.doubt is None else min(limit, 1)
        if limit <= 0:
            return taken
        for entry in self.for_agent(agent, now_s):
            order = entry.order
            for index in entry.waiting.first(min(limit - len(taken), self._most(entry, agent, now_s))):
                lease = Lease(
                    order.intent,
                    index,
                    f"{order.intent}.{index}.{secrets.token_hex(6)}",
                    agent.pilot.name,
                    now_s,
                    order.spec_hash,
                    node=agent.pilot.host,
                )
                seat = Seat(lease)
                entry.put(seat)
                self._hand(agent, seat, order, now_s)
                taken.append(seat)
            self.sort(entry)
            if len(taken) >= limit:
                break
        return taken

    def _hand(self, agent: Agent, seat: Seat, order: Standing, now_s: float) -> None:
        lease = seat.lease
        agent.take(lease, order, now_s + self._settings.lease_s)
        self.care.began(lease.pilot, lease.id, order.workload, lease.granted_s)

    def give_back(self, seat: Seat, now_s: float) -> None:
        """A replica is in nobody's hands any more, and nothing is kept of that."""
        entry = self.release(seat)
        entry.clear(seat.lease.index, now_s)
        self.sort(entry)

    def end(self, seat: Seat, ended: Lease) -> None:
        """A replica has ended, and how is kept."""
        self.release(seat).end(seat, ended)

    def release(self, seat: Seat) -> Entry:
        """Take a seat's room back from its pilot."""
        entry = self.entries[seat.lease.intent]
        agent = self.agents.get(seat.lease.pilot)
        if agent is not None:
            agent.release(seat.lease.id, entry.order.requests)
        self.care.over(seat.lease.pilot, seat.lease.id, entry.order.workload)
        return entry

    def add_agent(self, pilot: Pilot, now_s: float) -> None:
        """A pilot joins."""
        agent = self.agents[pilot.name] = Agent(pilot, now_s)
        agent.doubt = self.care.joined(pilot.name, pilot.host, now_s)

    def drop_agent(self, name: str, now_s: float) -> None:
        """A pilot leaves for good."""
        agent = self.agents.pop(name, None)
        if agent is not None:
            self.care.gone(name, agent.pilot.host, now_s)

    def seat(self, replica: Replica) -> Seat | None:
        """The latest lease of a replica."""
        entry = self.entries.get(replica[0])
        return entry.seats.get(replica[1]) if entry else None

    def seats_of(self, leases: Iterable[str], agent: Agent) -> list[Seat]:
        """The seats of leases that a pilot holds."""
        found = (self.seat(agent.leases[lease]) for lease in leases if lease in agent.leases)
        return [seat for seat in found if seat is not None and seat.lease.state is LeaseState.GRANTED]

    def grant(self, seat: Seat) -> Grant:
        """What its pilot is told of a lease."""
        lease = seat.lease
        order = self.entries[lease.intent].order
        return Grant(lease.id, lease.intent, self.cluster, lease.index, to_json(order), self.errand(seat))

    def errand(self, seat: Seat) -> dict[str, Any] | None:
        """Where the checkpoints of a replica are; None where none are kept."""
        attempt = self.entries[seat.lease.intent].order.attempt
        try:
            return None if attempt is None else errand(attempt, seat.lease.index, self.sign)
        except NoStore as error:  # its store is no longer in the configuration
            LOG.warning("checkpoints cannot be kept", cluster=self.cluster, intent=seat.lease.intent, why=str(error))
            return None

    async def flavors(self, now_s: float, turns: Turns) -> tuple[Flavor, ...]:
        """The pilots that live, as flavors; each as it is when its turn comes."""
        return await flavors_of(tuple(self.agents.values()), now_s, self._settings.margin_s, turns)

    def tell_who_is_stuck(self, flavors: tuple[Flavor, ...], now_s: float) -> None:
        """Note at every order of which something waits whether a pilot that lives could take one of it now."""
        if not self._hungry:
            return
        longest: dict[str, float] = {}
        runtimes: dict[str, frozenset[str]] = {}
        for agent in self.agents.values():
            if agent.open(now_s, self._settings.margin_s):
                longest[agent.flavor] = max(longest.get(agent.flavor, 0.0), agent.left_s(now_s))
                runtimes[agent.flavor] = agent.pilot.runtimes
        no_pilot = f"{NO_PILOT}; {self.why_none}" if self.why_none else NO_PILOT
        for _, intent in self._hungry:
            entry = self.entries[intent]
            order = entry.order
            able = (
                _may(order, flavor.name, runtimes.get(flavor.name, frozenset()))
                and longest.get(flavor.name, 0.0) >= (order.time_limit_s or 0.0)
                and any(order.requests.fits_in(group.free) for group in flavor.nodes)
                for flavor in flavors
            )
            coming = self.coming is not None and _could(order, self.coming)
            stuck = "" if coming or any(able) else no_pilot
            if stuck != entry.stuck:
                entry.stuck = stuck
                entry.touch()


def _could(order: Standing, pilot: Pilot) -> bool:
    """Whether such a pilot could run such replicas."""
    return order.requests.fits_in(pilot.resources) and _may(order, flavor_name(pilot), pilot.runtimes)


def _may(order: Standing, flavor: str, runtimes: frozenset[str]) -> bool:
    can = "process" in runtimes if order.runtime == "process" else bool(runtimes & CONTAINER_RUNTIMES)
    return can and (not order.flavors or flavor in order.flavors)
