"""The loops of ``weightBy: foresight``: clusters for all who wait, before the first of them has his turn. Compiled.

Lines are the kinds of roles that wait, in the order of service: what a replica ``asks`` for by resource, where it
``may`` go (0: not; else how near its data is) and at most how many of it on a cluster. ``aims`` are replicas by line
and cluster, ``used`` is what they and those placed by now use of each resource of a cluster, ``whole`` what was free
there. Floats, but only sums, products and quotients of them in a fixed order, which all machines round alike; what
decides in the end, the aims, are whole replicas.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.division import WEIGHT_MAX

Numbers = NDArray[np.float64]

STEEPEST = 100.0
_GENTLEST = 10.0
_SQUARINGS = 10
_HIGHEST = 400.0
_ENDLESS = 1e100


@compiled
def price(used: float, whole: float, steep: float) -> float:
    """What a unit costs: (1 + z/1024)^1024 of what there is, nearly e^z, with z = steep x (used - whole) / whole."""
    if whole <= 0:
        return _ENDLESS
    base = 1.0 + min(_HIGHEST, max(-1000.0, steep * (used - whole) / whole)) / 2**_SQUARINGS
    for _ in range(_SQUARINGS):
        base = base * base
    return float(base / whole)


@compiled
def priced(used: Numbers, whole: Numbers, steep: float) -> Numbers:
    """The prices of all resources of all clusters."""
    prices = np.empty_like(used)
    for cluster in range(len(used)):
        for resource in range(used.shape[1]):
            prices[cluster, resource] = price(used[cluster, resource], whole[cluster, resource], steep)
    return prices


@compiled
def change(
    asks: Numbers, cluster: int, replicas: int, whole: Numbers, used: Numbers, prices: Numbers, steep: float
) -> None:
    """So many replicas more (or fewer) on the cluster, and its prices as they are then."""
    for resource in range(len(asks)):
        if asks[resource] > 0:
            used[cluster, resource] += replicas * asks[resource]
            prices[cluster, resource] = price(used[cluster, resource], whole[cluster, resource], steep)


@compiled
def spread(
    asks: Numbers, may: Array, most: Array, replicas: int, portion: int, aims: Array, whole: Numbers, used: Numbers,
    prices: Numbers, steep: float,
) -> None:  # fmt: skip
    """Add so many replicas of one line to its aims, a portion at a time where they are cheapest; ties to the first."""
    while replicas > 0:
        best, least = -1, 0.0
        for cluster in range(len(may)):
            if may[cluster] == 0 or aims[cluster] >= most[cluster]:
                continue
            cost = 0.0
            for resource in range(len(asks)):
                cost += asks[resource] * prices[cluster, resource]
            cost /= may[cluster]
            if best < 0 or cost < least:
                best, least = cluster, cost
        if best < 0:
            return
        more = min(portion, replicas, most[best] - aims[best])
        aims[best] += more
        replicas -= more
        change(asks, best, more, whole, used, prices, steep)


@compiled
def look_ahead(
    asks: Numbers, may: Array, most: Array, wanted: Array, portions: Array, aims: Array, whole: Numbers, used: Numbers,
    rounds: int,
) -> None:  # fmt: skip
    """Place all lines, round after round, each anew among all the others, at prices that become steeper."""
    for turn in range(rounds):
        steep = _GENTLEST + (STEEPEST - _GENTLEST) * turn / max(1, rounds - 1)
        prices = priced(used, whole, steep)
        for line in range(len(asks)):
            for cluster in range(len(whole)):
                if aims[line, cluster] > 0:
                    change(asks[line], cluster, -aims[line, cluster], whole, used, prices, steep)
                    aims[line, cluster] = 0
            spread(
                asks[line], may[line], most[line], wanted[line], portions[line], aims[line], whole, used, prices, steep
            )  # fmt: skip


@compiled
def served(asks: Numbers, reach: Array, lines: Array, missing: Array, free: Numbers) -> Array:
    """How many replicas of each line would be placed if all clusters were one; the room of ``free`` is taken.

    ``lines`` and ``missing`` tell of each that waits, in order, what line he is of and how many replicas he lacks;
    ``reach`` is how many of a line could be placed at all.
    """
    wanted = np.zeros(len(asks), dtype=np.int64)
    for turn in range(len(lines)):
        line = lines[turn]
        replicas = min(missing[turn], reach[line] - wanted[line])
        for resource in range(asks.shape[1]):
            if asks[line, resource] > 0:
                replicas = min(replicas, int(max(0.0, free[resource]) / asks[line, resource]))
        wanted[line] += replicas
        for resource in range(asks.shape[1]):
            free[resource] -= replicas * asks[line, resource]
    return wanted


@compiled
def drawn(aims: Array, part: int, of: int) -> Array:
    """A part of a line's aims: its share of each, rounded down, and the rest where there is any, first to last."""
    found = np.zeros(len(aims), dtype=np.int64)
    left = 0
    for cluster in range(len(aims)):
        found[cluster] = aims[cluster] * part // max(1, of)
        left += aims[cluster]
    left = left * part // max(1, of)
    for cluster in range(len(aims)):
        left -= found[cluster]
    for cluster in range(len(aims)):
        more = min(max(0, left), aims[cluster] - found[cluster])
        found[cluster] += more
        left -= more
    return found


@compiled
def aimed(aims: Array, others: Array) -> Array:
    """Weights by which as many as are aimed at go there exactly, and what finds no room goes by ``others``.

    A replica aimed at counts more than twice as much as any of the other weights, so that it has the earlier seat.
    """
    total, highest = 0, 1
    for at in range(len(aims)):
        total += aims[at]
        highest = max(highest, others[at])
    if total == 0:
        return others
    unit = min(2**16, WEIGHT_MAX // (total + 1))
    weights = np.empty(len(aims), dtype=np.int64)
    for at in range(len(aims)):
        rest = others[at] * max(0, unit // 2 - 1) // highest
        weights[at] = aims[at] * unit + max(rest, min(others[at], 1, unit // 4))
    return weights
