"""Finds when a workload that waits can start, and reserves that for it.

There is no second way of placing: the planner itself is asked what it would do with the workload at later moments,
with the nodes as they will be then. The earliest at which all of it that must start together has a place is reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.engine.ends import NEVER, Ends, milliseconds
from federator.engine.federation import Federation
from federator.engine.future import Future
from federator.engine.occupancy import AMOUNTS, BEGIN, COUNTED, END, Occupancy, occupied
from federator.engine.opening import Clocks
from federator.engine.outcome import Outcome
from federator.engine.promises import Promises, Reserved
from federator.engine.shapes import Shape
from federator.model.plan import Reservation, Snapshot, shape_key
from federator.model.workload import Workload

EASY, CONSERVATIVE = "easy", "conservative"
_TRIED = 32
"""Beside other reservations, so many moments before the one found by halving are tried one by one."""

Place = Callable[[Workload, Federation, Clocks], Sequence[Outcome]]
"""What the planner would do with a workload in such a federation, with such clocks of the tiers."""


class Reserving:
    """Makes the reservations of one plan. To be made before any room is taken."""

    def __init__(self, snapshot: Snapshot, federation: Federation, clocks: Clocks, place: Place) -> None:
        planning = snapshot.planning
        self._federation, self._clocks, self._place = federation, clocks, place
        self._workloads: Sequence[Workload] = ()
        self._left = 1 if planning.backfilling == EASY else planning.max_reservations
        self._at_first = federation.nodes.with_rows(*federation.nodes.dense())
        self._occupancy = Occupancy(len(federation.nodes.resources))
        self._asked = False
        self._impossible: set[Hashable] = set()
        self.ends = Ends(planning)
        self.promises = Promises(self.ends, federation.habits, self._occupancy if self._left else None)
        federation.promises = self.promises
        self.made: list[Reservation] = []

    @property
    def asks(self) -> bool:
        """Whether the next that waits may get a reservation."""
        return self._left > 0

    def consider(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload]) -> float | None:
        """Reserve for a workload with these outcomes if it waits for room. Returns in how many seconds it is expected
        to start; None where nothing is known. ``workloads`` are all, in the order of service.
        """
        if any(outcome.filling.total for outcome in outcomes):
            return 0.0
        if not self.asks or any(one.turn.holds for one in outcomes) or not any(one.blocked for one in outcomes):
            return None
        alike = tuple((id(one.turn.kind), one.turn.wanted, _least(outcomes)) for one in outcomes)
        if alike in self._impossible:
            return None
        found = self._reserve(outcomes, workloads)
        if found is None:
            self._impossible.add(alike)
        return found

    def _reserve(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload]) -> float | None:
        turn, federation = outcomes[0].turn, self._federation
        future = Future(federation.nodes, self._entries(workloads))
        search = _Search(self, future, turn.workload, _least(outcomes), _running(self._clocks, outcomes, federation))
        found = search.earliest()
        if found is None:
            return None
        at, then = found
        parts = _parts(then, _least(outcomes))
        together = sum((replicas for _, replicas in parts), np.zeros(len(federation.names), dtype=np.int64))
        clusters = frozenset(np.flatnonzero(together).tolist())
        limits = search.limits(at)
        if limits is not None:
            _spend(limits, parts)
        one = Reserved(turn.workload.name, at, at + self.ends.lasts(turn.workload), parts, clusters, limits)
        self.promises.add(federation.nodes, future, one)
        federation.changes += 1
        self._left -= 1
        if not self.asks:
            self.promises.occupancy = None
        names = federation.names
        self.made += [Reservation(one.workload, names[c], at / 1000, int(together[c])) for c in sorted(clusters)]
        return at / 1000

    def _entries(self, workloads: Sequence[Workload]) -> Array:
        """Who is where until when: what the snapshot tells is found out when the first asks."""
        if not self._asked:
            self._asked = True
            federation = self._federation
            ran = occupied(
                self._at_first, workloads, federation.holdings, federation.index, self.ends,
                lambda workload, role: federation.feasibility.of(
                    workload, role, federation.governing.rule(workload), ()
                ).shape,
            )  # fmt: skip
            self._occupancy.add(ran.entries())
        return self._occupancy.entries()

    def at(self, moment: int, future: Future, limits: Array | None, *, alone: bool) -> Federation:
        """The federation as it will be; ``alone``: as if nothing were reserved."""
        promises = Promises(self.ends, self._federation.habits) if alone else self.promises
        nodes, to_come = promises.at(moment, future)
        return self._federation.later(moment, nodes, limits, to_come)

    def outcomes(self, workload: Workload, federation: Federation, clocks: Clocks) -> Sequence[Outcome]:
        """What the planner would do."""
        return self._place(workload, federation, clocks)


class _Search:
    """The search for the earliest start of one workload, of which ``least`` replicas must have a place at once."""

    def __init__(self, reserving: Reserving, future: Future, workload: Workload, least: int, clocks: Clocks) -> None:
        self._reserving, self._future = reserving, future
        self._workload, self._least, self._clocks = workload, least, clocks
        federation = reserving._federation
        self._limits = federation.limits
        reserved = reserving.promises.reserved
        openings = [1 + milliseconds(at_s - federation.at_s) for at_s in _openings(clocks, federation, workload)]
        moments = {*future.ends.tolist(), *openings, *(t for one in reserved for t in (one.at, one.until))}
        self._moments = sorted(moment for moment in moments if 0 < moment < NEVER)
        self._alone = not reserved

    def earliest(self) -> tuple[int, Sequence[Outcome]] | None:
        """The moment, and what the planner does then; None where it never starts.

        Room only grows with time where nothing is reserved, so the moments are halved. Beside reservations that finds
        one moment, and those before it are tried from the earliest on at which it could start alone.
        """
        found = self._halve(0, alone=self._alone)
        if self._alone or found is None:
            return found
        least = self._halve(0, alone=True)
        first = self._moments.index(least[0]) if least is not None else 0
        for moment in self._moments[first : self._moments.index(found[0])][:_TRIED]:
            then = self._starts(moment, alone=False)
            if then is not None:
                return moment, then
        return found

    def _halve(self, first: int, *, alone: bool) -> tuple[int, Sequence[Outcome]] | None:
        low, high = first - 1, len(self._moments) - 1
        then = self._starts(self._moments[-1], alone=alone) if self._moments else None
        if then is None:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            sooner = self._starts(self._moments[middle], alone=alone)
            if sooner is None:
                low = middle
            else:
                high, then = middle, sooner
        return self._moments[high], then

    def _starts(self, moment: int, *, alone: bool) -> Sequence[Outcome] | None:
        federation = self._reserving.at(moment, self._future, self.limits(moment), alone=alone)
        outcomes = self._reserving.outcomes(self._workload, federation, self._clocks)
        return outcomes if sum(one.filling.total for one in outcomes) >= self._least else None

    def limits(self, moment: int) -> Array | None:
        """What the quotas of the clusters leave then."""
        if self._limits is None:
            return None
        nodes, limits = self._future.base, self._limits.copy()
        entries = self._reserving._occupancy.entries()
        ended = entries[entries[:, END] <= moment]
        dense, lots = nodes.dense()
        home = nodes.home[lots[np.searchsorted(dense[:, 1], ended[:, BEGIN], side="right") - 1]]
        np.add.at(limits.T, home, ended[:, AMOUNTS:] * ended[:, COUNTED, None])
        for one in self._reserving.promises.reserved:
            if one.at <= moment < one.until:
                _spend(limits, one.parts)
        return limits


def _least(outcomes: Sequence[Outcome]) -> int:
    """How many replicas must start at once: all of what starts together, else the least that the workload says."""
    workload, wanted = outcomes[0].turn.workload, sum(one.turn.wanted for one in outcomes)
    together = workload.gang is not None or len(outcomes) > 1
    return max(1, wanted if together else min(workload.min_replicas, wanted))


def _spend(limits: Array, parts: Iterable[tuple[Shape, Array]]) -> None:
    for shape, replicas in parts:
        for name, asked in shape.asked.tolist():
            limits[name] -= asked * replicas


def _parts(outcomes: Sequence[Outcome], least: int) -> tuple[tuple[Shape, Array], ...]:
    """The shapes and replicas to reserve: what must start at once, in the first tiers, then the first names."""
    parts, left = [], least
    for outcome in outcomes:
        tier = outcome.turn.rule.tier
        order = np.argsort(np.where(tier < 0, len(tier), tier), kind="stable")
        placed = outcome.filling.placed[order]
        kept = np.zeros_like(placed)
        kept[order] = np.clip(left - (np.cumsum(placed) - placed), 0, placed)
        left -= int(kept.sum())
        parts.append((outcome.turn.eligibility.shape, kept))
    return tuple(parts)


def _running(clocks: Clocks, outcomes: Sequence[Outcome], federation: Federation) -> Clocks:
    """The clocks of the workload's tiers; one that does not run yet begins now."""
    policy, shape = outcomes[0].turn.rule.policy, shape_key(outcomes[0].turn.workload)
    keys = [(policy.name, tier.name, shape) for tier in policy.tiers]
    return {key: clocks.get(key, federation.at_s) for key in keys}


def _openings(clocks: Clocks, federation: Federation, workload: Workload) -> list[float]:
    """When tiers may open, as far as they wait for a clock."""
    tiers = federation.governing.rule(workload).tiers
    return [since + tier.open_after_s for since in clocks.values() for tier in tiers if tier.open_after_s]
