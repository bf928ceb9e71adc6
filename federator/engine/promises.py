"""What is reserved, and how much may be placed beside it without delaying it.

For every reservation the nodes' rows have columns of their own, with what is free on each node when it begins. What is
placed now and runs until after that takes its room in those columns too, on the same nodes. It may be placed if after
that the reserved replicas still fit: the future is played through, each reservation at its time, bound as its cluster
will bind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array
from federator.engine.binding import bind, journal_for, journal_lines
from federator.engine.ends import Ends
from federator.engine.future import Future
from federator.engine.nodes import Nodes
from federator.engine.occupancy import Occupancy
from federator.engine.rows import FREE, SIZE, USE, count_rooms
from federator.engine.shapes import Shape
from federator.model.workload import Workload

Mark = tuple[int, list[Array | None]]

_ANYTHING = 2**50
"""What is free in the columns of a reservation on clusters that it does not name: they bound nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Reserved:
    """One workload's reservation, from ``at`` to ``until``: so many replicas by cluster of each shape, in the order in
    which they are bound. ``spare`` is what the clusters' quotas leave then beside it (None: no quotas); it is changed.
    """

    workload: str
    at: int
    until: int
    parts: tuple[tuple[Shape, Array], ...]
    clusters: frozenset[int]
    spare: Array | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """Of the ``room`` that a cluster has now no more than ``passing`` replicas may be used, so as not to delay
    ``reserved``."""

    reserved: Reserved
    room: int
    passing: int


@dataclass(slots=True)
class Promises:
    """The reservations of one plan, or, of a moment ``now`` in its future, those that are still to come.

    ``reserved`` are in the order of their columns. ``occupancy`` notes what is placed, while anybody may ask.
    """

    ends: Ends
    habits: Array
    occupancy: Occupancy | None = None
    reserved: list[Reserved] = field(default_factory=list)
    now: int = 0

    def until(self, workload: Workload) -> int:
        """Until when a replica would run that is placed now."""
        return self.now + self.ends.lasts(workload)

    def crossed(self, until: int) -> list[int]:
        """The reservations that begin before that."""
        return [at for at, one in enumerate(self.reserved) if self.now < one.at < until]

    def take(self, nodes: Nodes, shape: Shape, replicas: Array, until: int) -> Array:
        """Bind what is placed now; returns how many found no node."""
        crossed = self.crossed(until)
        for at in crossed:
            if (spare := self.reserved[at].spare) is not None:
                for name, asked in shape.asked.tolist():
                    spare[name] -= asked * replicas
        both = _in_columns(shape, [0, *(1 + at for at in crossed)], len(nodes.resources))
        if self.occupancy is None:
            return bind(nodes, both, replicas, self.habits)
        journal = journal_for(nodes, shape, replicas)
        left = bind(nodes, both, replicas, self.habits, journal)
        each = np.zeros(len(nodes.resources), dtype=np.int64)
        each[shape.asked[:, 0]] = shape.asked[:, 1]
        self.occupancy.note(journal_lines(journal), each, until)
        return left

    def note(self, workloads: Sequence[Workload], lines: Array, of: Array, each: Array) -> None:
        """Note what others have bound: lines of a journal, by line ``of`` which workload; ``each`` is by workload what
        one replica gives back, by resource."""
        if self.occupancy is not None:
            until = np.array([self.until(workload) for workload in workloads], dtype=np.int64)
            self.occupancy.note(lines, each[of], until[of], of)

    def mark(self) -> Mark:
        """The moment, to go back to."""
        spares = [None if one.spare is None else one.spare.copy() for one in self.reserved]
        return self.occupancy.mark if self.occupancy else 0, spares

    def back_to(self, mark: Mark) -> None:
        """Forget what was taken since."""
        if self.occupancy is not None:
            self.occupancy.back_to(mark[0])
        for one, spare in zip(self.reserved, mark[1], strict=True):
            if one.spare is not None and spare is not None:
                one.spare[:] = spare

    def passing(self, nodes: Nodes, shape: Shape, until: int, cluster: int, most: int) -> Kept | None:
        """How many of up to ``most`` replicas may use the room that a cluster has; None where all may."""
        crossed = [self.reserved[at] for at in self.crossed(until) if cluster in self.reserved[at].clusters]
        if not crossed:
            return None
        first, last = nodes.first_lots[cluster], nodes.first_lots[cluster + 1]
        room = sum(count_rooms(nodes.rows, nodes.blocks, first, last, shape.asked, shape.terms))
        room = min(room, most)
        spare = min((_spared(one, shape, cluster) for one in crossed), default=room)
        low, high = 0, min(room, spare) + 1
        if high > 1 and self._delays_none(nodes, shape, until, cluster, high - 1):
            low = high - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self._delays_none(nodes, shape, until, cluster, middle):
                low = middle
            else:
                high = middle
        return None if low >= room else Kept(min(crossed, key=lambda one: one.at), room, low)

    def _delays_none(self, nodes: Nodes, shape: Shape, until: int, cluster: int, replicas: int) -> bool:
        trial = nodes.only(cluster)
        columns = [0, *(1 + at for at in self.crossed(until))]
        lots = slice(nodes.first_lots[cluster], nodes.first_lots[cluster + 1])
        both = _in_columns(Shape(shape.asked, shape.terms[lots]), columns, len(nodes.resources))
        bind(trial, both, np.array([replicas]), self.habits[cluster : cluster + 1])
        return self._fits(trial, cluster, lots)

    def broken(self, nodes: Nodes, cluster: int, room: int) -> Kept | None:
        """What is reserved on a cluster, if not all of it fits beside what has been taken (``room`` replicas)."""
        here = [one for one in self.reserved if self.now < one.at and cluster in one.clusters]
        if not here:
            return None
        lots = slice(nodes.first_lots[cluster], nodes.first_lots[cluster + 1])
        spared = not any(one.spare is not None and (one.spare[:, cluster] < 0).any() for one in here)
        if spared and self._fits(nodes.only(cluster), cluster, lots):
            return None
        return Kept(min(here, key=lambda one: one.at), room, 0)

    def _fits(self, trial: Nodes, cluster: int, lots: slice) -> bool:
        """Whether all that is reserved on one cluster fits, on its nodes as they are; they are changed."""
        to_come = [at for at, one in enumerate(self.reserved) if one.at > self.now and cluster in one.clusters]
        for at in sorted(to_come, key=lambda at: (self.reserved[at].at, at)):
            one = self.reserved[at]
            for shape, replicas in one.parts:
                here = Shape(shape.asked, np.ascontiguousarray(shape.terms[lots]))
                wanted = replicas[cluster : cluster + 1]
                if len(to_come) == len(one.parts) == 1:  # where it lands does not matter
                    seen = _in_columns(here, [1 + at], len(trial.resources))
                    found = count_rooms(trial.rows, trial.blocks, 0, len(trial.lots), seen.asked, seen.terms)
                    return bool(sum(found) >= wanted[0])
                if self._start(trial, at, here, wanted, to_come, self.habits[cluster : cluster + 1]).any():
                    return False
        return True

    def _start(
        self, nodes: Nodes, at: int, shape: Shape, replicas: Array, others: Sequence[int], habits: Array
    ) -> Array:
        """Bind reserved replicas at their time, in the columns of all that begin while they run."""
        one, resources = self.reserved[at], len(nodes.resources)
        later = [it for it in others if it != at and one.at <= self.reserved[it].at < one.until]
        own = FREE + (1 + at) * resources
        lots = np.repeat(np.arange(len(nodes.lots)), nodes.blocks[:, SIZE])
        nodes.rows[:, USE] = nodes.use(nodes.rows[:, own : own + resources], lots)
        return bind(nodes, _in_columns(shape, [1 + at, *(1 + it for it in later)], resources), replicas, habits)

    def at(self, moment: int, future: Future) -> tuple[Nodes, Promises | None]:
        """The nodes at a moment, with what is reserved until then in its place, and what is still to come."""
        if not self.reserved:
            return future.nodes(moment), None
        begun = [at for at, one in enumerate(self.reserved) if one.at <= moment]
        to_come = Promises(self.ends, self.habits, None, self.reserved, moment)
        dense = np.ascontiguousarray(np.hstack([future.dense, future.free(moment)]))
        nodes = future.base.with_rows(dense, future.lots)
        last = len(self.reserved)
        # The moment is a reservation like any other, of nothing, so that what runs then is bound in its columns.
        played = Promises(self.ends, self.habits, None, [*self.reserved, Reserved("", moment, moment, (), frozenset())])
        for at in sorted(begun, key=lambda at: (self.reserved[at].at, at)):
            for shape, replicas in self.reserved[at].parts:
                played._start(nodes, at, shape, replicas, range(last + 1), self.habits)
        dense, lots = nodes.dense()
        resources = len(nodes.resources)
        dense[:, FREE : FREE + resources] = dense[:, -resources:] if resources else 0
        dense[:, USE] = nodes.use(dense[:, FREE : FREE + resources], lots)
        dense = np.ascontiguousarray(dense[:, : dense.shape[1] - resources])
        return nodes.with_rows(dense, lots), to_come

    def add(self, nodes: Nodes, future: Future, one: Reserved) -> None:
        """Promise it: the nodes get its columns."""
        dense, lots = nodes.dense()
        named = np.isin(np.arange(len(nodes.first_lots) - 1), list(one.clusters))
        cut, elsewhere = named[nodes.home[future.lots]], ~named[nodes.home[lots]]
        anything = np.full((int(elsewhere.sum()), len(nodes.resources)), _ANYTHING, dtype=np.int64)
        rows = np.vstack(
            [
                np.hstack([dense[elsewhere], anything]),
                np.hstack([future.dense[cut], future.free(one.at)[cut]]),
            ]
        )
        of = np.concatenate([lots[elsewhere], future.lots[cut]])
        order = np.argsort(rows[:, 1], kind="stable")
        nodes.put(np.ascontiguousarray(rows[order]), of[order])
        self.reserved.append(one)


def _spared(one: Reserved, shape: Shape, cluster: int) -> int:
    """How many such replicas the cluster's quotas leave beside a reservation."""
    if one.spare is None:
        return _ANYTHING
    return min((max(0, int(one.spare[n, cluster])) // asked for n, asked in shape.asked.tolist()), default=_ANYTHING)


def _in_columns(shape: Shape, columns: Sequence[int], resources: int) -> Shape:
    """The same shape asking for the same in several sets of columns; those of now are 0, of reservations 1 and on."""
    if list(columns) == [0]:
        return shape
    asked = np.vstack([shape.asked + [column * resources, 0] for column in columns])
    return Shape(np.ascontiguousarray(asked), np.ascontiguousarray(shape.terms))
