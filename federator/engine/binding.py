"""Which nodes replicas will land on: the habits of members' schedulers, for many replicas and clusters at once.

Each habit is a rule for one replica at a time (written beside it); here it is carried out in bulk, which gives the
same nodes. Ties go to the node with the lower number (see ``Nodes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from federator.engine.nodes import Array, Mask, Nodes, Shape, Window
from federator.model.cluster import Binding

_NEVER = 2**33
"""Above the use of any node with any replica that fits it."""
_MANY_SEATS = 50_000
_HIGHEST_RANK = 3


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Rows that may be used now, cluster after cluster, and how many replicas each cluster has for them.

    By row: its cluster (``homes``, the place in the window), how many replicas ``fit`` each of its ``counts`` nodes.
    """

    nodes: Nodes
    shape: Shape
    rows: Array
    homes: Array
    fits: Array
    counts: Array
    replicas: Array


def bind(nodes: Nodes, shape: Shape, window: Window, replicas: Array, habits: Mapping[Binding, Mask]) -> Array:
    """Take the room of so many replicas on each cluster of the window, as its scheduler will.

    ``habits`` tells for each binding which of all clusters have it. Lots of a lower rank are filled before others.
    Returns how many replicas of each cluster found no node.
    """
    left = replicas.copy()
    fits = nodes.fits(shape, window)
    room = nodes.room(shape, window, fits)
    if not shape.amounts:  # asks for nothing, so it takes nothing
        return np.where(window.by_cluster(room) > 0, 0, left)
    ranks = shape.rank[window.lots]
    for rank in range(_HIGHEST_RANK + 1):
        if not left.any():
            break
        usable = room * (ranks == rank)
        granted = np.minimum(left, window.by_cluster(usable))
        for habit, members in habits.items():
            here = granted * members[window.clusters]
            if here.any():
                lots = (usable > 0) & (here > 0)[window.home_of]
                HABITS[habit](_choice(nodes, shape, window, fits, lots, here))
        left -= granted
    nodes.tidy()
    return left


def _choice(nodes: Nodes, shape: Shape, window: Window, fits: Array, lots: Mask, replicas: Array) -> Choice:
    """The rows of these lots that hold at least one more."""
    at = np.flatnonzero((fits > 0) & lots[window.lot_of])
    rows = at if isinstance(window.rows, slice) else window.rows[at]
    return Choice(nodes, shape, rows, window.home_of[window.lot_of[at]], fits[at], nodes.count[rows], replicas)


def spread(choice: Choice) -> None:
    """Each replica goes to the node that is used least with it (kube-scheduler's least allocated).

    A node's j-th replica lifts its use to ``use + j * step``; the lowest such heights are the answer.
    """
    nodes, shape, rows, homes, counts = choice.nodes, choice.shape, choice.rows, choice.homes, choice.counts
    use, step, replicas = nodes.use[rows], shape.step[nodes.lot[rows]], choice.replicas
    asked = replicas[homes]
    fits = np.minimum(choice.fits, asked)
    # No replica lands above the height at which one row alone would have taken all of its cluster's.
    alone = np.where(fits * counts >= asked, use - (-asked // counts) * step, _NEVER)
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    top = np.full(len(replicas), _NEVER, dtype=np.int64)
    top[homes[starts]] = np.minimum.reduceat(alone, starts)
    levels = np.clip((top[homes] - use) // step, 0, fits)
    near = np.flatnonzero(levels)
    rows, homes, counts, use, step, levels = (a[near] for a in (rows, homes, counts, use, step, levels))
    sure = np.zeros_like(levels)
    if int(levels.sum()) > _MANY_SEATS:
        sure, levels = _narrow(levels, homes, counts, use, step, replicas)
        replicas = replicas - np.bincount(homes, sure * counts, len(replicas)).astype(np.int64)
    open_seats = levels - sure
    of = np.repeat(np.arange(len(rows)), open_seats)
    level = np.arange(len(of)) - np.repeat(np.cumsum(open_seats) - open_seats, open_seats) + sure[of] + 1
    order = _sorted((homes[of] << 34) + use[of] + level * step[of], nodes.first[rows[of]])
    granted = np.zeros(len(of), dtype=np.int64)
    granted[order] = _served(homes[of[order]], counts[of[order]], replicas)
    whole = granted == counts[of]
    times = sure + np.bincount(of[whole], minlength=len(rows))
    some_nodes = np.flatnonzero((granted > 0) & ~whole)  # the last seat of a cluster: some of its row's nodes
    last = of[some_nodes]
    fresh = nodes.split(rows[last], granted[some_nodes])
    nodes.charge(fresh, times[last] + 1, shape)
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


def pack(choice: Choice) -> None:
    """Each replica goes to the fullest node that it fits on."""
    keys = (choice.homes << 34) + _NEVER - choice.nodes.use[choice.rows]
    _fill_up(choice, _sorted(keys, choice.nodes.first[choice.rows]))


def best_fit(choice: Choice) -> None:
    """Each replica goes to the node that could hold the fewest more of its shape, of those the fullest."""
    rows = choice.rows
    _fill_up(choice, np.lexsort((choice.nodes.first[rows], -choice.nodes.use[rows], choice.fits, choice.homes)))


HABITS: Mapping[Binding, Callable[[Choice], None]] = {
    Binding.SPREAD: spread,
    Binding.PACK: pack,
    Binding.FRAGMENTATION_AWARE: best_fit,
}


def _fill_up(choice: Choice, order: Array) -> None:
    """Fill node after node, in this order of the rows, up to what fits."""
    nodes, shape = choice.nodes, choice.shape
    rows, fits = choice.rows[order], choice.fits[order]
    granted = _served(choice.homes[order], fits * choice.counts[order], choice.replicas)
    filled, rest = np.divmod(granted, fits)
    full = np.flatnonzero(filled)
    whole = filled[full] == choice.counts[order][full]
    nodes.charge(rows[full[whole]], fits[full[whole]], shape)
    parted = full[~whole]  # the last row of a cluster: at most one for each
    nodes.charge(nodes.split(rows[parted], filled[parted]), fits[parted], shape)
    last = np.flatnonzero(rest)  # one more node is filled in part: at most one for each cluster
    nodes.charge(nodes.split(rows[last], np.ones(len(last), dtype=np.int64)), rest[last], shape)


def _served(homes: Array, offers: Array, replicas: Array) -> Array:
    """What is taken of each offer when every cluster takes its replicas from its first offers on."""
    before = np.cumsum(offers) - offers
    starts = np.flatnonzero(np.diff(homes, prepend=-1))
    base = np.repeat(before[starts], np.diff(starts, append=len(homes)))
    served: Array = np.clip(replicas[homes] - (before - base), 0, offers)
    return served


def _sorted(keys: Array, numbers: Array) -> Array:
    """The order of ascending keys; ties go by number."""
    order = np.argsort(keys)
    ranked = keys[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.lexsort((numbers, keys))
    return order
