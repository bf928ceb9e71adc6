"""Gangs that compete for the same clusters: neighbours in the order of service, served so that more of them start.

A gang that is whole in one cluster takes, at its turn, the best cluster for itself, which may be the only one for a
gang after it. Where that leaves one without a place (or in a later tier), the neighbours' clusters are searched
together (``search``). What is found is tried with the planner's own code: it only changes the order in which these
neighbours are served, and which cluster each finds first in its tier. It counts if

* every gang that would have started in order of service starts, in no later tier;
* what is placed is worth more: a gang is worth its dominant share of the federation; then come earlier tiers, then
  those served first.

Where reservations are made, it counts only if all of them start: who does not would get one, and might be delayed.
Else the order of service stands. Tiers are kept as everywhere: those with a place in their first tier are served first,
then those in their second, so a gang is in a later tier only if the tiers before it cannot take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array, total
from federator.engine.federation import Federation
from federator.engine.gangs import InOneCluster
from federator.engine.outline import contender, free_amounts, may_start, narrowed
from federator.engine.search import Contender, Search, Seats, value
from federator.engine.turn import Turn
from federator.model.plan import Snapshot
from federator.model.policy import Rebalance
from federator.model.workload import Workload

_LEAST = 1e-4
"""What a question costs of the budget at least."""
_NOWHERE = 2**40
"""Later than every tier."""

Find = Callable[[Workload, int | None], InOneCluster | None]
"""A search for the one cluster of a workload as things stand now, with the cluster that comes first in its tier; None
where its queue, or a limit, has not enough left for it."""


def is_whole(workload: Workload) -> bool:
    """Whether all of it must be in one cluster."""
    return len(workload.roles) > 1 if workload.gang is None else workload.gang.scope == "cluster"


class _Rival(NamedTuple):
    """A gang that competes: its position in the queue, and its search before anybody took anything."""

    at: int
    gang: Workload
    search: InOneCluster
    prospects: Mapping[int, int]


class _Call(NamedTuple):
    """A rival (by number) whose turn it is, and the cluster that comes first in its tier."""

    one: int
    hint: int | None


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of serving rivals in some order: their clusters, and how late each one's tier is, by number."""

    seats: Seats
    places: Mapping[int, int]


class Contests:
    """Finds those who compete, and serves them. ``hints`` are the clusters that were found, by workload."""

    def __init__(self, snapshot: Snapshot, federation: Federation, allowance: Allowance, find: Find) -> None:
        self.hints: dict[str, int] = {}
        self._federation, self._allowance, self._find = federation, allowance, find
        self._limits = snapshot.planning.gang_search
        self._priorities = {queue.name: queue.priority for queue in snapshot.queues}
        self._backfills = snapshot.planning.backfilling != "none"
        self._waits = snapshot.planning.blocked_head == "wait" and not self._backfills
        self._budget = self._limits.budget

    def in_turn(self, queue: Sequence[Workload], blocked: Mapping[str, str]) -> Iterator[Workload]:
        """Every workload, one after the other; ``queue`` is the order of service.

        To be asked for the next only when the one before has been placed. ``blocked`` are the queues that wait.
        """
        at = 0
        while at < len(queue):
            end, order = at + 1, list[int]()
            if self._budget > 0 and is_whole(queue[at]):
                rivals, end = self._neighbours(queue, at, blocked)
                order = self._order(rivals) if len(rivals) > 1 else []
            for position in [*order, *(one for one in range(at, end) if one not in order)]:
                yield queue[position]
            at = end

    def _neighbours(
        self, queue: Sequence[Workload], first: int, blocked: Mapping[str, str]
    ) -> tuple[list[_Rival], int]:
        """Waiting gangs that follow each other, and the position after them.

        Between them may stand what takes no room: what runs and stays, and gangs for which there is none now.
        """
        rivals = list[_Rival]()
        for at in range(first, len(queue)):
            workload = queue[at]
            if not self._equal(queue[first], workload) or len(rivals) == self._limits.gangs:
                return rivals, at
            if workload.queue in blocked or self._rests(workload):
                continue
            if not is_whole(workload) or self._holds(workload):
                return rivals, max(at, first + 1)
            search = self._find(workload, None)
            prospects = {} if search is None else search.prospects()
            if not prospects and (self._waits or self._backfills):  # others wait behind it, or it gets a reservation
                return rivals, max(at, first + 1)
            if search is not None and prospects:
                rivals.append(_Rival(at, workload, search, prospects))
        return rivals, len(queue)

    def _equal(self, one: Workload, other: Workload) -> bool:
        """Whether no priority decides which of the two is served first."""
        mine, others = (self._priorities.get(name, 0) for name in (one.queue, other.queue))
        return (mine, one.priority) == (others, other.priority)

    def _holds(self, workload: Workload) -> bool:
        return any(self._federation.holdings(workload.name, role.name) for role in workload.roles)

    def _rests(self, workload: Workload) -> bool:
        """Whether it runs, all of it, and stays where it is, so that it takes nothing from anybody."""
        federation, rule = self._federation, self._federation.governing.rule(workload)
        if not self._holds(workload) or rule.policy.stay.rebalance is not Rebalance.NEVER:
            return False
        by_role = [federation.held(workload.name, role.name) for role in workload.roles]
        held: Array = sum(by_role, np.zeros(len(federation.names), dtype=np.int64))
        if (
            (held > rule.maxima).any()
            or held[federation.draining].any()
            or (is_whole(workload) and (held > 0).sum() > 1)
        ):
            return False
        replaced = rule.policy.replicas if len(by_role) == 1 else None
        wanted = [role.replicas if replaced is None else replaced for role in workload.roles]
        return all(total(found) == many for found, many in zip(by_role, wanted, strict=True))

    def _order(self, rivals: Sequence[_Rival]) -> list[int]:
        """Their positions in an order better than that of service, with hints where each goes; empty if none is."""
        greedy = self._try([_Call(one, None) for one in range(len(rivals))], rivals)
        if not any(
            greedy.places.get(one, _NOWHERE) > min(rival.prospects.values(), default=_NOWHERE)
            for one, rival in enumerate(rivals)
        ):
            return []
        contenders = [
            contender(
                self._federation,
                rival.search,
                narrowed(rival.search, rival.prospects, self._limits.clusters, greedy.seats.get(one)),
                greedy.places.get(one, _NOWHERE - 1 if self._backfills else None),
                self._heads(rivals, one),
            )
            for one, rival in enumerate(rivals)
        ]
        clusters = {cluster for rival in contenders for cluster in rival.prospects}
        search = Search(contenders, free_amounts(self._federation, clusters), greedy.seats)
        found = self._search(contenders, search, rivals, greedy)
        self.hints.update({rivals[one].gang.name: cluster for one, cluster in found.items()})
        return [rivals[call.one].at for call in _calls(found, contenders)] if found else []

    def _heads(self, rivals: Sequence[_Rival], one: int) -> tuple[int, ...]:
        """Those before it in its queue that it may not pass."""
        if not self._waits:
            return ()
        same = (at for at in range(one) if rivals[at].gang.queue == rivals[one].gang.queue)
        return tuple(at for at in same if may_start(rivals[at].search))

    def _search(
        self, contenders: Sequence[Contender], search: Search, rivals: Sequence[_Rival], greedy: _Tried
    ) -> Seats:
        """The best seats that stood a trial; none where the order of service is as good, or the budget ends first."""
        best, found = value(contenders, greedy.places), dict[int, int]()
        while self._budget > 0:
            seats, spent = search.solve(self._budget)
            self._budget -= max(spent, _LEAST)
            hoped = {one: contenders[one].prospects[cluster] for one, cluster in seats.items()}
            if value(contenders, hoped) <= best:
                break
            calls = _calls(seats, contenders)
            tried = self._try(calls, rivals)
            if _allowed(tried, contenders) and value(contenders, tried.places) > best:
                best, found = value(contenders, tried.places), dict(seats)
            failed = next((at for at, call in enumerate(calls) if _failed(call, tried, hoped)), None)
            if failed is None:
                break
            cluster = seats[calls[failed].one]
            search.forbid([call.one for call in calls[: failed + 1] if call.hint == cluster], cluster)
        return found

    def _try(self, calls: Sequence[_Call], rivals: Sequence[_Rival]) -> _Tried:
        """Place rivals in this order, as the planner will; and take it back."""
        saved, before = self._federation.save(), self._allowance.save()
        taken = list[tuple[Turn, Array]]()
        seats, places, waiting = dict[int, int](), dict[int, int](), set[str]()
        for one, hint in calls:
            gang = rivals[one].gang
            if gang.queue in waiting:
                continue
            search = self._find(gang, hint)
            fillings = [] if search is None else search.place()
            if search is not None and search.chosen is not None:
                for turn, filling in zip(search.turns, fillings, strict=True):
                    self._allowance.take(turn, filling.placed)
                    taken.append((turn, filling.placed))
                place, tiers = int(search.first.rule.tier[search.chosen]), len(search.first.rule.tiers)
                seats[one] = search.chosen
                places[one] = place + (tiers if place in search.at_fill else 0)  # beyond its fillTo is later than all
            elif self._waits and (search is None or may_start(search)):
                waiting.add(gang.queue)
        for turn, placed in reversed(taken):
            self._allowance.give_back(turn, placed)
        self._allowance.restore(before)
        self._federation.restore(saved)
        return _Tried(seats, places)


def _calls(seats: Seats, contenders: Sequence[Contender]) -> list[_Call]:
    """Those with a place by their tier, then in order of service; then the others."""
    late = [contenders[one].prospects[seats[one]] if one in seats else _NOWHERE for one in range(len(contenders))]
    return [_Call(one, seats.get(one)) for one in sorted(range(len(contenders)), key=lambda one: (late[one], one))]


def _failed(call: _Call, tried: _Tried, hoped: Mapping[int, int]) -> bool:
    """Whether one did not find the place that it was called for, nor one in an earlier tier."""
    if call.hint is None or tried.seats.get(call.one) == call.hint:
        return False
    return tried.places.get(call.one, _NOWHERE) >= hoped[call.one]


def _allowed(tried: _Tried, contenders: Sequence[Contender]) -> bool:
    """Whether nobody lost by it, and nobody passed a head that it must wait for."""
    return all(
        (one.latest is None or tried.places.get(at, _NOWHERE) <= one.latest)
        and (at not in tried.seats or all(other in tried.seats for other in one.behind))
        for at, one in enumerate(contenders)
    )
