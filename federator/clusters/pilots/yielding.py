"""Who yields: what backfill has to end so that what waits finds room on the pilots that live. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from federator.clusters.pilots.agents import Agent
from federator.clusters.pilots.entry import Entry
from federator.model.resources import CPU, Resources

Amounts = dict[str, int]


def who_yields(agents: Iterable[Agent], waiting: Iterable[Entry], now_s: float, margin_s: float) -> list[str]:
    """The leases of backfill that should end, for what waits, the most urgent first.

    What is free, and what is leaving already, is enough for as many as it holds. For each of the rest those of one
    pilot yield that lose least together, of all pilots; none where even all of a pilot would not be enough.
    """
    open_ = [_Room(agent, now_s) for agent in agents if agent.trusted(now_s, margin_s)]
    chosen: list[str] = []
    for entry in waiting:
        if not any(room.may_yield for room in open_):
            break
        order = entry.order
        suited = [room for room in open_ if room.agent.suits(order, now_s, margin_s)]
        left = len(entry.waiting)
        for room in suited:
            left -= room.take(order.requests, left)
        if left:
            chosen += _yield(suited, order.requests, left)
    return chosen


def _yield(rooms: Sequence[_Room], requests: Resources, left: int) -> Iterator[str]:
    """The leases that end for up to so many more replicas, where that loses least; where it is equal, of the first."""

    def offer(place: int) -> Iterator[tuple[float, int, Sequence[str]]]:
        if yielding := rooms[place].enough_for(requests):
            yield rooms[place].lost_s(yielding), place, yielding

    offers = [one for place in range(len(rooms)) for one in offer(place)]
    heapify(offers)
    while left and offers:
        _, place, yielding = heappop(offers)
        yield from rooms[place].end(yielding)
        left -= rooms[place].take(requests, left)
        for one in offer(place):
            heappush(offers, one)


class _Room:
    """What one pilot has free, now or as soon as what is leaving has gone."""

    def __init__(self, agent: Agent, now_s: float) -> None:
        self.agent = agent
        self._now_s = now_s
        self._free: Amounts = dict(agent.free)
        for lease, below in agent.backfill.items():
            if lease in agent.stops:
                self._add(below.requests)
        # Leases are kept in the order in which they were given: of those that lose as much the youngest go.
        stays = [lease for lease in reversed(agent.backfill) if lease not in agent.stops]
        self.may_yield = sorted(stays, key=lambda lease: agent.backfill[lease].lost_s(now_s))

    def _add(self, requests: Resources) -> None:
        for name, amount in requests.items_:
            self._free[name] = self._free.get(name, 0) + amount

    def take(self, requests: Resources, at_most: int) -> int:
        """Give room to up to so many; how many it was enough for."""
        count = min([at_most, *(self._free.get(name, 0) // amount for name, amount in requests.items_)])
        count = max(0, count)
        for name, amount in requests.items_ if count else ():
            self._free[name] = self._free.get(name, 0) - amount * count
        return count

    def enough_for(self, requests: Resources) -> Sequence[str]:
        """Those that lose least which, with what is free, are enough for one more; none where all are not."""
        missing = {name: amount - self._free.get(name, 0) for name, amount in requests.items_}
        for count, lease in enumerate(self.may_yield, start=1):
            held = self.agent.backfill[lease].requests
            missing = {name: amount - held[name] for name, amount in missing.items()}
            if all(amount <= 0 for amount in missing.values()):
                return self.may_yield[:count]
        return ()

    def lost_s(self, leases: Iterable[str]) -> float:
        """What of their work is lost if these end now, in core seconds."""
        held = [self.agent.backfill[lease] for lease in leases]
        return sum(below.lost_s(self._now_s) * below.requests[CPU] / 1000 for below in held)

    def end(self, leases: Sequence[str]) -> Sequence[str]:
        """They leave."""
        self.may_yield = self.may_yield[len(leases) :]
        for lease in leases:
            self._add(self.agent.backfill[lease].requests)
        return leases
