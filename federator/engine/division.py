"""Shares whole replicas over clusters by weight: Sainte-Laguë (Webster), in closed form.

Seats are given one by one to the cluster with the largest ``w / (2 g + 1)``, where g is what it has been given. The
seat that lifts a cluster from j to j + 1 thus has the height ``(2 j + 1) / w``, and the N lowest seats are taken.
Instead of one by one, a height is searched below which just under N seats lie; only the few around it are sorted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]

WEIGHT_MAX = 10**9
REPLICAS_MAX = 2**29
"""Beyond these the integers below would no longer fit into 64 bits."""

_FINE = 30
"""Bits of a height below the coarse ones: with 31 coarse bits behind the point they tell any two heights apart."""


def divide(total: int, weights: Array, given: Array, minima: Array, caps: Array) -> Array:
    """What each cluster gets of ``total`` replicas, the ``given`` ones (which stay) included.

    Clusters are in the order of their names. ``caps`` are the least of maximum and room. First the given, then each
    cluster is raised to its minimum (larger weight first, then name), then the rest goes by weight; ties go to fewer
    given, then name. Where all caps are reached, less than ``total`` is given.
    """
    shares = np.minimum(given, caps) if (given > caps).any() else given.copy()
    left = total - int(shares.sum())
    if left <= 0:
        return shares
    if minima.any():
        left -= _raise_to_minima(shares, left, weights, np.minimum(minima, caps))
    open_to_more = (weights > 0) & (caps > shares)
    if left > 0 and open_to_more.any():
        at = np.flatnonzero(open_to_more)
        shares[at] = _seats(left, weights[at], shares[at], caps[at])
    return shares


def _raise_to_minima(shares: Array, left: int, weights: Array, minima: Array) -> int:
    """Raise ``shares`` in place, larger weight first; returns how many replicas that took."""
    lacking = np.maximum(minima - shares, 0)
    served = np.argsort(-weights, kind="stable")
    before = np.cumsum(lacking[served]) - lacking[served]
    granted = np.clip(left - before, 0, lacking[served])
    shares[served] += granted
    return int(granted.sum())


def _seats(left: int, weights: Array, given: Array, caps: Array) -> Array:
    """``given`` plus the ``left`` lowest seats above it; every weight is positive and every cap above what is given."""
    wanted = int(given.sum()) + left
    caps = np.minimum(caps, given + left)
    if int(caps.sum()) <= wanted:
        return caps
    if len(weights) == 1:
        return given + left
    if int(weights.max()) > WEIGHT_MAX or int(caps.max()) > REPLICAS_MAX:
        raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
    coarse = 62 - int(2 * caps.max() + 1).bit_length()  # bits behind the point of a height that still fit
    low, high = _bracket(wanted, weights, given, caps, coarse)
    return _lowest(wanted, low, high, weights, coarse)


def _bracket(wanted: int, weights: Array, given: Array, caps: Array, coarse: int) -> tuple[Array, Array]:
    """Two sets of shares around the answer, below and not below ``wanted`` in all, that lie close together."""
    tops = ((2 * caps - 1) << coarse) // weights  # the height of each cluster's last seat
    bottom, top = -1, int(tops.max())
    low, high = given, caps
    few = 2 * len(weights)
    while int((high - low).sum()) > few and top - bottom > 1:
        # Between the two the seats lie evenly, but for the clusters that open or close there.
        below, above = int(low.sum()), int(high.sum())
        middle = bottom + max(1, (top - bottom) * (wanted - below) // max(1, above - below))
        for height in _around(middle, bottom, top, len(weights), int(weights.sum()), coarse):
            heights = np.minimum(height, tops)  # keeps the product below 2**62
            shares = np.clip((((heights + 1) * weights - 1 >> coarse) + 1) >> 1, given, caps)
            if int(shares.sum()) < wanted:
                if height > bottom:
                    bottom, low = height, shares
            elif height < top:
                top, high = height, shares
    return low, high


def _around(middle: int, bottom: int, top: int, clusters: int, weight: int, coarse: int) -> tuple[int, ...]:
    """Heights to try: the guess with the rounding of every cluster on either side, and the half, so it always ends."""
    slack = (clusters << coarse) // weight + 1
    tries = (middle - slack, middle + slack, (bottom + top) // 2)
    return tuple(height for height in tries if bottom < height < top)


def _lowest(wanted: int, low: Array, high: Array, weights: Array, coarse: int) -> Array:
    """``low`` plus the lowest seats between ``low`` and ``high``, compared exactly, until ``wanted`` is reached."""
    counts = high - low
    owner = np.repeat(np.arange(len(weights)), counts)
    seat = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts) + low[owner]
    scaled = (2 * seat + 1) << coarse
    whole, rest = np.divmod(scaled, weights[owner])
    fine = (rest << _FINE) // weights[owner]
    order = np.lexsort((owner, seat, fine, whole))[: wanted - int(low.sum())]
    return low + np.bincount(owner[order], minlength=len(weights)).astype(np.int64)
