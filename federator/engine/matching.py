"""``order: fit`` with ``weightBy: foresight``: who is served where, if among equals nobody is first.

What waits is matched with what is free, without nodes: again and again the line and the cluster that are most alike
get a portion. How alike they are is the cosine of the angle between what a replica asks for and what is free, in shares
of the federation, times how near the data is (Tetris, SIGCOMM'14, aligns tasks and machines so). So of no cluster one
resource is used up while others are left over. Compiled; floats, but only sums, products and quotients of them in a
fixed order, as in ``engine/foresight.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from federator.engine.aims import have_room
from federator.engine.arrays import UNLIMITED, Array, Mask, total
from federator.engine.compiled import compiled
from federator.engine.crowd import Crowd, crowd_of, free_of
from federator.engine.federation import Federation
from federator.engine.foresight import Numbers
from federator.engine.kinds import Kinds
from federator.engine.outlook import PORTIONS_OF_A_LINE
from federator.model.workload import Workload

PORTIONS = 20
"""So many portions has a workload, each matched anew."""
_EFFORT = 200_000
"""So many portions are matched in all."""
_FIRST = 1e18
"""Likelier than any: who has not been looked at."""


@compiled
def most_alike(
    asks: Numbers, may: Array, most: Array, aims: Array, free: Numbers, squares: Numbers, lengths: Numbers,
    unknown: Mask,
) -> tuple[int, float]:  # fmt: skip
    """The cluster that is most alike to what a line asks for, of those with room for a replica of it, and how much.

    ``squares`` turns products of amounts into such of shares, ``lengths`` are those of what is free, squared. (-1, 0.0)
    where none has room; ties to the first.
    """
    best, highest, length = -1, 0.0, length_of(asks, squares)
    for cluster in range(len(may)):
        if may[cluster] == 0 or aims[cluster] >= most[cluster]:
            continue
        along, fits = 0.0, True
        for resource in range(len(asks)):
            there = free[cluster, resource]
            fits = fits and asks[resource] <= there
            along += asks[resource] * there * squares[resource]
        if not fits:
            continue
        across = length * lengths[cluster]
        alike = 1.0 if unknown[cluster] or across <= 0 else along * along / across
        alike *= may[cluster]
        if best < 0 or alike > highest:
            best, highest = cluster, alike
    return best, highest


@compiled
def length_of(amounts: Numbers, squares: Numbers) -> float:
    """How long amounts are, in shares, squared."""
    length = 0.0
    for resource in range(len(amounts)):
        length += amounts[resource] * amounts[resource] * squares[resource]
    return length


@compiled
def room(asks: Numbers, free: Numbers, most: int) -> int:
    """How many replicas fit into so much, at most ``most``."""
    for resource in range(len(asks)):
        if asks[resource] > 0:
            most = min(most, int(free[resource] / asks[resource]))
    return most


@compiled
def match(
    asks: Numbers, may: Array, most: Array, wanted: Array, portions: Array, free: Numbers, squares: Numbers,
    unknown: Mask,
) -> Array:  # fmt: skip
    """Aims by line and cluster. What is ``free`` and ``wanted`` is drawn down.

    How alike a line is to its best cluster is known from when it was looked at last, and looked up anew before it gets
    a portion: it keeps its turn unless another was more alike then.
    """
    aims, lengths = np.zeros_like(most), np.empty(len(free))
    for cluster in range(len(free)):
        lengths[cluster] = length_of(free[cluster], squares)
    heap = [(-_FIRST, line) for line in range(len(asks))]
    while len(heap) > 0:
        _, line = heappop(heap)
        cluster, alike = most_alike(
            asks[line], may[line], most[line], aims[line], free, squares, lengths, unknown
        )  # fmt: skip
        if cluster < 0 or wanted[line] <= 0:
            continue
        if len(heap) > 0 and -alike > heap[0][0]:
            heappush(heap, (-alike, line))
            continue
        portion = min(portions[line], wanted[line], most[line, cluster] - aims[line, cluster])
        replicas = room(asks[line], free[cluster], portion)
        aims[line, cluster] += replicas
        wanted[line] -= replicas
        for resource in range(asks.shape[1]):
            free[cluster, resource] -= replicas * asks[line, resource]
        lengths[cluster] = length_of(free[cluster], squares)
        heappush(heap, (-alike, line))
    return aims


class Share(NamedTuple):
    """Of the replicas that a workload lacks, so many are matched."""

    matched: int
    lacking: int


@dataclass(slots=True, eq=False)
class Matching:
    """Aims by line and cluster of those who are matched, drawn down as workloads have had their turn."""

    crowd: Crowd
    aims: Array
    shares: Mapping[str, Share]
    """Of each workload; what a line is matched with goes to the first of it."""

    @classmethod
    def over(cls, federation: Federation, kinds: Kinds, queue: Sequence[Workload]) -> Matching:
        """Match those of these workloads that wait and are divided by foresight."""
        free = free_of(federation)
        crowd = Crowd.of(crowd_of(federation, kinds, queue), *free.shape)
        times = np.minimum(PORTIONS * np.bincount(crowd.members, minlength=len(crowd.left)), PORTIONS_OF_A_LINE)
        times = np.maximum(1, np.minimum(times, _EFFORT // max(1, len(times))))
        portions = np.maximum(crowd.left // times, 1)
        squares = np.maximum(federation.offer.sum(axis=0), 1).astype(np.float64) ** -2.0
        aims = match(
            crowd.asks, crowd.may, crowd.most, crowd.left.copy(), portions, free, squares, federation.unknown
        )  # fmt: skip
        left, shares = aims.sum(axis=1), dict[str, Share]()
        for name, lacking in crowd.missing.items():
            row = crowd.rows[name]
            shares[name] = Share(min(lacking, int(left[row])), lacking)
            left[row] -= shares[name].matched
        missing = {name: share.matched for name, share in shares.items()}
        return cls(replace(crowd, left=aims.sum(axis=1), missing=missing), aims, shares)

    def aim(self, federation: Federation, name: str, maxima: Array, held: Array, missing: int) -> Array:
        """The aims of one that is at its turn: what it holds, and what it was matched with."""
        mine = self.crowd.missing.get(name, 0)
        aims = held + self.crowd.part(self.aims, self.crowd.rows[name], mine) if mine > 0 else held
        return np.minimum(aims, maxima)

    def room(self, federation: Federation, name: str) -> int:
        """How many of the replicas that one was matched with have room where they aim at, as things stand."""
        one, nodes = self.crowd.known[name], federation.nodes
        shape, own = one.eligibility.shape, self.crowd.part(self.aims, self.crowd.rows[name], self.crowd.missing[name])
        allowed = federation.limit_room(shape)
        most = one.maxima if allowed is None else np.minimum(one.maxima, allowed)
        unknown = federation.unknown.astype(np.int64)
        return total(
            have_room(nodes.rows, nodes.blocks, nodes.first_lots, shape.asked, shape.terms, own, most, unknown)
        )  # fmt: skip

    def draw(self, name: str, most: int = UNLIMITED) -> None:
        """It has had its turn with what it was matched with; what it gets after that, it gets anywhere."""
        self.crowd.draw(self.aims, name, UNLIMITED)
