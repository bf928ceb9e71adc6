"""Shares whole replicas over clusters by weight: Sainte-Laguë (Webster), in closed form.

Seats are given one by one to the cluster with the largest ``w / (2 g + 1)``, where g is what it has been given. The
seat that lifts a cluster from j to j + 1 thus has the height ``(2 j + 1) / w``, and the N lowest seats are taken.
Instead of one by one, heights are searched below and above which the answer lies; only the few seats between them are
sorted. Heights are compared as integers, so the answer is exact.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array, between, counted_up, total

WEIGHT_MAX = 10**9
REPLICAS_MAX = 2**29
"""Beyond these the integers below would no longer fit into 64 bits."""

_FINE = 30
"""Bits of a height below the coarse ones: with 31 coarse bits behind the point they tell any two heights apart."""


def divide(wanted: int, weights: Array, given: Array, minima: Array, caps: Array) -> Array:
    """What each cluster gets of ``wanted`` replicas, the ``given`` ones (which stay) included.

    Clusters are in the order of their names. ``caps`` are the least of maximum and room. First the given, then each
    cluster is raised to its minimum (larger weight first, then name), then the rest goes by weight; ties go to fewer
    given, then name. Where all caps are reached, less than ``wanted`` is given.
    """
    shares = np.minimum(given, caps)
    left = wanted - total(shares)
    if left <= 0:
        return shares
    if minima.any():
        left -= _raise_to_minima(shares, left, weights, np.minimum(minima, caps))
    at = ((weights > 0) & (caps > shares)).nonzero()[0]
    if left > 0 and len(at):
        shares[at] = _seats(left, weights[at], shares[at], caps[at])
    return shares


def _raise_to_minima(shares: Array, left: int, weights: Array, minima: Array) -> int:
    """Raise ``shares`` in place, larger weight first; returns how many replicas that took."""
    lacking = np.maximum(minima - shares, 0)
    served = np.argsort(-weights, kind="stable")
    before = np.cumsum(lacking[served]) - lacking[served]
    granted = between(left - before, 0, lacking[served])
    shares[served] += granted
    return total(granted)


def _seats(left: int, weights: Array, given: Array, caps: Array) -> Array:
    """``given`` plus the ``left`` lowest seats above it; every weight is positive and every cap above what is given."""
    wanted = total(given) + left
    caps = np.minimum(caps, given + left)
    if total(caps) <= wanted:
        return caps
    if len(weights) == 1:
        return given + left
    most = int(caps.max())
    if int(weights.max()) > WEIGHT_MAX or most > REPLICAS_MAX:
        raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
    coarse = 62 - (2 * most + 1).bit_length()  # bits behind the point of a height that still fit
    low, high = _bracket(wanted, weights, given, caps, coarse)
    return _lowest(wanted, low, high, weights, coarse)


def _bracket(wanted: int, weights: Array, given: Array, caps: Array, coarse: int) -> tuple[Array, Array]:
    """Two sets of shares around the answer, below and not below ``wanted`` in all, that lie close together."""
    tops = ((2 * caps - 1) << coarse) // weights  # the height of each cluster's last seat
    bottom, top = -1, int(tops.max())
    low, high, below, above = given, caps, total(given), total(caps)
    few, weight = 2 * len(weights), total(weights)
    # Were no cluster given anything or capped, half a seat of rounding each would be all that this guess is off by.
    slack = (len(weights) << coarse) // weight + 1
    middle = (2 * wanted << coarse) // weight
    while above - below > few and top - bottom > 1:
        for height in (middle - slack, middle + slack, (bottom + top) // 2):
            if not bottom < height < top or above - below <= few:
                continue
            # min keeps the product below 2**62
            seats = ((np.minimum(tops, height) + 1) * weights - 1 >> coarse) + 1 >> 1
            shares = between(seats, given, caps)
            count = total(shares)
            if count < wanted:
                bottom, low, below = height, shares, count
            else:
                top, high, above = height, shares, count
        # Between the two the seats lie evenly, but for the clusters that open or close there.
        middle = bottom + (top - bottom) * (wanted - below) // max(1, above - below)
    return low, high


def _lowest(wanted: int, low: Array, high: Array, weights: Array, coarse: int) -> Array:
    """``low`` plus the lowest seats between ``low`` and ``high``, compared exactly, until ``wanted`` is reached."""
    counts = high - low
    owner = np.arange(len(weights)).repeat(counts)
    seat = counted_up(counts) + low[owner]
    weight = weights[owner]
    whole, rest = np.divmod((2 * seat + 1) << coarse, weight)
    needed = wanted - total(low)
    if needed >= len(owner):
        return high
    # Seats whose coarse height is below that of the last one needed are in; those that share it are told apart.
    last = np.partition(whole, needed - 1)[needed - 1]
    taken = whole < last
    close = (whole == last).nonzero()[0]
    fine = (rest[close] << _FINE) // weight[close]
    order = np.lexsort((owner[close], seat[close], fine))
    taken[close[order[: needed - total(taken)]]] = True
    return low + np.bincount(owner[taken], minlength=len(weights))
