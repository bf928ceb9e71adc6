"""Which nodes replicas will land on: the habits of members' schedulers, for many replicas and clusters at once.

Each habit is a rule for one replica at a time (written beside it); here it is carried out in bulk, which gives the
same nodes. Ties go to the flavor's name, then to the node with more free, compared resource by resource.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from federator.engine.nodes import Array, Mask, Nodes, Shape
from federator.model.cluster import Binding

_NEVER = 2**33
"""Above the use of any node with any replica that fits it."""
_MANY_SEATS = 50_000


def bind(nodes: Nodes, shape: Shape, replicas: Array, habits: Mapping[Binding, Mask]) -> Array:
    """Take the room of so many replicas on each cluster, as its scheduler will; returns how many found no node.

    ``habits`` tells for each binding which clusters have it. Lots of a lower rank are filled before others.
    """
    left = replicas.copy()
    if not len(nodes.lots) or not left.any():
        return left
    fits = nodes.fits(shape) * ((left > 0)[nodes.cluster] & (nodes.count > 0))
    if not shape.amounts:  # asks for nothing, so it takes nothing
        return np.where(nodes.by_cluster(fits) > 0, 0, left)
    ranks = shape.rank[nodes.lot]
    for rank in np.unique(ranks[fits > 0]):
        usable = np.where(ranks == rank, fits, 0)
        granted = np.minimum(left, nodes.by_cluster(usable * nodes.count))
        for habit, members in habits.items():
            here = np.where(members, granted, 0)
            if here.any():
                rows = np.flatnonzero((usable > 0) & (here > 0)[nodes.cluster])
                HABITS[habit](nodes, shape, rows, usable[rows], here)
        left -= granted
        if not left.any():
            break
    nodes.tidy()
    return left


def spread(nodes: Nodes, shape: Shape, rows: Array, fits: Array, replicas: Array) -> None:
    """Each replica goes to the node that is used least with it (kube-scheduler's least allocated).

    A node's j-th replica lifts its use to ``use + j * step``; the lowest such heights are the answer.
    """
    homes, counts, use = nodes.cluster[rows], nodes.count[rows], nodes.use[rows]
    step = shape.step[nodes.lot[rows]]
    asked = replicas[homes]
    fits = np.minimum(fits, asked)
    # No replica lands above the height at which one row alone would have taken all of its cluster's.
    alone = np.where(fits * counts >= asked, use - (-asked // counts) * step, _NEVER)
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    top = np.full(len(replicas), _NEVER, dtype=np.int64)
    top[homes[starts]] = np.minimum.reduceat(alone, starts)
    levels = np.clip((top[homes] - use) // step, 0, fits)
    sure = np.zeros_like(levels)
    if int(levels.sum()) > _MANY_SEATS:
        sure, levels = _narrow(levels, homes, counts, use, step, replicas)
        replicas = replicas - np.bincount(homes, sure * counts, len(replicas)).astype(np.int64)
    open_seats = levels - sure
    of = np.repeat(np.arange(len(rows)), open_seats)
    level = np.arange(len(of)) - np.repeat(np.cumsum(open_seats) - open_seats, open_seats) + sure[of] + 1
    order = _sorted(nodes, shape, rows[of], (homes[of] << 34) + use[of] + level * step[of], held=level - 1)
    granted = np.zeros(len(of), dtype=np.int64)
    granted[order] = _served(homes[of[order]], counts[of[order]], replicas)
    whole = granted == counts[of]
    times = sure + np.bincount(of[whole], minlength=len(rows))
    some_nodes = np.flatnonzero((granted > 0) & ~whole)  # the last seat of a cluster: some of its row's nodes
    fresh = nodes.split(rows[of[some_nodes]], granted[some_nodes])
    nodes.charge(fresh, times[of[some_nodes]] + 1, shape)
    lifted = np.flatnonzero(times)
    nodes.charge(rows[lifted], times[lifted], shape)


def _narrow(
    levels: Array, homes: Array, counts: Array, use: Array, step: Array, replicas: Array
) -> tuple[Array, Array]:
    """The levels below, and up to, the least height at which all replicas of a cluster have seats, by halving."""
    low = np.zeros(len(replicas), dtype=np.int64)
    high = np.full(len(replicas), _NEVER, dtype=np.int64)

    def up_to(height: Array) -> Array:
        below: Array = np.clip((height[homes] - use) // step, 0, levels)
        return below

    while int((high - low).max()) > 1:
        middle = (low + high) // 2
        seats = np.bincount(homes, up_to(middle) * counts, len(replicas))
        high = np.where(seats >= replicas, middle, high)
        low = np.where(seats >= replicas, low, middle)
    return up_to(low), up_to(high)


def pack(nodes: Nodes, shape: Shape, rows: Array, fits: Array, replicas: Array) -> None:
    """Each replica goes to the fullest node that it fits on."""
    order = _sorted(nodes, shape, rows, (nodes.cluster[rows] << 34) + _NEVER - nodes.use[rows])
    _fill_up(nodes, shape, rows[order], fits[order], replicas)


def best_fit(nodes: Nodes, shape: Shape, rows: Array, fits: Array, replicas: Array) -> None:
    """Each replica goes to the node that could hold the fewest more of its shape, of those the fullest."""
    tightest = np.lexsort((-nodes.use[rows], fits, nodes.cluster[rows]))
    order = _sorted(nodes, shape, rows, _ranks(nodes, rows, fits, tightest))
    _fill_up(nodes, shape, rows[order], fits[order], replicas)


HABITS: Mapping[Binding, Callable[[Nodes, Shape, Array, Array, Array], None]] = {
    Binding.SPREAD: spread,
    Binding.PACK: pack,
    Binding.FRAGMENTATION_AWARE: best_fit,
}


def _fill_up(nodes: Nodes, shape: Shape, rows: Array, fits: Array, replicas: Array) -> None:
    """Fill node after node, in the order of ``rows``, up to what fits."""
    granted = _served(nodes.cluster[rows], fits * nodes.count[rows], replicas)
    filled, rest = np.divmod(granted, fits)
    last = np.flatnonzero(rest)  # one node of the last row of a cluster is filled in part
    fresh = nodes.split(rows[last], np.ones(len(last), dtype=np.int64))
    nodes.charge(fresh, rest[last], shape)
    whole = filled == nodes.count[rows]
    some = np.flatnonzero((filled > 0) & ~whole)
    fresh = nodes.split(rows[some], filled[some])
    nodes.charge(fresh, fits[some], shape)
    whole &= filled > 0
    nodes.charge(rows[whole], fits[whole], shape)


def _served(homes: Array, offers: Array, replicas: Array) -> Array:
    """What is taken of each offer when every cluster takes its replicas from its first offers on."""
    before = np.cumsum(offers) - offers
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    base = np.repeat(before[starts], np.diff(starts, append=len(homes)))
    served: Array = np.clip(replicas[homes] - (before - base), 0, offers)
    return served


def _sorted(nodes: Nodes, shape: Shape, rows: Array, keys: Array, held: Array | None = None) -> Array:
    """The order of ascending keys; ties go by flavor, then more free first (with ``held`` more replicas on it)."""
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    if (ranked[1:] == ranked[:-1]).any():
        free = nodes.free[:, rows]
        if held is not None:
            for at, asked in shape.amounts:
                free[at] -= asked * held
        order = np.lexsort((*-free[::-1], nodes.lot[rows], keys))
    return order


def _ranks(nodes: Nodes, rows: Array, fits: Array, order: Array) -> Array:
    """Equal numbers for rows that are alike in cluster, fits and use, ascending along ``order``."""
    alike = np.stack([nodes.cluster[rows], fits, nodes.use[rows]])[:, order]
    new = np.ones(len(order), dtype=np.int64)
    new[1:] = (alike[:, 1:] != alike[:, :-1]).any(axis=0)
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.cumsum(new)
    return ranks
