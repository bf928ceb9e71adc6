"""All nodes of the federation as arrays, alike nodes in one row: what is free on them as one plan takes room.

Rows lie in one block for each lot (a flavor of a cluster), lots by cluster, both in the order of names. A block has a
few spare rows for nodes that a placement makes different from their like. Built once for each plan, never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from federator.engine.arrays import Array, Mask, starts_of
from federator.engine.lots import Lot, amounts_by_lot, lots_of, rows_of, use_scale
from federator.engine.windows import Count, Shape, Window
from federator.model.cluster import Cluster
from federator.model.resources import CPU, MEMORY, Resources

WHOLE_NODE = 2**30
"""A node's use is the share of its cpu plus the share of its memory that is taken, each in 2**-30 rounded down."""

UNLIMITED = 2**40
"""Stands for room without limit; more replicas than anybody has."""

Saved = tuple[Array | int, ...]

_SPARE = 6
"""Spare rows of a block at the start of every binding, which splits off at most so many (or has one row a node)."""


class Nodes:
    """The nodes' state. ``version`` changes whenever any room is taken, ``layout`` when rows change their places.

    By row: ``count`` alike nodes, what is ``free`` on each by resource, their ``use``, and the ``first`` of their
    numbers: nodes are numbered by cluster, flavor and then more free first, and ties go to the lower number.
    """

    def __init__(self, clusters: Sequence[Cluster], resources: Iterable[str]) -> None:
        """``clusters`` sorted by name; ``resources`` are those that anybody asks for."""
        self.resources = tuple(sorted(resources))
        self.lots: tuple[Lot, ...] = lots_of(clusters)
        self.home = np.array([lot.cluster for lot in self.lots], dtype=np.int64)
        self.potential = np.array([lot.potential for lot in self.lots], dtype=bool)
        self.any_potential = bool(self.potential.any())
        self.allocatable = amounts_by_lot(self.lots, self.resources)
        self._shift, self._whole = use_scale(self.lots)
        self._population = np.array([lot.nodes for lot in self.lots], dtype=np.int64)
        self._clusters = len(clusters)
        self._windows: dict[tuple[int, bytes], Window] = {}
        self._free_of: dict[tuple[str, bool], Array] = {}
        self._free_at = -1
        self.version = self.layout = 0
        rows = rows_of(self.lots, self.resources)
        self.lot = np.array([row.lot for row in rows], dtype=np.int64)
        self.count = np.array([row.count for row in rows], dtype=np.int64)
        self.first = np.cumsum(self.count) - self.count
        self.use = np.array([row.use(self.lots, self.resources, WHOLE_NODE) for row in rows], dtype=np.int64)
        self.free = np.array([row.free for row in rows], dtype=np.int64).reshape(len(rows), len(self.resources)).T
        self.length = np.bincount(self.lot, minlength=len(self.lots)).astype(np.int64)
        self._lay_out()

    def _lay_out(self) -> None:
        """Give every lot a block with room for its rows and as many more; the rows that are there come first."""
        sizes = np.minimum(self.length * 2 + _SPARE, self._population + 1)
        starts = np.cumsum(sizes) - sizes
        within = np.arange(len(self.lot)) - np.repeat(np.cumsum(self.length) - self.length, self.length)
        at, total = starts[self.lot] + within, int(sizes.sum())
        self.count, self.use, self.first = (_put(old, at, total) for old in (self.count, self.use, self.first))
        self.free = (
            np.stack([_put(old, at, total) for old in self.free])
            if self.resources
            else np.zeros((0, total), dtype=np.int64)
        )
        self.lot = np.repeat(np.arange(len(self.lots)), sizes)
        self.starts, self.sizes = starts, sizes
        self.layout += 1

    def window(self, clusters: Array | None = None) -> Window:
        """The rows of some clusters (in their order), or of all."""
        key = (self.layout, b"" if clusters is None else clusters.tobytes())
        if key not in self._windows:
            self._windows[key] = self._open(clusters)
        return self._windows[key]

    def _open(self, clusters: Array | None) -> Window:
        rows: Array | slice = slice(0, len(self.lot))
        if clusters is None:
            clusters, lots = np.arange(self._clusters), np.arange(len(self.lots))
        else:
            lots = np.flatnonzero(np.isin(self.home, clusters))
            rows = np.flatnonzero(np.isin(self.lot, lots))
            if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
                rows = slice(int(rows[0]), int(rows[-1]) + 1)
        homes = np.searchsorted(clusters, self.home[lots])
        sizes = self.sizes[lots]
        return Window(
            clusters=clusters,
            lots=lots,
            rows=rows,
            lot_of=np.repeat(np.arange(len(lots)), sizes),
            home_of=homes,
            lot_starts=np.cumsum(sizes) - sizes,
            cluster_starts=starts_of(homes),
            sizes=sizes,
        )

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
        return replace(shape, allowed=shape.allowed & ~self.potential) if self.any_potential else shape

    def count_room(self, shape: Shape, clusters: Array | None = None) -> Count:
        """How many replicas the nodes of these clusters (None: of all) could still hold."""
        window = self.window(clusters)
        fits: Array | None = None
        for at, asked in shape.amounts:
            each = self.free[at, window.rows] // asked
            fits = each if fits is None else np.minimum(fits, each, out=fits)
        counts = self.count[window.rows]
        if fits is None:
            fits = np.where(counts > 0, UNLIMITED >> 20, 0)
        return Count(window, self.layout, fits, window.by_lot(fits * counts) * shape.allowed[window.lots])

    def free_of(self, resource: str, *, potential: bool = False) -> Array:
        """What is free of a resource on the nodes of each cluster; ``potential``: also on those that could exist."""
        key = (resource, potential)
        if self._free_at != self.version:
            self._free_of, self._free_at = {}, self.version
        if key not in self._free_of:
            window = self.window()
            amounts = window.by_lot(self.free[self.resources.index(resource)] * self.count)
            self._free_of[key] = window.by_cluster(amounts if potential else amounts * ~self.potential)
        return self._free_of[key]

    def free_in(self, resource: str, clusters: Array, *, potential: bool = False) -> int:
        """The same for some clusters together."""
        window = self.window(clusters)
        amounts = window.by_lot(self.free[self.resources.index(resource), window.rows] * self.count[window.rows])
        if self.any_potential and not potential:
            amounts = amounts * ~self.potential[window.lots]
        return int(amounts.sum())

    def allocatable_of(self, resource: str, *, potential: bool = False) -> Array:
        """What the nodes of each cluster offer of a resource; ``potential``: also those that could exist."""
        amounts = self.allocatable[self.resources.index(resource)] * self._population
        return self.window().by_cluster(amounts if potential else amounts * ~self.potential)

    def charge(self, rows: Array, times: Array | int, shape: Shape) -> None:
        """Each node of these rows holds so many more replicas of the shape."""
        for at, asked in shape.amounts:
            self.free[at, rows] -= asked * times
        self.use[rows] += shape.step[self.lot[rows]] * times
        self.version += 1

    def split(self, rows: Array, nodes: Array) -> Array:
        """Put the first so many nodes of each row into a row of their own; returns those rows (the same, if all).

        At most one row of each lot may be given.
        """
        parted = (nodes < self.count[rows]).nonzero()[0]
        result = rows.copy()
        if len(parted):
            old, part = rows[parted], nodes[parted]
            lots = self.lot[old]
            fresh = self.starts[lots] + self.length[lots]
            self.length[lots] += 1
            self.count[fresh], self.first[fresh], self.use[fresh] = part, self.first[old], self.use[old]
            self.free[:, fresh] = self.free[:, old]
            self.count[old] -= part
            self.first[old] += part
            result[parted] = fresh
        return result

    def tidy(self) -> None:
        """Let blocks grow that have run out of spare rows (and have not one for every node)."""
        full = np.minimum(self.length + _SPARE, self._population) > self.sizes
        if full.any():
            used = np.flatnonzero(self.count > 0)
            self.lot, self.count, self.use, self.first = (a[used] for a in (self.lot, self.count, self.use, self.first))
            self.free = self.free[:, used]
            self.length = np.bincount(self.lot, minlength=len(self.lots)).astype(np.int64)
            self._lay_out()

    def keep_remains(self, cluster: int, shape: Shape, replicas: int) -> None:
        """Replicas that fit no node take what is left, up to what they ask for, of the emptiest nodes, one on each."""
        usable = shape.allowed & ~self.potential & (self.home == cluster)
        while replicas > 0:
            rows = np.flatnonzero(usable[self.lot] & (self.count > 0))
            rows = rows[self.free[[at for at, _ in shape.amounts]][:, rows].any(axis=0)] if shape.amounts else rows[:0]
            if not len(rows):
                return
            rows = rows[np.lexsort((self.first[rows], self.use[rows]))]
            served = np.clip(replicas - (np.cumsum(self.count[rows]) - self.count[rows]), 0, self.count[rows])
            for row, nodes in zip(rows[served > 0], served[served > 0], strict=True):
                kept = self.split(np.array([row]), np.array([nodes]))
                for at, asked in shape.amounts:
                    self.free[at, kept] = np.maximum(0, self.free[at, kept] - asked)
                self.use[kept] += shape.step[self.lot[kept]]
            self.version += 1
            replicas -= int(served.sum())
            self.tidy()

    def save(self) -> Saved:
        """The state, to go back to."""
        changing = (self.count, self.use, self.first, self.free, self.length)
        return (*(a.copy() for a in changing), self.lot, self.starts, self.sizes, self.layout)

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state (which may be used once)."""
        self.count, self.use, self.first, self.free, self.length, self.lot, self.starts, self.sizes, layout = saved  # type: ignore[assignment]
        if layout != self.layout:
            self.layout += 1
        self.version += 1


def _put(values: Array, at: Array, total: int) -> Array:
    wide = np.zeros(total, dtype=np.int64)
    wide[at] = values
    return wide
