"""What could give way: replicas as they are taken to sit on nodes, in the least parts in which they leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.ends import LEAVES, Ends
from federator.engine.federation import Federation
from federator.engine.occupancy import AMOUNTS, BEGIN, COUNTED, END, Runs, Seats, seated
from federator.engine.rows import LOT, NODES, TIMES
from federator.model.plan import Holding, Snapshot
from federator.model.resources import Resources
from federator.model.workload import Role, Workload


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """``replicas`` of a role that have been on one cluster for ``age_s``. ``lines`` of a journal say where they sit;
    those that are on none are in no line, and free nothing."""

    role: Role
    cluster: int
    replicas: int
    age_s: float
    lines: Array
    each: Array
    """What one of them gives back, by resource."""

    def freed(self, replicas: int, resources: int) -> Array:
        """What is free on which nodes once so many of them are gone, as entries of ``Occupancy``: those that were put
        on nodes last, as they will be when they are seen to be leaving."""
        entries = np.zeros((len(self.lines) + 1, AMOUNTS + resources), dtype=np.int64)
        entries[:, END] = LEAVES
        size, left = 0, replicas
        for node, nodes, times, _ in reversed(self.lines.tolist()):
            whole, past = min(nodes, left // times), node + nodes
            for count, many in ((whole, times), (min(nodes - whole, 1), min(left - whole * times, times))):
                if count and many:
                    past -= count
                    entries[size, BEGIN], entries[size, COUNTED] = past, count
                    entries[size, AMOUNTS:] = self.each * many
                    size, left = size + 1, left - count * many
            if left <= 0:
                break
        return entries[:size]


@dataclass(frozen=True, eq=False)
class Unit:
    """What leaves together: of a single piece any number of replicas, of a gang all its pieces."""

    workload: Workload
    pieces: tuple[Piece, ...]

    @cached_property
    def steps(self) -> int:
        """How many parts of it may leave: its replicas, or, of what is whole, one."""
        return 1 if self.whole else self.pieces[0].replicas

    @cached_property
    def whole(self) -> bool:
        """Whether it leaves as a whole, or not at all."""
        return self.workload.gang is not None or len(self.workload.roles) > 1

    @cached_property
    def ran_s(self) -> float:
        """For how long the youngest of it has run, in seconds."""
        return min(piece.age_s for piece in self.pieces)

    @cached_property
    def lost_s(self) -> float:
        """How much work each replica loses: since its last checkpoint, if it makes any, else since it began."""
        oldest, every = max(piece.age_s for piece in self.pieces), self.workload.checkpoint_every_s
        return oldest % every if every else oldest

    def parts(self, steps: int) -> Iterable[tuple[Piece, int]]:
        """Which pieces leave, and how many of each."""
        return ((piece, piece.replicas if self.whole else steps) for piece in self.pieces)

    def amounts(self, steps: int) -> Resources:
        """What it asks for together."""
        return sum((piece.role.requests * count for piece, count in self.parts(steps)), Resources())


class Pieces:
    """All that runs on clusters that answer, found out when the first asks. To be made before any room is taken."""

    def __init__(self, snapshot: Snapshot, federation: Federation, workloads: Sequence[Workload]) -> None:
        self._federation, self._workloads = federation, workloads
        self._ends = Ends(snapshot.planning)
        self._nodes = federation.nodes.with_rows(*federation.nodes.dense())
        self._units: dict[str, list[Unit]] = {}

    @cached_property
    def _all(self) -> tuple[dict[str, list[Piece]], list[Piece]]:
        """By workload, and those that are leaving already."""
        federation, staying, leaving = self._federation, dict[str, list[Piece]](), list[Piece]()
        by_name = {workload.name: workload for workload in self._workloads}
        runs = Runs(self._workloads, self._on_nodes, federation.index, self._ends, federation.shape_of)
        for seats in seated(self._nodes, runs):
            workload = by_name[seats.workload]
            for piece, leaves in self._pieces(seats, workload):
                if leaves:
                    leaving.append(piece)
                elif not federation.silent[piece.cluster]:
                    staying.setdefault(workload.name, []).append(piece)
        return staying, leaving

    def _on_nodes(self, workload: str, role: str) -> list[Holding]:
        """What clusters hold, all of it on nodes: the planner has bound what was on its way."""
        held = self._federation.holdings(workload, role)
        return [replace(one, unbound=0, leaving_unbound=0) for one in held]

    def _pieces(self, seats: Seats, workload: Workload) -> Iterable[tuple[Piece, bool]]:
        federation = self._federation
        role = next(one for one in workload.roles if one.name == seats.role)
        homes = self._nodes.home[seats.lines[:, LOT]]
        for holding in sorted(federation.holdings(seats.workload, seats.role), key=lambda one: one.cluster):
            at = federation.index[holding.cluster]
            waves = sorted(holding.waves) or [(holding.age_s, holding.replicas)]
            lines, each = seats.lines[homes == at], seats.each[self._nodes.first_lots[at]]
            seen = int((lines[:, NODES] * lines[:, TIMES]).sum())
            if seats.wave < len(waves) and waves[seats.wave][1]:
                age_s, replicas = waves[seats.wave]
                yield Piece(role, at, replicas, age_s, lines, each), False
            elif seats.wave == len(waves) and seen:
                yield Piece(role, at, seen, 0.0, lines, each), True

    @cached_property
    def leaving(self) -> Array:
        """What is leaving already, as entries of ``Occupancy``."""
        resources = len(self._federation.nodes.resources)
        freed = [piece.freed(piece.replicas, resources) for piece in self._all[1]]
        return np.concatenate([np.zeros((0, AMOUNTS + resources), dtype=np.int64), *freed])

    def units(self, workload: Workload) -> list[Unit]:
        """What could leave of a workload, the same objects each time it is asked; nothing where a part of what leaves
        together is on a silent cluster."""
        if workload.name not in self._units:
            self._units[workload.name] = self._of(workload)
        return self._units[workload.name]

    def _of(self, workload: Workload) -> list[Unit]:
        found = self._all[0].get(workload.name, [])
        if workload.gang is None and len(workload.roles) == 1:
            return [Unit(workload, (piece,)) for piece in found]
        held = sum(h.replicas for role in workload.roles for h in self._federation.holdings(workload.name, role.name))
        return [Unit(workload, tuple(found))] if found and sum(one.replicas for one in found) == held else []


def gone(allowance: Allowance, federation: Federation, chosen: Mapping[Unit, int], sign: int) -> None:
    """Give the quotas what these units use (sign 1), or take it again (-1)."""
    for unit, steps in chosen.items():
        for piece, count in unit.parts(steps):
            allowance.free(unit.workload.queue, piece.role.requests * count, federation.names[piece.cluster], sign)
