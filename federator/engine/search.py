"""Which cluster for which of several gangs that compete: a search (CP-SAT) over an outline of the federation.

The outline is generous: what it calls impossible is impossible, but what it finds may still fail node by node. The
caller tries what was found, and takes what failed out of the question (``Search.forbid``). One worker, a fixed seed
and a budget that counts steps, not seconds: one question, one answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a second to load, so only where gangs do compete
    from ortools.sat.python import cp_model

SEED = 1
Seats = Mapping[int, int]
"""The cluster of each contender that has one, both by number."""


@dataclass(frozen=True, slots=True)
class Part:
    """Replicas of one shape: alike in what they ask for and which nodes they may use. ``room`` is by cluster."""

    shape: Hashable
    replicas: int
    room: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Contender:
    """A gang that competes, in the order of service.

    ``asks`` is what all of it asks for, by resource. ``prospects`` are the clusters that could hold it, with the place
    of their tier. ``allowances`` are by place: of which resource how much the tier's ``members`` may have taken of
    others when this one comes. ``worth`` is what placing it is worth, ``latest`` the last tier that it may be put in;
    None: it may stay without a place. ``behind`` are those before it without which it may not start.
    """

    asks: Mapping[str, int]
    parts: tuple[Part, ...]
    prospects: Mapping[int, int]
    allowances: Mapping[int, tuple[str, int]]
    members: Mapping[int, frozenset[int]]
    worth: int
    latest: int | None
    behind: tuple[int, ...] = ()


def value(contenders: Sequence[Contender], places: Mapping[int, int]) -> tuple[int, int, int]:
    """What it is worth that these have a place, in a tier of this place: worth, then early tiers, then early service.

    The more, the better.
    """
    worth = sum(contenders[one].worth for one in places)
    last = _last(contenders)
    return worth, sum(last - place for place in places.values()), sum(len(contenders) - one for one in places)


def _last(contenders: Sequence[Contender]) -> int:
    return max((place for one in contenders for place in one.prospects.values()), default=0)


class Search:
    """One question. ``free`` is by cluster and resource, for the clusters where that is known."""

    def __init__(self, contenders: Sequence[Contender], free: Mapping[int, Mapping[str, int]], greedy: Seats) -> None:
        from ortools.sat.python import cp_model

        self._contenders = contenders
        self._greedy = greedy
        self._last = _last(contenders)
        self._model = cp_model.CpModel()
        self._sits = {
            (one, cluster): self._model.new_bool_var(f"{one}@{cluster}")
            for one, contender in enumerate(contenders)
            for cluster in sorted(contender.prospects)
        }
        self._everybody_sits_once()
        self._clusters_hold(free)
        self._shapes_find_nodes()
        self._tiers_stop_at_their_fill()
        self._model.maximize(sum(self._weigh(*key) * sits for key, sits in self._sits.items()))
        for key, sits in self._sits.items():
            self._model.add_hint(sits, greedy.get(key[0]) == key[1])

    def solve(self, budget: float) -> tuple[Seats, float]:
        """The best seats found (nobody's, where the budget did not suffice or there are none), and what was spent."""
        from ortools.sat.python import cp_model

        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = SEED
        solver.parameters.max_deterministic_time = budget
        status = solver.solve(self._model)
        spent = float(solver.response_proto.deterministic_time)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return {}, spent
        return {one: cluster for (one, cluster), sits in self._sits.items() if solver.boolean_value(sits)}, spent

    def forbid(self, together: Sequence[int], cluster: int) -> None:
        """These were tried together on the cluster, and one of them found no place."""
        self._model.add(sum(self._sits[one, cluster] for one in together) <= len(together) - 1)

    def _placed(self, one: int) -> cp_model.LinearExprT:
        return sum(self._sits[one, cluster] for cluster in sorted(self._contenders[one].prospects))

    def _everybody_sits_once(self) -> None:
        """On one cluster; nobody who would have a place in order of service loses it, or gets one in a later tier."""
        for one, contender in enumerate(self._contenders):
            self._model.add(self._placed(one) <= 1)
            if contender.latest is not None:
                good = [at for at, place in sorted(contender.prospects.items()) if place <= contender.latest]
                self._model.add(sum(self._sits[one, at] for at in good) == 1)
            for other in contender.behind:
                self._model.add(self._placed(one) <= self._placed(other))

    def _clusters_hold(self, free: Mapping[int, Mapping[str, int]]) -> None:
        for cluster, amounts in sorted(free.items()):
            there = [one for one, contender in enumerate(self._contenders) if cluster in contender.prospects]
            for resource, left in sorted(amounts.items()):
                asked = [(one, self._contenders[one].asks.get(resource, 0)) for one in there]
                if sum(amount for _, amount in asked) > left:
                    self._model.add(sum(amount * self._sits[one, cluster] for one, amount in asked if amount) <= left)

    def _shapes_find_nodes(self) -> None:
        """Alike replicas fill nodes together: no more of them than the nodes hold of their shape."""
        alike: dict[tuple[int, Hashable], list[tuple[int, int, int]]] = {}
        for one, contender in enumerate(self._contenders):
            for cluster in sorted(contender.prospects):
                for part in contender.parts:
                    seats = alike.setdefault((cluster, part.shape), [])
                    seats.append((one, part.replicas, part.room[cluster]))
        for (cluster, _), seats in alike.items():
            room = min(room for _, _, room in seats)
            if sum(replicas for _, replicas, _ in seats) > room:
                self._model.add(sum(replicas * self._sits[one, cluster] for one, replicas, _ in seats) <= room)

    def _tiers_stop_at_their_fill(self) -> None:
        """A tier takes a gang while it is below its fillTo: with those that are placed before it (see ``contest``)."""
        for one, contender in enumerate(self._contenders):
            for place, (resource, allowed) in sorted(contender.allowances.items()):
                mine = [self._sits[one, at] for at, tier in sorted(contender.prospects.items()) if tier == place]
                before = [
                    (self._contenders[other].asks.get(resource, 0), sits)
                    for (other, cluster), sits in self._sits.items()
                    if cluster in contender.members[place]
                    and (self._contenders[other].prospects[cluster], other) < (place, one)
                ]
                most = sum(amount for amount, _ in before)
                if most > allowed:
                    taken = sum(amount * sits for amount, sits in before)
                    self._model.add(taken + (most - allowed) * sum(mine) <= most)

    def _weigh(self, one: int, cluster: int) -> int:
        """``value`` in one number; and then, what the order of service gives anyhow."""
        many, contender, last = len(self._contenders), self._contenders[one], self._last
        found = contender.worth
        found = found * (many * last + 1) + last - contender.prospects[cluster]
        found = found * (many * many + 1) + many - one
        return found * (many + 1) + (self._greedy.get(one) == cluster)
