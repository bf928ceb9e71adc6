"""Shares whole replicas over clusters by weight: Sainte-Laguë (Webster), in closed form.

Seats are given one by one to the cluster with the largest ``w / (2 g + 1)``, where g is what it has been given. The
seat that lifts a cluster from j to j + 1 thus has the height ``(2 j + 1) / w``, and the N lowest seats are taken.
Instead of one by one, heights are searched below and above which the answer lies; only the few seats between them are
given in their order. Heights are compared as integers, so the answer is exact.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array
from federator.engine.compiled import compiled

WEIGHT_MAX = 10**9
REPLICAS_MAX = 2**29
"""Beyond these the integers below would no longer fit into 64 bits."""


def divide(wanted: int, weights: Array, given: Array, minima: Array, caps: Array) -> Array:
    """What each cluster gets of ``wanted`` replicas, the ``given`` ones (which stay) included.

    Clusters are in the order of their names. ``caps`` are the least of maximum and room. First the given, then each
    cluster is raised to its minimum (larger weight first, then name), then the rest goes by weight; ties go to fewer
    given, then name. Where all caps are reached, less than ``wanted`` is given.
    """
    shares, legal = divided(wanted, weights, given, minima, caps)
    if not legal:
        raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
    return shares


@compiled
def divided(wanted: int, weights: Array, given: Array, minima: Array, caps: Array) -> tuple[Array, bool]:
    """``divide``, and whether all numbers were within what can be compared exactly."""
    shares = np.empty(len(weights), dtype=np.int64)
    left = wanted
    lacking = 0
    for at in range(len(weights)):
        shares[at] = min(given[at], caps[at])
        left -= shares[at]
        lacking += max(0, min(minima[at], caps[at]) - shares[at])
    if left > 0 and lacking > 0:
        left -= _raise_to_minima(shares, left, weights, minima, caps)
    if left <= 0:
        return shares, True
    return shares, _give_seats(shares, left, weights, caps)


@compiled
def _raise_to_minima(shares: Array, left: int, weights: Array, minima: Array, caps: Array) -> int:
    """Raise ``shares`` in place, larger weight first, then name; returns how many replicas that took."""
    served = np.zeros(len(shares), dtype=np.bool_)
    taken = 0
    for _ in range(len(shares)):
        first = -1
        for at in range(len(shares)):
            if not served[at] and (first < 0 or weights[at] > weights[first]):
                first = at
        served[first] = True
        granted = min(left - taken, max(0, min(minima[first], caps[first]) - shares[first]))
        shares[first] += granted
        taken += granted
    return taken


@compiled
def _give_seats(shares: Array, left: int, weights: Array, caps: Array) -> bool:
    """Give the ``left`` lowest seats above ``shares``, in place, to clusters with weight that are below their cap."""
    tops = np.empty(len(shares), dtype=np.int64)
    room, most, heaviest = 0, 0, 0
    for at in range(len(shares)):
        open_ = weights[at] > 0 and caps[at] > shares[at]
        tops[at] = min(caps[at], shares[at] + left) if open_ else shares[at]
        room += tops[at] - shares[at]
        if open_:
            most, heaviest = max(most, tops[at]), max(heaviest, weights[at])
    if room <= left:
        for at in range(len(shares)):
            shares[at] = tops[at]
        return True
    if heaviest > WEIGHT_MAX or most > REPLICAS_MAX:
        return False
    left -= _give_low_seats(shares, left, room, weights, tops)
    _give_one_by_one(left, shares, weights, tops)
    return True


@compiled
def _give_low_seats(shares: Array, left: int, room: int, weights: Array, tops: Array) -> int:
    """Give, in place, all seats up to some height: as many as ``left`` or few less; returns how many.

    Heights are whole numbers with so many bits behind the point (``coarse``) that products still fit; the search
    between two heights halves, after first guesses at where the answer would be if nothing were given or capped.
    """
    clusters, weight, most, last = 0, 0, 0, 0
    for at in range(len(shares)):
        if tops[at] > shares[at]:
            clusters, weight, most = clusters + 1, weight + weights[at], max(most, tops[at])
    coarse, bits = 62, 2 * most + 1
    while bits > 0:
        bits, coarse = bits >> 1, coarse - 1
    for at in range(len(shares)):
        if tops[at] > shares[at]:
            last = max(last, ((2 * tops[at] - 1) << coarse) // weights[at])
    bottom, top, below, above = -1, last, 0, room
    slack = (clusters << coarse) // weight + 1
    guess = (2 * left << coarse) // weight
    while above - below > 2 * clusters and top - bottom > 1:
        for height in (guess - slack, guess + slack, (bottom + top) // 2):
            if not bottom < height < top or above - below <= 2 * clusters:
                continue
            count = 0
            for at in range(len(shares)):
                if tops[at] > shares[at]:
                    count += _seats(height, shares[at], tops[at], weights[at], coarse) - shares[at]
            if count < left:
                bottom, below = height, count
            else:
                top, above = height, count
        # Between the two the seats lie evenly, but for the clusters that open or close there.
        guess = bottom + (top - bottom) * (left - below) // max(1, above - below)
    if bottom >= 0:
        for at in range(len(shares)):
            if tops[at] > shares[at]:
                shares[at] = _seats(bottom, shares[at], tops[at], weights[at], coarse)
    return below


@compiled
def _seats(height: int, given: int, cap: int, weight: int, coarse: int) -> int:
    """How many seats of one cluster are not above the height; what is given counts in any case."""
    if height >= ((2 * cap - 1) << coarse) // weight:
        return cap
    return max(given, ((height + 1) * weight - 1 >> coarse) + 1 >> 1)


@compiled
def _give_one_by_one(seats: int, shares: Array, weights: Array, caps: Array) -> None:
    """Give so many more seats, lowest first, in place: a heap of each cluster's next seat."""
    heap = np.nonzero(caps > shares)[0]
    size = len(heap)
    for at in range(size // 2 - 1, -1, -1):
        _sift(heap, size, at, shares, weights)
    while seats > 0 and size > 0:
        first = heap[0]
        shares[first] += 1
        seats -= 1
        if shares[first] >= caps[first]:
            size -= 1
            heap[0] = heap[size]
        _sift(heap, size, 0, shares, weights)


@compiled
def _sift(heap: Array, size: int, at: int, shares: Array, weights: Array) -> None:
    """Let the cluster at this place sink until none below it comes before it."""
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _comes_before(heap[child + 1], heap[child], shares, weights):
            child += 1
        if not _comes_before(heap[child], heap[at], shares, weights):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@compiled
def _comes_before(one: int, other: int, shares: Array, weights: Array) -> bool:
    """Whether the next seat of one cluster is lower than another's; ties go to fewer given, then name."""
    mine, others = (2 * shares[one] + 1) * weights[other], (2 * shares[other] + 1) * weights[one]
    if mine != others:
        return bool(mine < others)
    if shares[one] != shares[other]:
        return bool(shares[one] < shares[other])
    return one < other
