"""Finds when a workload that waits can start, and reserves that for it.

There is no second way of placing: the planner itself is asked what it would do with the workload at later moments,
with the nodes as they will be then. The earliest at which all of it that must start together has a place is reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from federator.engine.arrays import Array, total
from federator.engine.ends import LEAVES, Ends
from federator.engine.federation import Federation
from federator.engine.future import Future
from federator.engine.occupancy import Occupancy, Runs, occupied
from federator.engine.opening import Clocks
from federator.engine.outcome import Outcome
from federator.engine.promises import Promises, Reserved
from federator.engine.searching import Place, Search, least, spend
from federator.engine.shapes import Shape
from federator.model.plan import Reservation, Snapshot
from federator.model.policy import Planning
from federator.model.workload import Workload

LEFT: Mapping[str, Callable[[Planning], int]] = {
    "none": lambda planning: 0,
    "easy": lambda planning: 1,
    "conservative": lambda planning: planning.max_reservations,
}
"""How many reservations there may be, by ``backfilling``."""


class Reserving:
    """Makes the reservations of one plan. To be made before any room is taken."""

    def __init__(
        self,
        snapshot: Snapshot,
        federation: Federation,
        clocks: Clocks,
        place: Place,
        firsts: Mapping[str, int],
        claim: Callable[[Outcome, Array], None],
    ) -> None:
        """For ``firsts`` others have given way: what that gives them (so many replicas in all) is kept for them, and of
        their queue's allowance they ``claim`` it, whatever the settings are."""
        planning = snapshot.planning
        self._federation, self._clocks, self._place = federation, clocks, place
        self._firsts, self._claim = dict(firsts), claim
        self._left = LEFT[planning.backfilling](planning)
        self._at_first = federation.nodes.with_rows(*federation.nodes.dense())
        self._occupancy = Occupancy(len(federation.nodes.resources))
        self._asked = False
        self._impossible: set[Hashable] = set()
        self._ends = Ends(planning)
        self.promises = Promises(self._ends, federation.habits, self._occupancy if self.asks else None)
        federation.promises = self.promises
        self.made: list[Reservation] = []
        self.gains: dict[str, int] = {}
        """Of ``firsts`` that still wait, how many replicas each has in all once it has what is kept for it."""

    @property
    def asks(self) -> bool:
        """Whether the next that waits may get a reservation."""
        return self._left > 0 or bool(self._firsts)

    def consider(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload]) -> float | None:
        """Reserve for a workload with these outcomes, whose room is taken, if it waits for room. Returns in how many
        seconds it starts, as far as is known. ``workloads`` are all, in the order of service.
        """
        begun = any(outcome.filling.total for outcome in outcomes)
        name = outcomes[0].turn.workload.name
        if name in self._firsts:
            gains = self._firsts.pop(name)
            if any(one.blocked for one in outcomes):
                self.gains[name] = self._keep_what_comes(outcomes, workloads, gains)
                if self.gains[name] > sum(one.filling.total for one in outcomes):
                    return LEAVES / 1000
        parting = _together(outcomes) and any(one.turn.holds for one in outcomes)  # what is left of a gang goes first
        if self._left > 0 and any(one.blocked for one in outcomes) and not parting:
            alike = tuple((id(one.turn.kind), one.turn.wanted, least(outcomes, begun=False)) for one in outcomes)
            found = self._reserve(outcomes, workloads) if begun or alike not in self._impossible else None
            if found is None and not begun:
                self._impossible.add(alike)
            return 0.0 if begun else found
        return 0.0 if begun else None

    def _keep_what_comes(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload], gains: int) -> int:
        """Keep for a workload what it gets once everything is gone that is leaving, up to so many replicas in all; how
        many it then has."""
        federation = self._federation
        future = Future(federation.nodes, self._entries(workloads))
        search = Search(self.promises, federation, future, outcomes, self._clocks, self._place)
        then = search.starts(LEAVES)
        placed = sum(one.filling.total for one in outcomes)
        if then is None or gains <= placed:
            return placed
        parts = search.needed(then, gains - placed)
        for now, one, (_, kept) in zip(outcomes, then, parts, strict=True):
            self._claim(one, one.turn.held + kept)
            now.turn.room.coming.update((at, int(kept[at])) for at in np.flatnonzero(kept).tolist())
        return placed + self._add(outcomes[0].turn.workload, LEAVES, parts, search)

    def _reserve(self, outcomes: Sequence[Outcome], workloads: Sequence[Workload]) -> float | None:
        federation, workload = self._federation, outcomes[0].turn.workload
        future = Future(federation.nodes, self._entries(workloads))
        search = Search(self.promises, federation, future, outcomes, self._clocks, self._place)
        found = search.earliest()
        if found is None:
            return None
        at, then = found
        together = self._add(workload, at, search.needed(then), search)
        # Nobody can be told a time behind replicas that go first as soon as they can and have none themselves.
        rest = sum(one.refused for one in outcomes) - together
        self._left = self._left - 1 if rest <= 0 else 0
        if not self.asks:
            self.promises.occupancy = None
        return at / 1000

    def _add(self, workload: Workload, at: int, parts: tuple[tuple[Shape, Array], ...], search: Search) -> int:
        """Promise these replicas of each shape by cluster; returns how many there are in all."""
        federation, names = self._federation, self._federation.names
        together = sum((replicas for _, replicas in parts), np.zeros(len(names), dtype=np.int64))
        clusters = frozenset(np.flatnonzero(together).tolist())
        spare = search.limits(at)
        if spare is not None:
            spend(spare, parts)
        until = at + self._ends.lasts(workload)
        self.promises.add(federation.nodes, search.future, Reserved(workload.name, at, until, parts, clusters, spare))
        federation.changes += 1
        self.made += [Reservation(workload.name, names[c], at / 1000, int(together[c])) for c in sorted(clusters)]
        return total(together)

    def _entries(self, workloads: Sequence[Workload]) -> Array:
        """Who is where until when: what the snapshot tells is found out when the first asks."""
        if not self._asked:
            self._asked = True
            federation = self._federation
            runs = Runs(workloads, federation.holdings, federation.index, self._ends, federation.shape_of)
            self._occupancy.before = occupied(self._at_first, runs).entries()
        return self._occupancy.entries()


def _together(outcomes: Sequence[Outcome]) -> bool:
    return outcomes[0].turn.workload.gang is not None or len(outcomes) > 1
