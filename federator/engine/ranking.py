"""Which nodes of a cluster replicas use first: the order that a policy sets over its flavors, and what it leaves open.

Nodes that exist come before those that could; of either, those that the policy names first; then those without an
accelerator that the replica would leave idle; then, where the policy says so, those on which it costs least.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from fnmatch import fnmatchcase

import numpy as np

from federator.engine.arrays import Array
from federator.engine.constraints import flavor_requirement, likeness
from federator.engine.lots import Lot
from federator.engine.prices import Prices
from federator.model.cluster import Cluster, Flavor
from federator.model.policy import FlavorChoice, FlavorOrder
from federator.model.resources import CPU, MEMORY, STORAGE, Resources
from federator.model.workload import Workload

_PLAIN = frozenset({CPU, MEMORY, STORAGE, "pods"})


def is_accelerator(resource: str) -> bool:
    """Whether it is neither cpu, memory, disk nor a count of pods: a GPU, a TPU, a fast network card."""
    return resource not in _PLAIN and not resource.startswith("hugepages-")


def accelerates(flavor: Flavor, asked: frozenset[str]) -> bool:
    """Whether nodes of the flavor have an accelerator that replicas asking for these would leave idle."""
    return any(is_accelerator(name) and name not in asked for name in flavor.allocatable)


class Ranking:
    """The ranks of lots: whole numbers from 0 within each cluster, lots that are alike in all of this have the same."""

    def __init__(self, clusters: Sequence[Cluster], lots: Sequence[Lot], prices: Prices) -> None:
        self._clusters, self._lots, self._prices = clusters, lots, prices
        self._home = np.array([lot.cluster for lot in lots], dtype=np.int64)
        self._could = np.array([lot.potential for lot in lots], dtype=np.int64)
        self._idle: dict[frozenset[str], Array] = {}
        self._places: dict[Hashable, Array] = {}
        self._ranks: dict[Hashable, Array] = {}

    def of(self, workload: Workload, requests: Resources, order: FlavorOrder) -> Array:
        """The ranks for one role of the workload under a policy with this order."""
        special = frozenset(name for name in requests if is_accelerator(name))
        places = likeness(workload, *(choice.constraint.where for choice in order.choices))
        key = (special, order, places, requests if order.by_price else None)
        if key not in self._ranks:
            cost = self._prices.money(requests) if order.by_price else np.zeros_like(self._home)
            columns = (self._could, self._place(workload, order.choices, places), self._left_idle(special), cost)
            self._ranks[key] = _dense(self._home, columns)
        return self._ranks[key]

    def _left_idle(self, special: frozenset[str]) -> Array:
        if special not in self._idle:
            idle = [accelerates(lot.flavor, special) for lot in self._lots]
            self._idle[special] = np.array(idle, dtype=np.int64)
        return self._idle[special]

    def _place(self, workload: Workload, choices: Sequence[FlavorChoice], alike: Hashable) -> Array:
        """The place of each lot's flavor in the order."""
        key = (tuple(choices), alike)
        if key not in self._places:
            places = [self._first(workload, lot, choices) for lot in self._lots]
            self._places[key] = np.array(places, dtype=np.int64)
        return self._places[key]

    def _first(self, workload: Workload, lot: Lot, choices: Sequence[FlavorChoice]) -> int:
        cluster = self._clusters[lot.cluster]
        for place, choice in enumerate(choices):
            named = not choice.names or any(fnmatchcase(lot.flavor.name, name) for name in choice.names)
            if named and flavor_requirement(choice.constraint, workload, cluster, lot.flavor) is None:
                return place
        return len(choices)


def _dense(home: Array, columns: Sequence[Array]) -> Array:
    """Whole numbers from 0 in each cluster, in the order of these columns, the first counting most."""
    order = np.lexsort((*reversed(columns), home))
    ranks = np.zeros_like(home)
    if not len(home):
        return ranks
    steps = np.zeros(len(home), dtype=np.int64)
    for column in columns:
        steps[1:] |= column[order][1:] != column[order][:-1]
    fresh = np.ones(len(home), dtype=bool)
    fresh[1:] = home[order][1:] != home[order][:-1]
    steps[fresh] = 0
    risen = np.cumsum(steps)
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(home)), 0))
    ranks[order] = risen - risen[first]
    return ranks
