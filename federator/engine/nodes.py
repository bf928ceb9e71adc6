"""All nodes of the federation as arrays, alike nodes in one row: what is free on them as one plan takes room.

Rows lie in one block for each lot (a flavor of a cluster), lots by cluster, both in the order of names. A block has
spare rows for nodes that a placement makes different from their like. Built once for each plan, never leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.lots import Alike, Lot, Row, amounts_by_lot, counted, joined, lots_of, rows_of, use_scale
from federator.engine.rows import COUNT, FIRST, FREE, HOME, LENGTH, SIZE, START, columns, keep_remains, rooms
from federator.engine.shapes import ALLOWED, Shape, terms_of
from federator.engine.whole_cores import CORES, asked, given_back
from federator.model.cluster import Cluster
from federator.model.resources import CPU, MEMORY, Resources

WHOLE_NODE = 2**30
"""A node's use is the share of its cpu plus the share of its memory that is taken, each in 2**-30 rounded down."""

SPARE = 6
"""Spare rows of a block at the start of every binding, which splits off at most so many (or has one row a node)."""
_NOTHING = object()
_NOBODY = Cluster("")
_GROWTH = 8
"""A block has so many times the rows that it begins with, or one for every node."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The state of the nodes at one moment."""

    rows: Array
    blocks: Array
    sums: Array


class Nodes:
    """The nodes' state.

    ``rows`` and ``blocks`` are described in ``engine/rows.py``. ``sums`` is what is free by kind of node (0 those that
    exist, 1 those that could), cluster and resource. Nodes are numbered by cluster, flavor and then more free first,
    and ties go to the lower number.
    """

    rows: Array
    blocks: Array
    sums: Array

    def __init__(self, clusters: Sequence[Cluster], resources: Iterable[str]) -> None:
        """``clusters`` sorted by name; ``resources`` are those that anybody asks for."""
        self.resources = tuple(sorted(resources))
        self.at = {name: at for at, name in enumerate(self.resources)}
        self.counts_cores = CORES in self.at
        """Whether whole cores count apart from cpu (see ``engine/whole_cores.py``)."""
        self.lots: tuple[Lot, ...] = lots_of(clusters)
        self.home = np.array([lot.cluster for lot in self.lots], dtype=np.int64)
        self.potential = np.array([lot.potential for lot in self.lots], dtype=bool)
        self.any_potential = bool(self.potential.any())
        self.whole_cores = np.array([lot.whole_cores and self.counts_cores for lot in self.lots], dtype=bool)
        """By lot: whether whole cores count instead of cpu."""
        self.allocatable = amounts_by_lot(self.lots, self.resources)
        self._shift, self._whole = use_scale(self.lots)
        self._scaled = np.stack([self._counting(name) for name in (CPU, MEMORY)])
        """What counts in a node's use, as far as anybody asks for it, by lot."""
        self.sizes = np.stack([part for at, name in enumerate((CPU, MEMORY)) for part in self._size(at, name)], axis=1)
        """By lot, what balancing reads of cpu and memory (see ``engine/balance.py``)."""
        self.population: Array = np.array([lot.nodes for lot in self.lots], dtype=np.int64)
        self._first_nodes: list[int] = (np.cumsum(self.population) - self.population).tolist()
        """By lot, the number of its first node."""
        self.first_lots = np.searchsorted(self.home, np.arange(len(clusters) + 1))
        """The first lot of each cluster, and, at the end, the number of lots."""
        self._everywhere = np.arange(len(clusters))
        self._told: list[tuple[object, Array]] = [(_NOTHING, self.population)] * len(clusters)
        """By cluster, the flavors that it had when its rows were made last, and those rows."""
        self._build(clusters)

    def again(self, clusters: Sequence[Cluster]) -> Nodes:
        """The nodes of the same clusters at another moment: only what is free on them differs."""
        other = copy(self)
        other.lots = lots_of(clusters)
        other._build(clusters)
        return other

    def _counting(self, name: str) -> Array:
        """By lot, which resource tells how much of this is in use; -1: nobody asks for it."""
        column = np.full(len(self.lots), self.at.get(name, -1))
        if name == CPU:
            column[self.whole_cores] = self.at.get(CORES, -1)
        return column

    def _size(self, at: int, name: str) -> tuple[Array, Array, Array]:
        column = self._counting(name)
        if name in self.at:
            column[self.allocatable[self.at[name]] == 0] = -1
        return column, self._shift[at], self._whole[at]

    def _build(self, clusters: Sequence[Cluster]) -> None:
        for at, cluster in enumerate(clusters):
            if self._told[at][0] is not cluster.flavors:
                self._told[at] = cluster.flavors, self._rows_of(cluster, int(self.first_lots[at]))
        lines = np.concatenate([self._rows_of(_NOBODY, 0), *(made for _, made in self._told)])
        dense, lots = np.ascontiguousarray(lines[:, :-1]), lines[:, -1]
        dense[:, FIRST] = np.cumsum(dense[:, COUNT]) - dense[:, COUNT]
        self.put(dense, lots)

    def _rows_of(self, cluster: Cluster, first_lot: int) -> Array:
        """The rows of one cluster, not numbered yet, each with its lot behind it."""
        lots = lots_of((cluster,))
        lines = self._lines(rows_of(lots, self.resources), lots)
        lines[:, -1] += first_lot
        return lines

    def _lines(self, rows: Sequence[Row], lots: Sequence[Lot]) -> Array:
        """Rows as they lie here, not numbered yet, each with its lot (of these) behind it."""
        told = [(row.count, 0, row.use(lots, self.resources, WHOLE_NODE), 0, *row.free, row.lot) for row in rows]
        return np.array(told, dtype=np.int64).reshape(len(rows), FREE + len(self.resources) + 1)

    def put(self, dense: Array, lots: Array) -> None:
        """Have just these rows, which are those of these lots."""
        self._lay_out(dense, np.bincount(lots, minlength=len(self.lots)))
        self.sums = np.zeros((2, len(self.first_lots) - 1, dense.shape[1] - FREE), dtype=np.int64)
        kinds = self.potential[lots].astype(np.int64)
        np.add.at(self.sums, (kinds, self.home[lots]), dense[:, FREE:] * dense[:, COUNT, None])

    def renew(self, at: int, nodes: Iterable[tuple[str, Mapping[str, int], int]]) -> bool:
        """Have of a cluster (to which none may be added) what is free on its nodes now: their flavor, what is free on
        each, how many. Returns whether that is not what was here."""
        first, last = int(self.first_lots[at]), int(self.first_lots[at + 1])
        places = {lot.flavor.name: place for place, lot in enumerate(self.lots[first:last])}
        lots = self.lots[first:last]
        told = counted(((places[flavor], free, count) for flavor, free, count in nodes), lots, self.resources)
        here: dict[Alike, int] = {}
        for place, (start, length, *_) in enumerate(self.blocks[first:last].tolist()):
            for count, _, _, _, *free in self.rows[start : start + length].tolist():
                key = (place, tuple(free))
                here[key] = here.get(key, 0) + count
        if here == told:
            return False
        rows = joined(told)
        lengths = [0] * (last - first)
        for row in rows:
            lengths[row.lot] += 1
        if any(length > size for length, size in zip(lengths, self.blocks[first:last, SIZE].tolist(), strict=True)):
            self._make_place(first, last, lengths)
        self._write(at, rows, lengths)
        return True

    def _write(self, at: int, rows: Sequence[Row], lengths: Sequence[int]) -> None:
        """Have just these rows, so many for each lot, of a cluster whose blocks have place for them."""
        first, last = int(self.first_lots[at]), int(self.first_lots[at + 1])
        lots, number = self.lots[first:last], self._first_nodes[first]
        lines: list[tuple[int, ...]] = []
        free = [[0] * len(self.resources), [0] * len(self.resources)]
        for row in rows:
            lines.append((row.count, number, row.use(lots, self.resources, WHOLE_NODE), 0, *row.free))
            number += row.count
            kind = free[lots[row.lot].potential]
            for column, amount in enumerate(row.free):
                kind[column] += amount * row.count
        begin = 0
        for length, start in zip(lengths, self.blocks[first:last, START].tolist(), strict=True):
            if length:
                self.rows[start : start + length] = lines[begin : begin + length]
                begin += length
        self.blocks[first:last, LENGTH] = lengths
        self.sums[:, at] = free

    def _make_place(self, first: int, last: int, lengths: Sequence[int]) -> None:
        """Lay blocks out anew so that these lots have place for so many rows; theirs are lost."""
        kept = self._used()
        homes = np.repeat(np.arange(len(self.lots)), self.blocks[:, LENGTH])
        others = (homes < first) | (homes >= last)
        wanted = self.blocks[:, LENGTH].copy()
        wanted[first:last] = lengths
        spare = np.repeat(np.arange(len(self.lots)), wanted)
        dense = np.zeros((len(spare), self.rows.shape[1]), dtype=np.int64)
        dense[(spare < first) | (spare >= last)] = self.rows[kept[others]]
        self._lay_out(dense, wanted)

    def _lay_out(self, dense: Array, lengths: Array) -> None:
        """Give every lot a block with its rows first, and spare ones behind them."""
        sizes = np.minimum(lengths * _GROWTH + SPARE, self.population + 1)
        starts = np.cumsum(sizes) - sizes
        self.blocks = np.stack([starts, lengths, sizes, self.potential, self.home], axis=1)
        self.rows = columns(int(sizes.sum()), dense.shape[1])
        self.rows[self._used()] = dense

    def _used(self) -> Array:
        """Which rows hold nodes, in their order."""
        lengths = self.blocks[:, LENGTH]
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        used: Array = np.repeat(self.blocks[:, START], lengths) + within
        return used

    def tidy(self) -> None:
        """Let blocks grow that have run out of spare rows (and have not one for every node)."""
        lengths, sizes = self.blocks[:, LENGTH], self.blocks[:, SIZE]
        if (np.minimum(lengths + SPARE, self.population) > sizes).any():
            self._lay_out(self.rows[self._used()], lengths.copy())

    def classes(self) -> tuple[Array, Array]:
        """The classes of lots whose nodes are alike but for what is free: that of each lot; and by class what one node
        offers by resource, then the scales of its cpu and its memory (see ``use_scale``), two numbers each."""
        scales = [of for at in range(2) for of in (self._shift[at], self._whole[at])]
        lines, found = np.unique(np.stack([*self.allocatable, *scales], axis=1), axis=0, return_inverse=True)
        return found.reshape(-1).astype(np.int64), np.ascontiguousarray(lines)

    def shape(self, requests: Resources, allowed: Mask, rank: Array) -> Shape:
        """The shape of replicas with these requests that may use the allowed lots."""
        amounts = [(self.at[name], amount) for name, amount in self.asked(requests).items_ if amount > 0]
        terms = np.array(amounts, dtype=np.int64).reshape(len(amounts), 2)
        by_lot = terms_of(
            terms, allowed, rank, self.allocatable, self._scaled, self._shift, self._whole, WHOLE_NODE
        )  # fmt: skip
        return Shape(terms, by_lot)

    def asked(self, requests: Resources) -> Resources:
        """What a replica with these requests asks of the tables for."""
        return asked(requests) if self.counts_cores else requests

    def given_back(self, requests: Resources, *, whole: bool) -> list[int]:
        """By resource, what is free again once a replica ends that showed in what was free; ``whole``: of a cluster
        that gives whole cores."""
        amounts: Mapping[str, int] = given_back(requests, whole=whole) if self.counts_cores else requests
        return [amounts.get(name, 0) for name in self.resources]

    @property
    def gives_whole_cores(self) -> Mask:
        """By cluster: whether whole cores count there instead of cpu."""
        return self.whole_cores[self.first_lots[:-1]]

    def only_existing(self, shape: Shape) -> Shape:
        """The same shape kept off nodes that do not exist yet."""
        if not self.any_potential:
            return shape
        terms = shape.terms.copy()
        terms[self.potential, ALLOWED] = 0
        return Shape(shape.asked, terms)

    def room(self, shape: Shape) -> Array:
        """How many more replicas each cluster could hold, on all nodes. A node holds 2**20 that ask for nothing."""
        return rooms(self.rows, self.blocks, self.first_lots, shape.asked, shape.terms)

    def free_of(self, resource: str, *, potential: bool = False) -> Array:
        """What is free of a resource on the nodes of each cluster; ``potential``: also on those that could exist."""
        free = self.sums[0] + self.sums[1] if potential else self.sums[0].copy()
        return self.counted(free, resource, self.first_lots[:-1])

    def counted(self, free: Array, resource: str, lots: Array) -> Array:
        """What counts of a resource, of what is free by line (of these lots, or their clusters) and resource: of cpu,
        the whole cores where these count."""
        if resource != CPU or not self.counts_cores:
            found: Array = free[:, self.at[resource]]
            return found
        parts = free[:, self.at[CPU]] if CPU in self.at else 0  # where cores count, perhaps nobody asks for cpu
        return np.where(self.whole_cores[lots], free[:, self.at[CORES]], parts)

    def free_in(self, resource: str, clusters: Array, *, potential: bool = False) -> int:
        """The same for some clusters together."""
        at = self.at[resource]
        free = int(self.sums[0, clusters, at].sum())
        return free + int(self.sums[1, clusters, at].sum()) if potential else free

    def offered(self, *, potential: bool) -> Array:
        """What the nodes of each cluster offer, by cluster and resource; ``potential``: also those that could exist."""
        counted = self.population if potential else self.population * ~self.potential
        offered = np.zeros((len(self._everywhere), len(self.resources)), dtype=np.int64)
        np.add.at(offered, self.home, (self.allocatable * counted).T)
        return offered

    def dense(self) -> tuple[Array, Array]:
        """All rows in the order of the nodes' numbers, and the lot of each."""
        rows = self.rows[self._used()]
        order = np.argsort(rows[:, FIRST])
        return rows[order], np.repeat(np.arange(len(self.lots)), self.blocks[:, LENGTH])[order]

    def with_rows(self, dense: Array, lots: Array) -> Nodes:
        """The same lots with other rows, which are given in the order of lots."""
        other = copy(self)
        other.put(dense, lots)
        return other

    def only(self, cluster: int) -> Nodes:
        """One cluster's nodes by themselves, to try something out on."""
        first, last = self.first_lots[cluster], self.first_lots[cluster + 1]
        begin = int(self.blocks[first, START])
        end = int(self.blocks[last - 1, START] + self.blocks[last - 1, SIZE])
        other = copy(self)
        other.lots, other.home = self.lots[first:last], np.zeros(last - first, dtype=np.int64)
        other.allocatable, other.sizes = self.allocatable[:, first:last], self.sizes[first:last]
        other.potential, other.population = self.potential[first:last], self.population[first:last]
        other.whole_cores = self.whole_cores[first:last]
        other.first_lots = np.array([0, last - first])
        other.rows, other.blocks = columns(end - begin, self.rows.shape[1]), self.blocks[first:last].copy()
        other.rows[: end - begin] = self.rows[begin:end]
        other.blocks[:, START] -= begin
        other.blocks[:, HOME] = 0
        other.sums = np.zeros((2, 1, self.sums.shape[2]), dtype=np.int64)
        other._shift, other._whole = self._shift[:, first:last], self._whole[:, first:last]
        return other

    def use(self, free: Array, lots: Array) -> Array:
        """The use of nodes of these lots on which so much is free (by resource): cpu's share and memory's."""
        use = np.zeros(len(lots), dtype=np.int64)
        for at, name in enumerate((CPU, MEMORY)):
            if name in self.at:
                whole = self._whole[at][lots]
                left = np.minimum(self.counted(free, name, lots) >> self._shift[at][lots], whole)
                use += (self.allocatable[self.at[name]][lots] > 0) * ((whole - left) * WHOLE_NODE // whole)
        return use

    def save(self) -> Saved:
        """The state, to go back to."""
        return Saved(self.rows.copy("F"), self.blocks.copy(), self.sums.copy())

    def restore(self, saved: Saved) -> None:
        """Go back to a saved state (which may be used once)."""
        self.rows, self.blocks, self.sums = saved.rows, saved.blocks, saved.sums

    def keep_remains(self, cluster: int, shape: Shape, replicas: int) -> None:
        """Replicas that fit no node take what is left, up to what they ask for, of the emptiest nodes."""
        lots = np.flatnonzero((shape.terms[:, ALLOWED] > 0) & ~self.potential & (self.home == cluster))
        amounts = shape.asked
        if self.counts_cores and not self.whole_cores[self.first_lots[cluster]]:  # there are always some left
            amounts = np.ascontiguousarray(amounts[amounts[:, 0] != self.at[CORES]])
        while replicas > 0:
            kept = keep_remains(self.rows, self.blocks, self.sums, amounts, shape.terms, lots, replicas)
            if kept == 0:
                return
            replicas -= kept
            self.tidy()
