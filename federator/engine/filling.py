"""Fills tiers in their order: each up to its fillTo, then the next, then what is left over the tiers again. Compiled.

A role at its turn lies in three tables, whose columns are named below: ``desk`` by cluster, ``tiers`` and ``times`` by
tier. What comes of it is written into them. ``members`` are the clusters of all tiers, one tier after the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federator.engine.arrays import UNLIMITED, Array
from federator.engine.compiled import compiled
from federator.engine.division import WEIGHT_MAX, divided
from federator.engine.foresight import aimed
from federator.engine.governing import BY_RULE
from federator.engine.nearness import weighed_down
from federator.engine.rows import count_rooms

Times = NDArray[np.float64]

TIER, TAKES, UNKNOWN, WORKING, WRITTEN, WEIGHT = 0, 1, 2, 3, 4, 5
"""Of a cluster: its tier, whether it takes such replicas, has unknown room, is working (counts in its tier's fill); the
weight as it is written in the policy (negative: by a rule), and the one that counts (or ``BY_ROOM``, ``BY_FIT``,
``BY_FORESIGHT``)."""
HELD, FIRM, HOME, BOUND, MINIMUM, MAXIMUM = 6, 7, 8, 9, 10, 11
"""Of a cluster: what it holds of the role, what of that is firm, what may stay there; how many more quotas allow (0
where the cluster reported that none fits); the bounds of the policy."""
PLACED, USED, MORE, EXTRA = 12, 13, 14, 15
"""What comes of a cluster: the replicas there, the weight used (``UNWEIGHED``: its tier was not divided), and its room
on nodes that exist and on those that could."""
FIT = 16
"""How well a cluster fits, where that counts in its weight (``engine/fit.py``)."""
NEAR = 17
"""Of a cluster: how near to the workload's data it is (see ``engine/nearness.py``)."""
AIM = 18
"""How many replicas should be there, where that counts in its weight (``engine/outlook.py``)."""
DESK = 19

FIRST, LAST, RESOURCE, WHOLE, GOAL, AWAY = 0, 1, 2, 3, 4, 8
"""Of a tier: its first member and the one after its last; twice three columns, for nodes that exist and for all: the
dominant resource (-1: no limit), how much of it there is, the use from which on the tier takes no more; whether all
that could take it do not answer (1), beyond the grace (2), or one does (0)."""
LOOKED, AT_FILL, FULL = 9, 10, 11
"""What comes of a tier: whether its room was counted, it stopped at its fillTo, it turned replicas away (or would)."""
TIERS = 12

OPEN_AFTER, AWAY_S, FULL_S, WAITS = 0, 1, 2, 3
"""Of a tier: when it opens (``UNSAID``), for how long it has been away, and full; and what comes of it: for how long
the tiers before it have been full or away, where it must still wait for them (``OPEN``: it need not)."""
TIMES = 4

BY_ROOM = BY_RULE
BY_FIT = BY_RULE - 1
BY_FORESIGHT = BY_RULE - 2
"""As a weight of a cluster: its room, its room times how well it fits, and its aim (that product behind it)."""
FIT_SCALE = 7
"""Weights by fit are the product less so many bits."""
UNWEIGHED = -1
UNSAID = -1.0
OPEN = -1.0

_IS_CLOSED, _IS_AWAY, _IS_FULL = 0.0, 1.0, 2.0
"""How a tier stands towards what it did not take: nothing there ever could; all that could are silent; it is full."""


@compiled
def fill_tiers(
    rows: Array, blocks: Array, sums: Array, first_lots: Array, asked: Array, terms: Array,
    members: Array, desk: Array, tiers: Array, times: Times, wanted: int, afresh: bool, grace_s: float,
) -> bool:  # fmt: skip
    """Give every replica that can have one a place; false where numbers were too large to be compared exactly.

    ``afresh``: what runs in a tier is divided anew, but for the firm replicas. ``grace_s`` is the outage grace.
    """
    left, last = wanted, -1
    for cluster in range(len(desk)):
        desk[cluster, PLACED] = desk[cluster, FIRM]
        left -= desk[cluster, FIRM]
        if desk[cluster, HELD] > 0:
            last = max(last, desk[cluster, TIER])  # no tier after this one holds any of it
    passed = np.zeros((len(tiers), 2))
    closed = False
    for place in range(len(tiers)):
        if left <= 0 and place > last:
            break
        look(rows, blocks, first_lots, asked, terms, members, desk, tiers, place)
        if left > 0:
            times[place, WAITS] = 0.0 if closed else _waits(tiers, times, passed, place, grace_s)
            closed = times[place, WAITS] != OPEN
        took = _serve(sums, asked, members, desk, tiers, place, left, not closed, True, not afresh)
        if took < 0:
            return False
        left -= took
        if left > 0 or last > place:
            takers = _takers(members, desk, tiers, place, False)
            if takers and not closed and _is_full(sums, asked, members, desk, tiers, place):
                tiers[place, FULL] = 1
            if tiers[place, AWAY] > 0:
                passed[place, 0], passed[place, 1] = _IS_AWAY, times[place, AWAY_S]
            elif takers:
                passed[place, 0], passed[place, 1] = _IS_FULL, times[place, FULL_S]
    for place in range(len(tiers)):
        if left > 0 and not closed and tiers[place, AT_FILL]:
            took = _serve(sums, asked, members, desk, tiers, place, left, True, False, False)
            if took < 0:
                return False
            left -= took
    _stay_behind(desk, left)
    return True


@compiled
def look(
    rows: Array, blocks: Array, first_lots: Array, asked: Array, terms: Array,
    members: Array, desk: Array, tiers: Array, place: int,
) -> None:  # fmt: skip
    """Count the room of one tier's clusters, node by node, once."""
    if tiers[place, LOOKED]:
        return
    tiers[place, LOOKED] = 1
    for at in range(tiers[place, FIRST], tiers[place, LAST]):
        cluster = members[at]
        if desk[cluster, TAKES]:
            more, extra = count_rooms(rows, blocks, first_lots[cluster], first_lots[cluster + 1], asked, terms)
            room = UNLIMITED if desk[cluster, UNKNOWN] else min(more, UNLIMITED)
            desk[cluster, MORE] = min(room, desk[cluster, BOUND])
            desk[cluster, EXTRA] = min(extra, desk[cluster, BOUND] - desk[cluster, MORE])


@compiled
def _waits(tiers: Array, times: Times, passed: Times, place: int, grace_s: float) -> float:
    """For how long the tiers before it have stood as they do, if it must still wait for them; else ``OPEN``."""
    least, graceful, standing = np.inf, grace_s, False
    for before in range(place):
        if passed[before, 0] != _IS_CLOSED:
            standing = True
            least = min(least, passed[before, 1])
            if passed[before, 0] == _IS_AWAY and tiers[before, AWAY] == 1:
                graceful = min(graceful, passed[before, 1])
    if not standing:
        return OPEN
    if times[place, OPEN_AFTER] != UNSAID:
        return OPEN if least >= times[place, OPEN_AFTER] else least
    return OPEN if graceful >= grace_s else graceful


@compiled
def _column(members: Array, desk: Array, tiers: Array, place: int, column: int) -> Array:
    """One column of the tier's clusters."""
    first = tiers[place, FIRST]
    values = np.empty(tiers[place, LAST] - first, dtype=np.int64)
    for at in range(len(values)):
        values[at] = desk[members[first + at], column]
    return values


@compiled
def _write(members: Array, desk: Array, tiers: Array, place: int, column: int, values: Array) -> None:
    for at in range(len(values)):
        desk[members[tiers[place, FIRST] + at], column] = values[at]


@compiled
def _sum(values: Array) -> int:
    total = 0
    for value in values:
        total += value
    return total


@compiled
def _serve(
    sums: Array, asked: Array, members: Array, desk: Array, tiers: Array, place: int, left: int,
    is_open: bool, limited: bool, keeps: bool,
) -> int:  # fmt: skip
    """Fill one tier with up to ``left`` more replicas; returns how many it took, negative where that failed.

    ``limited``: up to its fillTo only. ``keeps``: what runs here stays here, beyond what is firm.
    """
    if left <= 0 or tiers[place, FIRST] == tiers[place, LAST]:
        return 0
    if _has_nothing(members, desk, tiers, place):
        if is_open:
            _turn_away(sums, asked, members, desk, tiers, place, left, limited)
        return 0
    before = _column(members, desk, tiers, place, PLACED)
    taken = _sum(before)
    wanted, now = taken + left, before
    if keeps:
        now = np.maximum(before, _column(members, desk, tiers, place, HOME))
        if _sum(now) > wanted:  # what runs here is more than is wanted here: the firm stay, the rest shrinks
            now, legal = _shrink(members, desk, tiers, place, wanted, before, now)
            _write(members, desk, tiers, place, PLACED, now)
            return left if legal else -1
    if is_open:
        now, legal = _grow(sums, asked, members, desk, tiers, place, wanted, now, limited)
        if not legal:
            return -1
    _write(members, desk, tiers, place, PLACED, now)
    return _sum(now) - taken


@compiled
def _has_nothing(members: Array, desk: Array, tiers: Array, place: int) -> bool:
    """Whether the tier, which is divided by room, has no room and none that may stay."""
    for at in range(tiers[place, FIRST], tiers[place, LAST]):
        line = desk[members[at]]
        if line[WEIGHT] != BY_ROOM or line[PLACED] or line[HOME] or line[MORE] or line[EXTRA]:
            return False
    return True


@compiled
def _turn_away(
    sums: Array, asked: Array, members: Array, desk: Array, tiers: Array, place: int, left: int, limited: bool
) -> None:
    """What ``_grow`` comes to where there is nothing: no weight, and stopped at its fillTo if that is reached."""
    held = 0
    for at in range(tiers[place, FIRST], tiers[place, LAST]):
        desk[members[at], USED] = 0
        held += desk[members[at], HELD]
    limit = fill_limit(sums, asked, members, desk, tiers, place, 0) if limited else UNLIMITED
    if limit < UNLIMITED:
        tiers[place, AT_FILL] = limit + held < left


@compiled
def _shrink(
    members: Array, desk: Array, tiers: Array, place: int, wanted: int, firm: Array, runs: Array
) -> tuple[Array, bool]:
    """Divide fewer replicas than run, with what runs as caps; clusters without weight lose theirs first."""
    nothing = np.zeros(len(runs), dtype=np.int64)
    weights = _weights(members, desk, tiers, place, wanted, _column(members, desk, tiers, place, HOME))
    kept, legal = divided(wanted, weights, firm, nothing, runs)
    if _sum(kept) < wanted:
        kept, _ = divided(wanted, nothing + 1, kept, nothing, runs)
    return kept, legal


@compiled
def _grow(
    sums: Array, asked: Array, members: Array, desk: Array, tiers: Array, place: int, wanted: int, now: Array,
    limited: bool,
) -> tuple[Array, bool]:  # fmt: skip
    """Divide over the tier what it takes: first on nodes that exist, then on those that could."""
    minima, maxima = _column(members, desk, tiers, place, MINIMUM), _column(members, desk, tiers, place, MAXIMUM)
    reach, extra = _column(members, desk, tiers, place, MORE), _column(members, desk, tiers, place, EXTRA)
    reach += _column(members, desk, tiers, place, HOME)
    for potential in range(2 if _sum(extra) > 0 else 1):
        if potential:
            reach += extra
        caps = np.maximum(np.minimum(reach, maxima), now)
        weights = _weights(members, desk, tiers, place, wanted, reach)
        _write(members, desk, tiers, place, USED, weights)
        takes = wanted
        limit = fill_limit(sums, asked, members, desk, tiers, place, potential) if limited else UNLIMITED
        if limit < UNLIMITED:
            limit += _sum(_column(members, desk, tiers, place, HELD))
            takes = max(_sum(now), min(wanted, limit))
            tiers[place, AT_FILL] = takes < wanted
        now, legal = divided(takes, weights, now, minima, caps)
        if not legal or _sum(now) >= wanted:
            return now, legal
    return now, True


@compiled
def _weights(members: Array, desk: Array, tiers: Array, place: int, wanted: int, reach: Array) -> Array:
    """The weights of a tier's clusters, which can hold up to ``reach`` each."""
    weights = _column(members, desk, tiers, place, WEIGHT)
    for at in range(len(weights)):
        if weights[at] < 0:
            line = desk[members[tiers[place, FIRST] + at]]
            room = min(reach[at], wanted) if line[UNKNOWN] else reach[at]
            if weights[at] != BY_ROOM:
                room = max(min(room, 1), room * line[FIT] >> FIT_SCALE)
            weights[at] = min(room, WEIGHT_MAX)
    if len(weights) and desk[members[tiers[place, FIRST]], WRITTEN] == BY_RULE:
        weights = weighed_down(weights, _column(members, desk, tiers, place, NEAR))
        if desk[members[tiers[place, FIRST]], WEIGHT] == BY_FORESIGHT:
            weights = aimed(_column(members, desk, tiers, place, AIM), weights)
    return weights


@compiled
def fill_limit(sums: Array, asked: Array, members: Array, desk: Array, tiers: Array, place: int, potential: int) -> int:
    """How many more replicas the tier takes before its fill reaches fillTo (below zero: it is over it already).

    ``UNLIMITED`` at 100%: the room itself is the limit.
    """
    resource = tiers[place, RESOURCE + 3 * potential]
    if resource < 0:
        return UNLIMITED
    used = tiers[place, WHOLE + 3 * potential]
    for at in range(tiers[place, FIRST], tiers[place, LAST]):
        if desk[members[at], WORKING]:
            for kind in range(potential + 1):
                used -= sums[kind, members[at], resource]
    each = 1
    for term in range(len(asked)):
        if asked[term, 0] == resource:
            each = asked[term, 1]
    return int(-((used - tiers[place, GOAL + 3 * potential]) // each))


@compiled
def _takers(members: Array, desk: Array, tiers: Array, place: int, with_room: bool) -> bool:
    """Whether one of the tier's clusters would take more of it if it had room; or even has that room."""
    for at in range(tiers[place, FIRST], tiers[place, LAST]):
        line = desk[members[at]]
        taker = line[TAKES] and line[WRITTEN] != 0 and line[PLACED] < line[MAXIMUM]
        if taker and (not with_room or line[MORE] + line[EXTRA] > line[PLACED] - line[HOME]):
            return True
    return False


@compiled
def _is_full(sums: Array, asked: Array, members: Array, desk: Array, tiers: Array, place: int) -> bool:
    """Whether none of those has room, or the tier has reached its fillTo."""
    if tiers[place, AT_FILL] or not _takers(members, desk, tiers, place, True):
        return True
    grown, potential = 0, 0
    for at in range(tiers[place, FIRST], tiers[place, LAST]):
        line = desk[members[at]]
        grown += line[PLACED] - line[HOME]
        potential = max(potential, min(1, line[EXTRA]))
    limit = fill_limit(sums, asked, members, desk, tiers, place, potential)
    return bool(limit < UNLIMITED and grown >= limit)


@compiled
def _stay_behind(desk: Array, left: int) -> None:
    """What found no other place stays where it is: on draining clusters and on those that would not take it now."""
    for cluster in range(len(desk)):
        loose = min(desk[cluster, HELD], desk[cluster, MAXIMUM]) - desk[cluster, PLACED]
        if left > 0 and loose > 0:
            stays = min(left, loose)
            desk[cluster, PLACED] += stays
            left -= stays
