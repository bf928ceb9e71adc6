"""All that wait under ``weightBy: foresight``, in lines of alike: who asks for how much of what, and may go where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import UNLIMITED, Array, total
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.filling import BY_FORESIGHT, NEAR, TAKES, WEIGHT
from federator.engine.foresight import Numbers, drawn
from federator.engine.kinds import Kind, Kinds
from federator.model.plan import Snapshot
from federator.model.workload import Workload

FORESIGHT = "foresight"
LINES = 20_000
"""Who is of none of the first so many lines is divided by fit."""
_ANYWHERE = 1e15
"""What a cluster of unknown room has of every resource."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One that waits for ``missing`` replicas, at most ``maxima`` of them and of what it holds on each cluster."""

    name: str
    kind: Kind
    eligibility: Eligibility
    maxima: Array
    missing: int


@dataclass(slots=True, eq=False)
class Crowd:
    """Lines of those that wait for the same, and what each of them lacks who has not had his turn.

    ``known`` are they by name, ``asks`` is by line and resource what a replica asks for, ``may`` by line and cluster
    how near its data is (0: it may not go there) and ``most`` how many of the line may be there. ``members`` and
    ``lacking`` tell of each that waits, in the order of service, his line and how many replicas he lacks; ``left`` how
    many each line lacks, ``missing`` how many each workload.
    """

    known: Mapping[str, Waiting]
    asks: Numbers
    may: Array
    most: Array
    members: Array
    lacking: Array
    left: Array
    rows: dict[str, int]
    missing: dict[str, int]

    @classmethod
    def of(cls, waiting: Iterable[Waiting], clusters: int, resources: int) -> Crowd:
        """These, who are in the order of service."""
        lines, turns, rows = dict[int, list[Waiting]](), list[Waiting](), dict[str, int]()
        places = dict[int, int]()
        for one in waiting:
            if id(one.kind) not in places and len(places) == LINES:
                continue
            rows[one.name] = places.setdefault(id(one.kind), len(places))
            lines.setdefault(rows[one.name], []).append(one)
            turns.append(one)
        asks = np.zeros((len(lines), resources))
        may, most = np.zeros((2, len(lines), clusters), dtype=np.int64)
        for row, alike in lines.items():
            first = alike[0]
            asked = first.eligibility.shape.asked
            asks[row, asked[:, 0]] = asked[:, 1]
            may[row] = _may(first.kind)
            most[row] = np.minimum(first.maxima, UNLIMITED // len(alike)) * len(alike)
        lacking = np.array([one.missing for one in turns], dtype=np.int64)
        members = np.array([rows[one.name] for one in turns], dtype=np.int64)
        left = np.zeros(len(lines), dtype=np.int64)
        np.add.at(left, members, lacking)
        known = {one.name: one for one in turns}
        return cls(known, asks, may, most, members, lacking, left, rows, {one.name: one.missing for one in turns})

    def part(self, aims: Array, row: int, replicas: int) -> Array:
        """What so many of a line aim at, of what the line does."""
        left = int(self.left[row])
        own: Array = drawn(aims[row], min(replicas, left), left)
        return own

    def draw(self, aims: Array, name: str, most: int) -> Array | None:
        """So many replicas of a workload have had their turn: what they aimed at, and do no more."""
        replicas = min(most, self.missing.get(name, 0))
        if replicas <= 0:
            return None
        row = self.rows[name]
        own = self.part(aims, row, replicas)
        aims[row] -= own
        self.left[row] -= replicas
        self.missing[name] -= replicas
        return own


def looks_ahead(snapshot: Snapshot) -> bool:
    """Whether any policy divides by foresight."""
    return any(tier.weight_by == FORESIGHT for policy in snapshot.policies for tier in policy.tiers)


def crowd_of(federation: Federation, kinds: Kinds, queue: Sequence[Workload]) -> Iterable[Waiting]:
    """Those that wait and are divided by foresight; gangs and workloads of several roles are not looked ahead for."""
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
                yield Waiting(workload.name, kind, eligibility, rule.maxima, missing)


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
