"""Finds when a workload that waits can start, and reserves that for it.

There is no second way of placing: the planner itself is asked what it would do with the workload at later moments,
with the nodes as they will be then. The earliest at which all of it that must start together has a place is reserved.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.engine.ends import Ends
from federator.engine.federation import Federation
from federator.engine.future import Future
from federator.engine.occupancy import Occupancy, occupied
from federator.engine.opening import Clocks
from federator.engine.outcome import Outcome
from federator.engine.promises import Promises, Reserved
from federator.engine.searching import Place, Search, least, spend
from federator.model.plan import Reservation, Snapshot
from federator.model.workload import Workload

EASY = "easy"


class Reserving:
    """Makes the reservations of one plan. To be made before any room is taken."""

    def __init__(self, snapshot: Snapshot, federation: Federation, clocks: Clocks, place: Place) -> None:
        planning = snapshot.planning
        self._federation, self._clocks, self._place = federation, clocks, place
        self._left = 1 if planning.backfilling == EASY else planning.max_reservations
        self._at_first = federation.nodes.with_rows(*federation.nodes.dense())
        self._occupancy = Occupancy(len(federation.nodes.resources))
        self._asked = False
        self._impossible: set[Hashable] = set()
        self._ends = Ends(planning)
        self.promises = Promises(self._ends, federation.habits, self._occupancy if self._left else None)
        federation.promises = self.promises
        self.made: list[Reservation] = []

    @property
    def asks(self) -> bool:
        """Whether the next that waits may get a reservation."""
        return self._left > 0

    def consider(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload]) -> float | None:
        """Reserve for a workload with these outcomes, whose room is taken, if it waits for room. Returns in how many
        seconds it starts, as far as is known. ``workloads`` are all, in the order of service.
        """
        begun = any(outcome.filling.total for outcome in outcomes)
        if self.asks and any(one.blocked for one in outcomes) and not (begun and _together(outcomes)):
            alike = tuple((id(one.turn.kind), one.turn.wanted, least(outcomes, begun=False)) for one in outcomes)
            found = self._reserve(outcomes, workloads) if begun or alike not in self._impossible else None
            if found is None and not begun:
                self._impossible.add(alike)
            return 0.0 if begun else found
        return 0.0 if begun else None

    def _reserve(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload]) -> float | None:
        federation, workload = self._federation, outcomes[0].turn.workload
        future = Future(federation.nodes, self._entries(workloads))
        search = Search(self.promises, federation, future, outcomes, self._clocks, self._place)
        found = search.earliest()
        if found is None:
            return None
        at, then = found
        parts = search.needed(then)
        together = sum((replicas for _, replicas in parts), np.zeros(len(federation.names), dtype=np.int64))
        clusters = frozenset(np.flatnonzero(together).tolist())
        spare = search.limits(at)
        if spare is not None:
            spend(spare, parts)
        until = at + self._ends.lasts(workload)
        self.promises.add(federation.nodes, future, Reserved(workload.name, at, until, parts, clusters, spare))
        federation.changes += 1
        # Nobody can be told a time behind replicas that go first as soon as they can and have none themselves.
        rest = sum(one.refused for one in outcomes) - int(together.sum())
        self._left = self._left - 1 if rest <= 0 else 0
        if not self.asks:
            self.promises.occupancy = None
        names = federation.names
        self.made += [Reservation(workload.name, names[c], at / 1000, int(together[c])) for c in sorted(clusters)]
        return at / 1000

    def _entries(self, workloads: Sequence[Workload]) -> Array:
        """Who is where until when: what the snapshot tells is found out when the first asks."""
        if not self._asked:
            self._asked = True
            federation = self._federation
            ran = occupied(
                self._at_first, workloads, federation.holdings, federation.index, self._ends,
                lambda workload, role: federation.feasibility.of(
                    workload, role, federation.governing.rule(workload), ()
                ).shape,
            )  # fmt: skip
            self._occupancy.add(ran.entries())
        return self._occupancy.entries()


def _together(outcomes: Sequence[Outcome]) -> bool:
    return outcomes[0].turn.workload.gang is not None or len(outcomes) > 1
