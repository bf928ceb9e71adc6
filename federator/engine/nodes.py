"""All nodes of the federation as arrays, alike nodes in one row: what is free on them as one plan takes room.

Rows lie in one block for each cluster, in the order of cluster names, with a few spare rows at the end of each block
for the nodes that a placement makes different from their like. Built once for each plan; never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from federator.model.cluster import Cluster, Flavor
from federator.model.resources import CPU, MEMORY, Resources

Array = NDArray[np.int64]
Mask = NDArray[np.bool_]

WHOLE_NODE = 2**30
"""A node's use is the share of its cpu plus the share of its memory that is taken, each in 2**-30 rounded down."""

UNLIMITED = 2**40
"""Stands for room without limit; more replicas than anybody has."""

_SPARE = 8
"""Spare rows that every block has whenever a binding begins; it needs at most two for each rank of flavors."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Alike nodes of a cluster: a flavor's that exist, or (``potential``) those that an autoscaler could add."""

    cluster: int
    flavor: Flavor
    potential: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What one replica asks for, and which lots it may use.

    ``amounts`` are (index of the resource, amount); ``allowed`` and ``rank`` are by lot: lots of a lower rank are
    used first. ``step`` is by how much one such replica raises the use of a node of the lot.
    """

    amounts: tuple[tuple[int, int], ...]
    allowed: Mask
    rank: Array
    step: Array


class Nodes:
    """The nodes' state. ``version`` changes whenever any room is taken."""

    def __init__(self, clusters: Sequence[Cluster], resources: Iterable[str]) -> None:
        """``clusters`` sorted by name; ``resources`` are those that anybody asks for."""
        self.resources = tuple(sorted(resources))
        self.lots = tuple(lot for at, cluster in enumerate(clusters) for lot in _lots(at, cluster))
        self.allocatable = _by_lot(self.lots, self.resources)
        self._shift, self._whole = _use_scale(self.lots)
        self._potential = np.array([lot.potential for lot in self.lots], dtype=bool)
        self.any_potential = bool(self._potential.any())
        self._allocatable_of: dict[tuple[str, bool], Array] = {}
        self._free_of: dict[tuple[str, bool], Array] = {}
        self._free_at = -1
        self.version = 0
        self._fill(len(clusters), _rows(self.lots, self.resources))

    def _fill(self, clusters: int, rows: list[tuple[int, int, tuple[int, ...]]]) -> None:
        """Lay out rows of (lot, count, free), sorted by lot."""
        self.lot = np.array([row[0] for row in rows], dtype=np.int64)
        self.count = np.array([row[1] for row in rows], dtype=np.int64)
        shape = (len(self.resources), len(rows))
        self.free = np.array([row[2] for row in rows], dtype=np.int64).reshape(shape[::-1]).T.copy()
        self.use = self._use_of([self.lots[row[0]] for row in rows], rows)
        self.cluster = np.array([self.lots[row[0]].cluster for row in rows], dtype=np.int64)
        self.length = np.bincount(self.cluster, minlength=clusters).astype(np.int64)
        self._lay_out(self.length * 2 + _SPARE)

    def _use_of(self, lots: list[Lot], rows: list[tuple[int, int, tuple[int, ...]]]) -> Array:
        uses = []
        for lot, (_, _, free) in zip(lots, rows, strict=True):
            use = 0
            for name in (CPU, MEMORY):
                whole = lot.flavor.allocatable[name]
                if name in self.resources and whole > 0:
                    taken = whole - min(whole, free[self.resources.index(name)])
                    use += taken * WHOLE_NODE // whole
            uses.append(use)
        return np.array(uses, dtype=np.int64)

    def _lay_out(self, sizes: Array) -> None:
        """Give every cluster a block of so many rows; the rows that are there come first in it."""
        starts = np.cumsum(sizes) - sizes
        within = np.arange(len(self.cluster)) - np.repeat(np.cumsum(self.length) - self.length, self.length)
        at = starts[self.cluster] + within
        total = int(sizes.sum())
        self.lot, self.count, self.use = (_spread_out(a, at, total) for a in (self.lot, self.count, self.use))
        self.free = np.stack([_spread_out(row, at, total) for row in self.free]) if len(self.free) else self.free
        self.free = self.free.reshape(len(self.resources), total)
        self.starts, self.sizes = starts, sizes
        self.cluster = np.repeat(np.arange(len(sizes)), sizes)
        self.lot[self.count == 0] = 0 if len(self.lots) else -1

    def shape(self, requests: Resources, allowed: Mask, rank: Array) -> Shape:
        """The shape of replicas with these requests that may use the allowed lots."""
        amounts = tuple((self.resources.index(name), amount) for name, amount in requests.items_ if amount > 0)
        step = np.zeros(len(self.lots), dtype=np.int64)
        for at, name in enumerate((CPU, MEMORY)):
            if (asked := requests[name]) > 0:
                shift, whole = self._shift[at], self._whole[at]
                step += np.minimum(asked >> shift, whole) * WHOLE_NODE // whole
        for at, asked in amounts:
            allowed = allowed & (self.allocatable[at] >= asked)
        return Shape(amounts, allowed, rank, np.maximum(step, 1))

    def only_existing(self, shape: Shape) -> Shape:
        """The same shape kept off nodes that do not exist yet."""
        return replace(shape, allowed=shape.allowed & ~self._potential) if self.any_potential else shape

    def fits(self, shape: Shape) -> Array:
        """How many replicas of the shape each node of each row could still hold."""
        if not len(self.lots):
            return np.zeros(len(self.count), dtype=np.int64)
        fits: Array | None = None
        for at, asked in shape.amounts:
            each = self.free[at] // asked
            fits = each if fits is None else np.minimum(fits, each, out=fits)
        if fits is None:
            fits = np.full(len(self.count), UNLIMITED >> 20, dtype=np.int64)
        fits *= shape.allowed[self.lot]
        return fits

    def by_cluster(self, rows: Array) -> Array:
        """The sum of a number per row over the rows of each cluster."""
        if not len(rows):
            return np.zeros(len(self.starts), dtype=np.int64)
        return np.add.reduceat(rows, self.starts)

    def free_of(self, resource: str, *, potential: bool = False) -> Array:
        """What is free of a resource on the nodes of each cluster; ``potential``: also on those that could exist."""
        key = (resource, potential)
        if self._free_at != self.version:
            self._free_of, self._free_at = {}, self.version
        if key not in self._free_of:
            amounts = self.free[self.resources.index(resource)] * self.count
            if self.any_potential and not potential:
                amounts = amounts * self.existing
            self._free_of[key] = self.by_cluster(amounts)
        return self._free_of[key]

    def allocatable_of(self, resource: str, *, potential: bool = False) -> Array:
        """What the nodes of each cluster offer of a resource; ``potential``: also those that could exist."""
        key = (resource, potential)
        if key not in self._allocatable_of:
            whole = np.zeros(len(self.starts), dtype=np.int64)
            for at, lot in enumerate(self.lots):
                if potential or not lot.potential:
                    nodes = lot.flavor.max_count - lot.flavor.count if lot.potential else lot.flavor.count
                    whole[lot.cluster] += int(self.allocatable[self.resources.index(resource), at]) * nodes
            self._allocatable_of[key] = whole
        return self._allocatable_of[key]

    @property
    def existing(self) -> Mask:
        """Which rows are nodes that exist."""
        return ~self._potential[self.lot] if len(self.lots) else np.ones(len(self.lot), dtype=bool)

    def charge(self, rows: Array, times: Array, shape: Shape) -> None:
        """Each node of these rows holds so many more replicas of the shape."""
        for at, asked in shape.amounts:
            self.free[at, rows] -= asked * times
        self.use[rows] += shape.step[self.lot[rows]] * times
        self.version += 1

    def split(self, rows: Array, nodes: Array) -> Array:
        """Put so many nodes of each row into a row of their own (at most one for each cluster); returns those rows."""
        homes = self.cluster[rows]
        fresh = self.starts[homes] + self.length[homes]
        self.length[homes] += 1
        self.count[rows] -= nodes
        self.count[fresh] = nodes
        self.lot[fresh] = self.lot[rows]
        self.use[fresh] = self.use[rows]
        self.free[:, fresh] = self.free[:, rows]
        self.version += 1
        return fresh

    def keep_remains(self, cluster: int, shape: Shape, replicas: int) -> None:
        """Replicas that fit no node take what is left, up to what they ask for, of the emptiest nodes, one on each."""
        while replicas > 0:
            rows = np.arange(self.starts[cluster], self.starts[cluster] + self.length[cluster])
            rows = rows[(self.count[rows] > 0) & shape.allowed[self.lot[rows]] & ~self._potential[self.lot[rows]]]
            if not len(rows):
                return
            for row in rows[np.lexsort((rows, self.use[rows]))]:
                nodes = min(replicas, int(self.count[row]))
                kept = row if nodes == self.count[row] else self.split(np.array([row]), np.array([nodes]))[0]
                for at, asked in shape.amounts:
                    self.free[at, kept] = max(0, int(self.free[at, kept]) - asked)
                self.use[kept] += shape.step[self.lot[kept]]
                replicas -= nodes
                if replicas == 0:
                    return

    def tidy(self) -> None:
        """Keep spare rows in every block: alike rows become one, and where that is not enough the blocks grow."""
        if len(self.sizes) == 0 or int((self.sizes - self.length).min()) >= _SPARE:
            return
        used = np.flatnonzero(self.count > 0)
        keys = (*self.free[:, used], self.use[used], self.lot[used], self.cluster[used])
        order = used[np.lexsort(keys)]
        table = np.stack([*self.free[:, order], self.use[order], self.lot[order]])
        first = np.ones(len(order), dtype=bool)
        first[1:] = (table[:, 1:] != table[:, :-1]).any(axis=0)
        heads = order[first]
        self.count = np.add.reduceat(self.count[order], np.flatnonzero(first)) if len(order) else self.count[order]
        self.lot, self.use, self.cluster = self.lot[heads], self.use[heads], self.cluster[heads]
        self.free = self.free[:, heads]
        self.length = np.bincount(self.cluster, minlength=len(self.sizes)).astype(np.int64)
        tight = self.sizes - self.length < np.maximum(_SPARE, self.sizes // 4)
        self._lay_out(np.where(tight, self.length * 2 + 2 * _SPARE, self.sizes))

    def save(self) -> tuple[Array, ...]:
        """The state, to go back to."""
        return tuple(a.copy() for a in (self.lot, self.count, self.use, self.free, self.cluster, self.length)) + (
            self.starts,
            self.sizes,
        )

    def restore(self, saved: tuple[Array, ...]) -> None:
        """Go back to a saved state (which may be used once)."""
        self.lot, self.count, self.use, self.free, self.cluster, self.length, self.starts, self.sizes = saved
        self.version += 1


def _lots(at: int, cluster: Cluster) -> Iterable[Lot]:
    for flavor in sorted(cluster.flavors or (), key=lambda flavor: flavor.name):
        yield Lot(at, flavor, potential=False)
        if flavor.max_count > flavor.count:
            yield Lot(at, flavor, potential=True)


def _by_lot(lots: Sequence[Lot], resources: Sequence[str]) -> Array:
    amounts = [[lot.flavor.allocatable[name] for lot in lots] for name in resources]
    return np.array(amounts, dtype=np.int64).reshape(len(resources), len(lots))


def _use_scale(lots: Sequence[Lot]) -> tuple[list[Array], list[Array]]:
    """For cpu and memory of each lot: how far amounts are shifted so that shares fit into 64 bits, and the whole."""
    shifts, wholes = [], []
    for name in (CPU, MEMORY):
        whole = [max(1, lot.flavor.allocatable[name]) for lot in lots]
        shift = [max(0, amount.bit_length() - 32) for amount in whole]
        shifts.append(np.array(shift, dtype=np.int64))
        wholes.append(np.array([amount >> by for amount, by in zip(whole, shift, strict=True)], dtype=np.int64))
    return shifts, wholes


def _rows(lots: Sequence[Lot], resources: Sequence[str]) -> list[tuple[int, int, tuple[int, ...]]]:
    """(lot, count, free) of all groups, in an order that does not depend on that of any list; alike ones joined."""
    rows: dict[tuple[int, tuple[int, ...]], int] = {}
    for at, lot in enumerate(lots):
        flavor = lot.flavor
        groups = (
            [(flavor.allocatable, flavor.max_count - flavor.count)]
            if lot.potential
            else [(group.free, group.count) for group in flavor.nodes]
        )
        for free, count in groups:
            key = (at, tuple(max(0, free[name]) for name in resources))
            rows[key] = rows.get(key, 0) + count
    return [(at, count, free) for (at, free), count in sorted(rows.items()) if count > 0]


def _spread_out(values: Array, at: Array, total: int) -> Array:
    wide = np.zeros(total, dtype=np.int64)
    wide[at] = values
    return wide
