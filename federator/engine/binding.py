"""Which nodes replicas will land on: the habits of members' schedulers, for many replicas and clusters at once.

Each habit is a rule for one replica at a time (written beside it); here it is carried out in bulk, which gives the
same nodes. Ties go to the node with the lower number (see ``Nodes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import Array, Mask, before_in_run, between, counted_up, starts_of, total
from federator.engine.nodes import Nodes
from federator.engine.windows import Count, Shape, Window
from federator.model.cluster import Binding

_NEVER = 2**33
"""Above the use of any node with any replica that fits it."""
_MANY_SEATS = 50_000
_MANY_ROWS = 4000
"""Beyond these a shortcut pays; the answer is the same."""
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


def bind(nodes: Nodes, shape: Shape, counted: Count, replicas: Array, habits: Mapping[Binding, Mask]) -> Array:
    """Take the room of so many replicas on each cluster of the window where it was counted, as its scheduler will.

    ``habits`` tells for each binding which of all clusters have it. Lots of a lower rank are filled before others.
    Returns how many replicas of each cluster found no node.
    """
    window, fits, room, left = counted.window, counted.fits, counted.room, replicas.copy()
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
                many = habit is Binding.SPREAD and len(fits) > _MANY_ROWS
                rows = _low_enough(nodes, shape, window, fits, lots, here) if many else None
                HABITS[habit](_choice(nodes, shape, window, fits, lots, here, rows))
        left -= granted
    nodes.tidy()
    return left


def _choice(
    nodes: Nodes, shape: Shape, window: Window, fits: Array, lots: Mask, replicas: Array, at: Array | None
) -> Choice:
    """The rows ``at`` these places of the window, or all of these lots that hold at least one more."""
    if at is None:
        at = ((fits > 0) & lots[window.lot_of]).nonzero()[0]
    rows = window.rows_at(at)
    return Choice(nodes, shape, rows, window.home_of[window.lot_of[at]], fits[at], nodes.count[rows], replicas)


def _low_enough(nodes: Nodes, shape: Shape, window: Window, fits: Array, lots: Mask, replicas: Array) -> Array | None:
    """The places of the rows that a spreading member could choose: few of many where each cluster gets few.

    None goes above the height that the emptiest node would reach with all of its cluster's replicas, if it held them.
    """
    use, step = nodes.use[window.rows], shape.step[window.lots]
    usable = fits > 0
    lowest = np.minimum.reduceat(np.where(usable, use, _NEVER), window.lot_starts)
    steps = np.where(lots, step, 0)
    top = np.minimum.reduceat(np.where(lots, lowest, _NEVER), window.cluster_starts)
    top += replicas * np.maximum.reduceat(steps, window.cluster_starts)
    highest = np.where(lots, top[window.home_of] - step, -1)
    at = (usable & (use <= highest.repeat(window.sizes))).nonzero()[0]
    homes = window.home_of[window.lot_of[at]]
    rows = window.rows_at(at)
    seats = np.minimum((top[homes] - use[at]) // step[window.lot_of[at]], fits[at]) * nodes.count[rows]
    enough = np.bincount(homes, seats, len(replicas)) >= replicas
    return at if enough.all() else None


def spread(choice: Choice) -> None:
    """Each replica goes to the node that is used least with it (kube-scheduler's least allocated).

    A node's j-th replica lifts its use to ``use + j * step``; the lowest such heights are the answer. Mostly they are
    first seats of nodes; where a second one is low enough too, or first ones are too few, all are looked at.
    """
    nodes, shape, rows, homes = choice.nodes, choice.shape, choice.rows, choice.homes
    use, step = nodes.use[rows], shape.step[nodes.lot[rows]]
    first = use + step
    order = _sorted((homes << 34) + first, nodes.first[rows])
    ranked, counts, wanted = homes[order], choice.counts[order], choice.replicas[homes][order]
    before = before_in_run(counts, starts_of(ranked))
    after = before + counts
    last = ((before < wanted) & (after >= wanted)).nonzero()[0]
    top = np.full(len(choice.replicas), _NEVER, dtype=np.int64)
    top[ranked[last]] = first[order[last]]
    second = ((first + step <= top[homes]) & (choice.fits > 1)).any()
    if second:
        _all_seats(choice, use, step, top)
    else:
        chosen = (before < wanted).nonzero()[0]
        seats = np.minimum(wanted - before, counts)[chosen]
        nodes.charge(nodes.split(rows[order[chosen]], seats), 1, shape)


def _all_seats(choice: Choice, use: Array, step: Array, top: Array) -> None:
    """Seats of all levels; none goes above ``top`` (by cluster), where that is known.

    Where it is not, because the first seats of all nodes are too few, it is at most the height at which one row alone
    has seats enough.
    """
    nodes, shape, replicas = choice.nodes, choice.shape, choice.replicas
    unbound = (top[choice.homes] == _NEVER).nonzero()[0]
    if len(unbound):
        fits, counts = choice.fits[unbound], choice.counts[unbound]
        asked = replicas[choice.homes[unbound]]
        alone = np.where(fits * counts >= asked, use[unbound] - (-asked // counts) * step[unbound], _NEVER)
        np.minimum.at(top, choice.homes[unbound], alone)
    near = (use + step <= top[choice.homes]).nonzero()[0]
    rows, homes, counts, use, step = choice.rows[near], choice.homes[near], choice.counts[near], use[near], step[near]
    levels = np.minimum((top[homes] - use) // step, choice.fits[near])
    sure = np.zeros_like(levels)
    if total(levels) > _MANY_SEATS:
        sure, levels = _narrow(levels, homes, counts, use, step, replicas)
        replicas = replicas - np.bincount(homes, sure * counts, len(replicas)).astype(np.int64)
    open_seats = levels - sure
    of = np.arange(len(rows)).repeat(open_seats)
    heights = use[of] + (counted_up(open_seats) + sure[of] + 1) * step[of]
    of = of[_sorted((homes[of] << 34) + heights, nodes.first[rows[of]])]
    seats = counts[of]
    granted = _served(homes[of], seats, replicas)
    times = sure + np.bincount(of[granted == seats], minlength=len(rows))
    lifted = times.nonzero()[0]
    some_nodes = ((granted > 0) & (granted < seats)).nonzero()[0]  # the last seat of a cluster: some of its row's nodes
    last = of[some_nodes]
    fresh = nodes.split(rows[last], granted[some_nodes])
    nodes.charge(fresh, times[last] + 1, shape)
    nodes.charge(rows[lifted], times[lifted], shape)


def _narrow(
    levels: Array, homes: Array, counts: Array, use: Array, step: Array, replicas: Array
) -> tuple[Array, Array]:
    """The levels below, and up to, the least height at which all replicas of a cluster have seats, by halving."""
    low = np.zeros(len(replicas), dtype=np.int64)
    high = np.full(len(replicas), _NEVER, dtype=np.int64)

    def up_to(height: Array) -> Array:
        below: Array = between((height[homes] - use) // step, 0, levels)
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
    full = filled.nonzero()[0]
    whole = filled[full] == choice.counts[order][full]
    nodes.charge(rows[full[whole]], fits[full[whole]], shape)
    parted = full[~whole]  # the last row of a cluster: at most one for each
    nodes.charge(nodes.split(rows[parted], filled[parted]), fits[parted], shape)
    last = rest.nonzero()[0]  # one more node is filled in part: at most one for each cluster
    nodes.charge(nodes.split(rows[last], np.ones(len(last), dtype=np.int64)), rest[last], shape)


def _served(homes: Array, offers: Array, replicas: Array) -> Array:
    """What is taken of each offer when every cluster takes its replicas from its first offers on."""
    served = replicas[homes] - before_in_run(offers, starts_of(homes))
    return between(served, 0, offers)


def _sorted(keys: Array, numbers: Array) -> Array:
    """The order of ascending keys; ties go by number."""
    order = np.argsort(keys)
    ranked = keys[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = np.lexsort((numbers, keys))
    return order
