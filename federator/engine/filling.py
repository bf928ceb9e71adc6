"""Fills tiers in their order: each up to its fillTo, then the next, then what is left over the tiers again. Compiled.

``Land`` is the federation as it stands, ``Kind`` what is the same for all alike roles, ``Case`` one role at its turn,
and ``Result`` what comes of it, written in place. Arrays are by cluster (C) or by tier (T) unless it says otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from federator.engine.arrays import UNLIMITED, Array, Mask
from federator.engine.compiled import compiled
from federator.engine.division import WEIGHT_MAX, divided
from federator.engine.governing import BY_RULE
from federator.engine.rows import count_rooms

UNWEIGHED = -1
"""The weight of a cluster whose tier was not divided."""
BY_ROOM = BY_RULE
"""In ``Kind.weights``: the cluster weighs as much as it has room."""
OPEN = -1.0
"""In ``Result.waits``: the tier is not waiting."""
NEVER_ASKED = -1.0
"""In ``Kind.open_after``: the tier says nothing of when it opens."""
CLOSED, AWAY, FULL = 0, 1, 2
"""How a tier stands towards what it did not take: nothing there ever could; all that could are silent; it is full."""


class Land(NamedTuple):
    """The nodes (see ``engine/rows.py``), and which clusters have ``unknown`` room or are ``working``."""

    rows: Array
    blocks: Array
    sums: Array
    first_lots: Array
    unknown: Mask
    working: Mask


class Kind(NamedTuple):
    """A policy for one shape: the ``members`` of tier t are those from ``offsets[t]`` on.

    ``written`` are the weights of the policy (negative: by a rule), ``weights`` those that count (``BY_ROOM`` where it
    is the room). ``fill`` is by tier and (0 existing nodes, 1 all) the dominant resource (-1: no limit), how much of it
    there is, and the use from which on the tier takes no more. ``away`` is whether all that could take it do not answer
    (1), beyond the grace (2), or not (0), ``away_s`` for how long.
    """

    tier: Array
    members: Array
    offsets: Array
    asked: Array
    terms: Array
    open: Mask
    written: Array
    weights: Array
    fill: Array
    open_after: NDArray[np.float64]
    away: Array
    away_s: NDArray[np.float64]


class Case(NamedTuple):
    """One role: what each cluster has ``held`` of it, what of that is ``firm``, and what may stay there (``home``).

    ``bound`` is how many more the quotas allow (0 where the cluster reported that none fits), ``full_s`` how long each
    tier has been full. ``afresh``: what runs in a tier is divided anew, but for the firm replicas.
    """

    wanted: int
    holds: bool
    afresh: bool
    autoscaled: bool
    grace_s: float
    held: Array
    firm: Array
    home: Array
    bound: Array
    minima: Array
    maxima: Array
    full_s: NDArray[np.float64]


class Result(NamedTuple):
    """What came of it: ``placed`` by cluster, and how the tiers stood.

    ``weights`` are those used, where a tier was divided. ``more`` and ``extra`` are the room of clusters whose tier
    was ``looked`` at: on nodes that exist, and on those that could. ``waits`` is for how long the tiers before one have
    been full or away (``OPEN``: it does not wait), ``at_fill`` which tiers stopped at their fillTo, ``full`` which
    turned replicas away (or would have).
    """

    placed: Array
    weights: Array
    more: Array
    extra: Array
    looked: Mask
    waits: NDArray[np.float64]
    at_fill: Mask
    full: Mask


@compiled
def fill_tiers(land: Land, kind: Kind, case: Case, result: Result) -> bool:
    """Give every replica that can have one a place; false where numbers were too large to be compared exactly."""
    left, last = case.wanted, -1
    for cluster in range(len(case.firm)):
        result.placed[cluster] = case.firm[cluster]
        left -= case.firm[cluster]
        if case.held[cluster] > 0:
            last = max(last, kind.tier[cluster])  # no tier after this one holds any of it
    passed = np.zeros((len(result.full), 2))
    for place in range(len(result.full)):
        if left <= 0 and place > last:
            break
        look(land, kind, case.bound, result.more, result.extra, result.looked, place)
        took = _next(land, kind, case, result, place, left, passed, last)
        if took < 0:
            return False
        left -= took
    if left > 0 and (result.waits == OPEN).all():
        for place in range(len(result.full)):
            if result.at_fill[place]:
                took = _serve(land, kind, case, result, place, left, False)
                if took < 0:
                    return False
                left -= took
    _stay_behind(case, result, left)
    return True


@compiled
def look(land: Land, kind: Kind, bound: Array, more: Array, extra: Array, looked: Mask, place: int) -> None:
    """Count the room of one tier's clusters, node by node, once."""
    if looked[place]:
        return
    looked[place] = True
    members = kind.members[kind.offsets[place] : kind.offsets[place + 1]]
    existing, potential = count_rooms(land.rows, land.blocks, land.first_lots, kind.asked, kind.terms, members)
    for at in range(len(members)):
        cluster = members[at]
        if kind.open[cluster]:
            room = UNLIMITED if land.unknown[cluster] else min(existing[at], UNLIMITED)
            more[cluster] = min(room, bound[cluster])
            extra[cluster] = min(potential[at], bound[cluster] - more[cluster])


@compiled
def _next(
    land: Land, kind: Kind, case: Case, result: Result, place: int, left: int, passed: NDArray[np.float64], last: int
) -> int:
    """Serve the next tier, if it is open, and note how it stands to what is left; returns how many it took."""
    if left > 0:
        result.waits[place] = _waits(kind, case, result, place, passed)
    took = _serve(land, kind, case, result, place, left, True)
    if took < 0 or (left - took == 0 and last <= place):
        return took
    takers = _some_taker(kind, case, result, place, False)
    if result.waits[place] == OPEN and takers and _is_full(land, kind, case, result, place):
        result.full[place] = True
    if kind.away[place] > 0:
        passed[place, 0], passed[place, 1] = AWAY, kind.away_s[place]
    elif takers:
        passed[place, 0], passed[place, 1] = FULL, case.full_s[place]
    return took


@compiled
def _waits(kind: Kind, case: Case, result: Result, place: int, passed: NDArray[np.float64]) -> float:
    """For how long the tiers before it have stood as they do, if it must still wait for them; else ``OPEN``."""
    least, graceful, standing = np.inf, case.grace_s, False
    for before in range(place):
        if result.waits[before] != OPEN:
            return 0.0  # the tier before it is not even open
        if passed[before, 0] == CLOSED:
            continue
        standing = True
        least = min(least, passed[before, 1])
        if passed[before, 0] == AWAY and kind.away[before] == 1:
            graceful = min(graceful, passed[before, 1])
    if not standing:
        return OPEN
    if kind.open_after[place] != NEVER_ASKED:
        return OPEN if least >= kind.open_after[place] else least
    return OPEN if graceful >= case.grace_s else graceful


@compiled
def _serve(land: Land, kind: Kind, case: Case, result: Result, place: int, left: int, limited: bool) -> int:
    """Fill one tier with up to ``left`` more replicas; returns how many it took, negative where that failed."""
    members = kind.members[kind.offsets[place] : kind.offsets[place + 1]]
    if left <= 0 or len(members) == 0:
        return 0
    before = result.placed[members]
    stays, wanted = before.copy(), left
    for at in range(len(members)):
        wanted += before[at]
        if case.holds and limited and not case.afresh:
            stays[at] = max(before[at], case.home[members[at]])
    if stays.sum() > wanted:  # what runs here is more than is wanted here: the firm stay, the rest shrinks
        weights = _weights(land, kind, members, wanted, case.home[members])
        shares, legal = _shrink(wanted, weights, before, stays)
        _write(result.placed, members, shares)
        return left if legal else -1
    now = stays
    if result.waits[place] == OPEN:
        now = _grow(land, kind, case, result, place, members, wanted, stays, limited)
        if len(now) == 0:
            return -1
    _write(result.placed, members, now)
    return int(now.sum() - before.sum())


@compiled
def _write(into: Array, members: Array, values: Array) -> None:
    for at in range(len(members)):
        into[members[at]] = values[at]


@compiled
def _shrink(wanted: int, weights: Array, firm: Array, runs: Array) -> tuple[Array, bool]:
    """Divide fewer replicas than run, with what runs as caps; clusters without weight lose theirs first."""
    nothing = np.zeros_like(runs)
    kept, legal = divided(wanted, weights, firm, nothing, runs)
    if kept.sum() < wanted:
        kept, _ = divided(wanted, np.ones_like(weights), kept, nothing, runs)
    return kept, legal


@compiled
def _grow(
    land: Land, kind: Kind, case: Case, result: Result, place: int, members: Array, wanted: int, given: Array,
    limited: bool,
) -> Array:  # fmt: skip
    """Divide over the tier what it takes: on nodes that exist, then on those that could; empty where it failed."""
    minima, maxima = case.minima[members], case.maxima[members]
    reach, extra, now = result.more[members], result.extra[members], given
    for at in range(len(members)):
        if case.holds:
            reach[at] += case.home[members[at]]
    autoscaled = case.autoscaled and extra.sum() > 0
    for potential in range(2 if autoscaled else 1):
        caps = np.empty(len(members), dtype=np.int64)
        for at in range(len(members)):
            reach[at] += extra[at] if potential else 0
            caps[at] = max(min(reach[at], maxima[at]), now[at])
        weights = _weights(land, kind, members, wanted, reach)
        _write(result.weights, members, weights)
        takes = wanted
        limit = fill_limit(land, kind, case, place, potential) if limited else UNLIMITED
        if limit < UNLIMITED:
            takes = max(now.sum(), min(wanted, limit + case.held[members].sum()))
            result.at_fill[place] = takes < wanted
        now, legal = divided(takes, weights, now, minima, caps)
        if not legal:
            return now[:0]
        if now.sum() >= wanted:
            break
    return now


@compiled
def _weights(land: Land, kind: Kind, members: Array, wanted: int, reach: Array) -> Array:
    """The weights of a tier's clusters, which can hold up to ``reach`` each."""
    weights = kind.weights[members]
    for at in range(len(members)):
        if weights[at] == BY_ROOM:
            room = min(reach[at], wanted) if land.unknown[members[at]] else reach[at]
            weights[at] = min(room, WEIGHT_MAX)
    return weights


@compiled
def fill_limit(land: Land, kind: Kind, case: Case, place: int, potential: int) -> int:
    """How many more replicas the tier takes before its fill reaches fillTo (below zero: it is over it already).

    ``UNLIMITED`` at 100%: the room itself is the limit.
    """
    resource, whole, goal = kind.fill[place, potential]
    if resource < 0:
        return UNLIMITED
    used, asked = whole, 1
    for at in range(kind.offsets[place], kind.offsets[place + 1]):
        cluster = kind.members[at]
        if land.working[cluster]:
            used -= land.sums[0, cluster, resource]
            if potential:
                used -= land.sums[1, cluster, resource]
    for term in range(len(kind.asked)):
        if kind.asked[term, 0] == resource:
            asked = kind.asked[term, 1]
    return int(-((used - goal) // asked))


@compiled
def _some_taker(kind: Kind, case: Case, result: Result, place: int, with_room: bool) -> bool:
    """Whether one of the tier's clusters would take more of it if it had room; or has that room."""
    for at in range(kind.offsets[place], kind.offsets[place + 1]):
        cluster = kind.members[at]
        if not kind.open[cluster] or kind.written[cluster] == 0 or result.placed[cluster] >= case.maxima[cluster]:
            continue
        room = result.more[cluster] + result.extra[cluster]
        if not with_room or room > result.placed[cluster] - case.home[cluster]:
            return True
    return False


@compiled
def _is_full(land: Land, kind: Kind, case: Case, result: Result, place: int) -> bool:
    """Whether none of those has room, or the tier has reached its fillTo."""
    if result.at_fill[place] or not _some_taker(kind, case, result, place, True):
        return True
    members = kind.members[kind.offsets[place] : kind.offsets[place + 1]]
    limit = fill_limit(land, kind, case, place, 1 if result.extra[members].sum() > 0 else 0)
    return limit < UNLIMITED and (result.placed[members] - case.home[members]).sum() >= limit


@compiled
def _stay_behind(case: Case, result: Result, left: int) -> None:
    """What found no other place stays where it is: on draining clusters and on those that would not take it now."""
    for cluster in range(len(case.held)):
        loose = min(case.held[cluster], case.maxima[cluster]) - result.placed[cluster]
        if left > 0 and loose > 0:
            stays = min(left, loose)
            result.placed[cluster] += stays
            left -= stays
