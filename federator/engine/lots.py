"""Alike nodes of a cluster, as the snapshot tells of them: the lots, and the rows of nodes with equal free amounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federator.engine.whole_cores import CORES, there
from federator.model.cluster import Cluster, Flavor
from federator.model.resources import CPU, MEMORY, Resources

NO_NODES = Flavor("", 0, Cluster("").allocatable, ())
"""The flavor of the one empty lot of a cluster whose nodes are unknown, or that has none."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Nodes of one flavor: those that exist, or (``potential``) those that an autoscaler could add."""

    cluster: int
    flavor: Flavor
    potential: bool = False
    whole_cores: bool = False
    """Whether its nodes give whole cores."""

    @property
    def nodes(self) -> int:
        """How many nodes there are in it."""
        if self.potential:
            return self.flavor.max_count - self.flavor.count
        return max(self.flavor.count, sum(group.count for group in self.flavor.nodes))

    @property
    def groups(self) -> list[tuple[Resources, int]]:
        """What is free on its nodes, and on how many of them."""
        if self.potential:
            return [(self.flavor.allocatable, self.nodes)]
        return [(group.free, group.count) for group in self.flavor.nodes]


@dataclass(frozen=True, slots=True)
class Row:
    """``count`` nodes of a lot on which the same is free (by resource; never below zero)."""

    lot: int
    free: tuple[int, ...]
    count: int

    def use(self, lots: Sequence[Lot], resources: Sequence[str], whole_node: int) -> int:
        """The share of cpu plus the share of memory that is taken."""
        use = 0
        for name in (CPU, MEMORY):
            lot, whole = lots[self.lot], lots[self.lot].flavor.allocatable[name]
            if name in resources and whole > 0:
                counted = CORES if name == CPU and lot.whole_cores and CORES in resources else name
                use += (whole - min(whole, self.free[resources.index(counted)])) * whole_node // whole
        return use


def lots_of(clusters: Sequence[Cluster]) -> tuple[Lot, ...]:
    """All lots, by cluster, then flavor; every cluster has at least one."""
    lots = []
    for at, cluster in enumerate(clusters):
        for flavor in sorted(cluster.flavors or (), key=lambda flavor: flavor.name):
            lots.append(Lot(at, flavor, whole_cores=cluster.whole_cores))
            if flavor.max_count > flavor.count:
                lots.append(Lot(at, flavor, True, cluster.whole_cores))
        if not cluster.flavors:
            lots.append(Lot(at, NO_NODES))
    return tuple(lots)


def rows_of(lots: Sequence[Lot], resources: Sequence[str]) -> list[Row]:
    """All nodes, alike ones joined, by lot and then more free first: the order of no list matters."""
    told = ((at, free, count) for at, lot in enumerate(lots) for free, count in lot.groups)
    return joined(counted(told, lots, resources))


Alike = tuple[int, tuple[int, ...]]
"""A lot, and what is free on each of some nodes of it, by resource and never below zero."""


def counted(
    nodes: Iterable[tuple[int, Mapping[str, int], int]], lots: Sequence[Lot], resources: Sequence[str]
) -> dict[Alike, int]:
    """How many there are of alike nodes, which are told as their lot, what is free on each, how many they are."""
    if CORES in resources:
        nodes = ((at, there(free, whole=lots[at].whole_cores), count) for at, free, count in nodes)
    counts: dict[Alike, int] = {}
    for at, free, count in nodes:
        if count > 0:
            key = (at, tuple([max(0, free.get(name, 0)) for name in resources]))
            counts[key] = counts.get(key, 0) + count
    return counts


def joined(counts: Mapping[Alike, int]) -> list[Row]:
    """The rows of nodes, by lot and then more free first."""
    order = sorted(counts, key=lambda alike: (alike[0], [-amount for amount in alike[1]]))
    return [Row(*alike, counts[alike]) for alike in order]


def amounts_by_lot(lots: Sequence[Lot], resources: Sequence[str]) -> NDArray[np.int64]:
    """What one node of each lot offers, by resource and lot."""
    offered: list[Mapping[str, int]] = [lot.flavor.allocatable for lot in lots]
    if CORES in resources:
        offered = [there(lot.flavor.allocatable, whole=lot.whole_cores) for lot in lots]
    amounts = [[of.get(name, 0) for of in offered] for name in resources]
    return np.array(amounts, dtype=np.int64).reshape(len(resources), len(lots))


def use_scale(lots: Sequence[Lot]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For cpu and memory, by lot: by how many bits amounts are cut so that shares fit 64 bits, and the whole."""
    wholes = [[max(1, lot.flavor.allocatable[name]) for lot in lots] for name in (CPU, MEMORY)]
    shifts = [[max(0, amount.bit_length() - 32) for amount in of] for of in wholes]
    cut = [[amount >> by for amount, by in zip(*of, strict=True)] for of in zip(wholes, shifts, strict=True)]
    return np.array(shifts, dtype=np.int64).reshape(2, len(lots)), np.array(cut, dtype=np.int64).reshape(2, len(lots))
