"""Who is on which nodes until when, as far as that is known: what ran before the plan, and what the plan has placed.

Where replicas sit is told by a snapshot (``NodeGroup.runs``) or it is not; then they are put, in the order of service,
on nodes with as much in use: each on the node on which the fewest more such replicas could run, of those the one with
the most in use, of those the one with the lower number. What cannot be put anywhere is expected to free nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from federator.engine.arrays import Array
from federator.engine.binding import HABITS
from federator.engine.ends import NEVER, Ends
from federator.engine.lots import counted
from federator.engine.nodes import Nodes
from federator.engine.rows import FIRST, FREE, LOT, NODE, NODES, TIMES, USE
from federator.engine.seating import seat
from federator.engine.shapes import Shape
from federator.engine.whole_cores import CORES, PLENTY
from federator.model.cluster import Binding, NodeGroup, Running
from federator.model.plan import Holding
from federator.model.resources import Resources
from federator.model.workload import Role, Workload

BEGIN, COUNTED, END, TOGETHER, AMOUNTS = 0, 1, 2, 3, 4
"""An entry: from this number on, so many nodes, until then; entries with the same number that end then are of one
workload; and what each of them gets back, by resource."""

_CLUSTER, _UNTIL, _REPLICAS, _WAVE = 0, 1, 2, 3
"""The columns of ``Ends.bound``."""

_AT_ONCE = 256
"""So many waves are put on nodes together."""
_GUESSED = -(2**40)
"""The numbers of those of which it is guessed where they run; of those that the plan places they are larger."""

ShapeOf = Callable[[Workload, Role], Shape]


class Occupancy:
    """The entries of one plan."""

    def __init__(self, resources: int, first: int = -1) -> None:
        """``first`` is the number of the first that is noted; from there it is counted down."""
        self.before = np.zeros((0, AMOUNTS + resources), dtype=np.int64)
        """Of what runs already; noted as if before the rest, whenever it is found out."""
        self._resources, self._next = resources, first
        self._parts: list[Array] = []

    @property
    def mark(self) -> int:
        """The moment, to go back to."""
        return len(self._parts)

    def back_to(self, mark: int) -> None:
        """Forget what was noted since."""
        del self._parts[mark:]

    def entries(self) -> Array:
        """All of them, the first to end first; of those that end together, as they were noted."""
        found = np.concatenate([self.before, *self._parts])
        found = found[found[:, END] < NEVER]
        return found[np.argsort(found[:, END], kind="stable")]

    def add(self, entries: Array) -> None:
        """Note these."""
        self._parts.append(entries)

    def note(self, lines: Array, each: Array, ends: Array | int, of: Array | int = 0) -> None:
        """Note what was bound: lines of a journal. By line, or for all: ``each`` is what one replica gives back, by
        resource, ``ends`` when it ends, ``of`` which workload it is of where there are several, counted from 0."""
        entries = np.zeros((len(lines), AMOUNTS + self._resources), dtype=np.int64)
        entries[:, BEGIN], entries[:, COUNTED], entries[:, END] = lines[:, NODE], lines[:, NODES], ends
        entries[:, TOGETHER] = self._next - of
        entries[:, AMOUNTS:] = each * lines[:, TIMES, None]
        self._next -= 1 + int(np.max(of, initial=0))
        self.add(entries)


class Seats(NamedTuple):
    """Where some replicas of a role are taken to sit: lines of a journal (see ``engine/rows.py``).

    ``wave`` counts those of a holding, in the order of ``Ends.bound``; by lot, ``each`` is what a replica gives back of
    each resource, ``until`` when they end.
    """

    workload: str
    role: str
    wave: int
    lines: Array
    each: Array
    until: Array


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs: the workloads in the order of service, what clusters (``index`` gives their places) hold of each role,
    when that ends, and what it asks for."""

    workloads: Sequence[Workload]
    holdings: Callable[[str, str], Sequence[Holding]]
    index: Mapping[str, int]
    ends: Ends
    shape_of: ShapeOf


def occupied(nodes: Nodes, runs: Runs) -> Occupancy:
    """Who is on which of the nodes of a snapshot. ``nodes`` are left alone."""
    told = _Told(nodes, {workload.name: workload for workload in runs.workloads}, runs.ends)
    found = Occupancy(len(nodes.resources), _GUESSED)
    found.add(told.entries)
    for waves, lines, of in _guessed(nodes, told, runs):
        lots = lines[:, LOT]
        each = np.array([wave.each for wave in waves], dtype=np.int64)
        until = np.stack([wave.until for wave in waves])
        found.note(lines, each[of, nodes.whole_cores[lots].astype(np.int64)], until[of, nodes.home[lots]], of)
    return found


def seated(nodes: Nodes, runs: Runs) -> Iterator[Seats]:
    """The same, told apart by whose they are. Where single nodes are told of, that is left aside."""
    whole = nodes.whole_cores.astype(np.int64)
    for waves, lines, of in _guessed(nodes, _Told(nodes, {}, runs.ends, listen=False), runs):
        ends = np.searchsorted(of, np.arange(1, len(waves)))
        for one, mine in zip(waves, np.split(lines, ends), strict=True):
            each = np.array(one.each, dtype=np.int64)[whole]
            yield Seats(one.workload, one.role, one.number, mine, each, one.until[nodes.home])


class _Wave(NamedTuple):
    """A wave of a role, its ``number`` as ``Ends.bound`` counts: how many replicas run on each cluster, and until when.
    What ``each`` gives back, by resource, where a part of a core is one and where it takes all of it.
    """

    workload: str
    role: str
    number: int
    shape: Shape
    each: tuple[list[int], list[int]]
    replicas: Array
    until: Array


def _guessed(nodes: Nodes, told: _Told, runs: Runs) -> Iterator[tuple[Sequence[_Wave], Array, Array]]:
    """Some waves at a time, the lines of a journal of where they sit, and by line whose it is of them."""
    mirror = _in_use(nodes, told.rows)
    tightest = np.full(len(runs.index), HABITS[Binding.FRAGMENTATION_AWARE])
    running = _running(nodes, told, runs)
    while waves := list(islice(running, _AT_ONCE)):
        replicas = np.stack([wave.replicas for wave in waves])
        yield waves, *seat(mirror, [wave.shape for wave in waves], replicas, tightest)


def _running(nodes: Nodes, told: _Told, runs: Runs) -> Iterator[_Wave]:
    """All waves, in the order of service."""
    existing: dict[int, tuple[Shape, Shape]] = {}
    for workload in runs.workloads:
        for role in workload.roles:
            held = runs.holdings(workload.name, role.name)
            if not held:
                continue
            shape = runs.shape_of(workload, role)
            if id(shape) not in existing:
                existing[id(shape)] = shape, nodes.only_existing(shape)
            each = nodes.given_back(role.requests, whole=False), nodes.given_back(role.requests, whole=True)
            bound = told.without(workload.name, role.name, runs.ends.bound(workload, held, runs.index))
            for wave, replicas, until in _waves(bound, len(runs.index)):
                yield _Wave(workload.name, role.name, wave, existing[id(shape)][1], each, replicas, until)


def _waves(bound: Array, clusters: int) -> Iterator[tuple[int, Array, Array]]:
    """One wave of every cluster at a time (lines of ``Ends.bound``): its number, replicas and ends by cluster."""
    for wave in range(int(bound[:, _WAVE].max(initial=-1)) + 1):
        lines = bound[bound[:, _WAVE] == wave]
        replicas, until = np.zeros(clusters, dtype=np.int64), np.full(clusters, NEVER)
        replicas[lines[:, _CLUSTER]], until[lines[:, _CLUSTER]] = lines[:, _REPLICAS], lines[:, _UNTIL]
        if replicas.any():
            yield wave, replicas, until


def _in_use(nodes: Nodes, told: set[int]) -> Nodes:
    """Nodes on which is free what is in use on these, but for rows of which it is told what runs there."""
    dense, lots = nodes.dense()
    unknown = ~nodes.potential[lots] & ~np.isin(dense[:, FIRST], list(told))
    used = np.maximum(0, nodes.allocatable.T[lots] - dense[:, FREE:])
    if nodes.counts_cores:  # whoever asks for no cpu shows in none of what is in use
        used[:, nodes.at[CORES]] += PLENTY * ~nodes.whole_cores[lots]
    dense[:, FREE:] = used * unknown[:, None]
    dense[:, USE] = nodes.use(dense[:, FREE:], lots)
    return nodes.with_rows(dense, lots)


class _Told:
    """What the snapshot tells of single nodes. Of equally free nodes those come first that are free first.
    Of what ends together, what has run the longest is noted first, then in the order of service.

    ``entries`` say so, ``rows`` are the first numbers of the rows of nodes that it tells of.
    """

    def __init__(self, nodes: Nodes, workloads: Mapping[str, Workload], ends: Ends, *, listen: bool = True) -> None:
        """``listen``: whether to heed what is told at all."""
        self._workloads, self._ends = workloads, ends
        turns = {name: at for at, name in enumerate(workloads)}
        self._counts: dict[tuple[str, str], dict[int, int]] = {}
        self.rows: set[int] = set()
        parts: list[tuple[float, int, list[int]]] = []
        """By age, the oldest first, and by turn: entries."""
        dense, lots = nodes.dense()
        found = {(lot, *row[FREE:].tolist()): int(row[FIRST]) for lot, row in zip(lots.tolist(), dense, strict=True)}
        for at, lot in enumerate(nodes.lots):
            groups = [group for group in lot.flavor.nodes if listen and group.runs is not None and group.count > 0]
            seats: dict[int, int] = {}
            for group in sorted(groups, key=self._order) if not lot.potential else ():
                ((_, free),) = counted([(at, group.free, group.count)], nodes.lots, nodes.resources)
                row = found[(at, *free)]
                self.rows.add(row)
                begin = seats.get(row, row)
                seats[row] = begin + group.count
                for run in group.runs or ():
                    told = self._counts.setdefault((run.workload, run.role), {})
                    told[lot.cluster] = told.get(lot.cluster, 0) + run.replicas * group.count
                    end, asked = self._end(run)
                    each, turn = nodes.given_back(asked, whole=lot.whole_cores), turns.get(run.workload, -1)
                    amounts = [amount * run.replicas for amount in each]
                    parts.append((-run.age_s, turn, [begin, group.count, end, turn, *amounts]))
        entries = [entry for _, _, entry in sorted(parts, key=lambda part: part[:2])]
        self.entries = np.array(entries, dtype=np.int64).reshape(len(entries), AMOUNTS + len(nodes.resources))

    def _order(self, group: NodeGroup) -> list[tuple[int, str, str, int]]:
        return sorted((self._end(run)[0], run.workload, run.role, run.replicas) for run in group.runs or ())

    def _end(self, run: Running) -> tuple[int, Resources]:
        """When it ends, and what one replica gives back then; never what is not known here."""
        workload = self._workloads.get(run.workload)
        role = next((role for role in workload.roles if role.name == run.role), None) if workload else None
        if workload is None or role is None:
            return NEVER, Resources()
        return self._ends.left(workload, run.age_s), role.requests

    def without(self, workload: str, role: str, bound: Array) -> Array:
        """What is held but not told of here; of the waves the last to end are taken to be those told of."""
        told = self._counts.get((workload, role))
        if told is None:
            return bound
        left, told = bound[np.lexsort((bound[:, _WAVE], bound[:, _CLUSTER]))], dict(told)
        for line in left:
            known = min(told.get(int(line[_CLUSTER]), 0), int(line[_REPLICAS]))
            line[_REPLICAS] -= known
            told[int(line[_CLUSTER])] = told.get(int(line[_CLUSTER]), 0) - known
        return left
