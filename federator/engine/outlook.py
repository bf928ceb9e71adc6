"""``weightBy: foresight``: where work goes so that there is room for those who come after it, too.

Before the first turn of a plan all that waits is spread over the clusters, without nodes and as if nobody were first
(``engine/foresight.py``). At its turn a workload is spread once more, among what has been placed by now and what those
after it aim at; what comes out are its aims, and they weigh its clusters. What it holds already it aims to keep, so
nothing moves for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import UNLIMITED, Array, total
from federator.engine.federation import Federation
from federator.engine.filling import BY_FORESIGHT, NEAR, TAKES, WEIGHT
from federator.engine.foresight import STEEPEST, Numbers, drawn, look_ahead, priced, served, spread
from federator.engine.kinds import Kind, Kinds
from federator.engine.shapes import Shape
from federator.model.plan import Snapshot
from federator.model.workload import Workload

FORESIGHT = "foresight"
ROUNDS, PORTIONS = 20, 20
"""So often is all placed anew; and in so many portions a workload, each where it is cheapest then."""
_PORTIONS_OF_A_LINE = 400
_EFFORT = 1_000_000
"""So many portions are placed in all rounds together, but at least two rounds."""
_LINES = 20_000
"""Who is of none of the first so many lines is divided by fit."""
_ANYWHERE = 1e15
"""What a cluster of unknown room has of every resource."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that waits for ``missing`` replicas, at most ``maxima`` of them and of what it holds on each cluster."""

    name: str
    kind: Kind
    shape: Shape
    maxima: Array
    missing: int


@dataclass(slots=True, eq=False)
class Outlook:
    """Aims by line and cluster, drawn down as workloads have had their turn. A line is all that wait of one kind.

    ``whole`` is what was free of each resource of a cluster, ``later`` what the aims of those use who still wait.
    """

    whole: Numbers
    asks: Numbers
    may: Array
    aims: Array
    later: Numbers
    left: Array
    """How many replicas of each line have not had their turn."""
    rows: dict[str, int]
    """The line of each workload."""
    missing: dict[str, int]
    """How many replicas of each workload have not had their turn."""

    @classmethod
    def over(cls, federation: Federation, waiting: Iterable[Waiting]) -> Outlook:
        """Look ahead for these, who are in the order of service."""
        lines, turns, rows = dict[int, list[Waiting]](), list[Waiting](), dict[str, int]()
        places = dict[int, int]()
        for one in waiting:
            if id(one.kind) not in places and len(places) == _LINES:
                continue
            rows[one.name] = places.setdefault(id(one.kind), len(places))
            lines.setdefault(rows[one.name], []).append(one)
            turns.append(one)
        whole = free_of(federation)
        shape = len(lines), len(whole)
        asks = np.zeros((len(lines), whole.shape[1]))
        may, most = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, members in lines.items():
            first = members[0]
            asks[row, first.shape.asked[:, 0]] = first.shape.asked[:, 1]
            may[row] = _may(first.kind)
            most[row] = np.minimum(first.maxima, UNLIMITED // len(members)) * len(members)
        lacking = np.array([one.missing for one in turns], dtype=np.int64)
        order = np.array([rows[one.name] for one in turns], dtype=np.int64)
        reach = np.minimum((most * (may > 0)).sum(axis=1), UNLIMITED)
        wanted = served(asks, reach, order, lacking, whole.sum(axis=0))
        aims, later = np.zeros(shape, dtype=np.int64), np.zeros_like(whole)
        times = np.minimum(PORTIONS * np.bincount(order, minlength=len(lines)), _PORTIONS_OF_A_LINE)
        rounds = max(2, min(ROUNDS, _EFFORT // max(1, int(times.sum()))))
        look_ahead(asks, may, most, wanted, np.maximum(wanted // times, 1), aims, whole, later, rounds)
        left = np.zeros(len(lines), dtype=np.int64)
        np.add.at(left, order, lacking)
        return cls(whole, asks, may, aims, later, left, rows, {one.name: one.missing for one in turns})

    def aim(self, federation: Federation, name: str, maxima: Array, held: Array, missing: int) -> Array:
        """The aims of one that is at its turn, as things stand: what it holds, and a place for what it lacks."""
        aims: Array = np.minimum(held, maxima)
        row = self.rows.get(name)
        if row is None or missing <= 0:
            return aims
        used = self.whole - free_of(federation) + self.later - self._own(row, missing)[:, None] * self.asks[row]
        prices = priced(used, self.whole, STEEPEST)
        portion = max(1, missing // PORTIONS)
        spread(self.asks[row], self.may[row], maxima, missing, portion, aims, self.whole, used, prices, STEEPEST)
        return aims

    def draw(self, name: str, most: int = UNLIMITED) -> None:
        """So many replicas of a workload have had their turn; if not told, all of it."""
        replicas = min(most, self.missing.get(name, 0))
        if replicas > 0:
            row = self.rows[name]
            own = self._own(row, replicas)
            self.later -= own[:, None] * self.asks[row]
            self.aims[row] -= own
            self.left[row] -= replicas
            self.missing[name] -= replicas

    def _own(self, row: int, replicas: int) -> Array:
        """What so many of a line aimed at before."""
        left = int(self.left[row])
        own: Array = drawn(self.aims[row], min(replicas, left), left)
        return own


def outlook(snapshot: Snapshot, federation: Federation, kinds: Kinds, queue: Sequence[Workload]) -> Outlook | None:
    """The outlook of all that wait and are divided by foresight; None where no policy does that.

    Gangs and workloads of several roles are not looked ahead for.
    """
    if not any(tier.weight_by == FORESIGHT for policy in snapshot.policies for tier in policy.tiers):
        return None
    return Outlook.over(federation, _waiting(federation, kinds, queue))


def _waiting(federation: Federation, kinds: Kinds, queue: Sequence[Workload]) -> Iterable[Waiting]:
    for workload in queue:
        if workload.gang is not None or len(workload.roles) > 1:
            continue
        role, rule = workload.roles[0], federation.governing.rule(workload)
        eligibility = federation.feasibility.of(workload, role, rule, federation.excluded(workload.name))
        kind = kinds.of(workload, rule, eligibility)
        if kind.by_foresight:
            wanted = role.replicas if rule.policy.replicas is None else rule.policy.replicas
            missing = wanted - total(federation.held(workload.name, role.name))
            if missing > 0:
                yield Waiting(workload.name, kind, eligibility.shape, rule.maxima, missing)


def free_of(federation: Federation) -> Numbers:
    """What is free, within the clusters' quotas, by cluster and resource."""
    nodes = federation.nodes
    free = nodes.sums.sum(axis=0)[:, : len(nodes.resources)]
    if federation.limits is not None:
        free = np.minimum(free, federation.limits.T)
    found: Numbers = free.astype(np.float64)
    found[federation.unknown] = _ANYWHERE
    return found


def _may(kind: Kind) -> Array:
    """How near the data is, where the kind is placed by foresight; 0 elsewhere."""
    open_to_it = (kind.desk[:, WEIGHT] == BY_FORESIGHT) & (kind.desk[:, TAKES] > 0)
    return np.where(open_to_it, np.maximum(kind.desk[:, NEAR], 1), 0)
