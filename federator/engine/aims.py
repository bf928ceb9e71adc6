"""A turn all of whose aims have room: each replica goes where it aims at, and nothing else is looked at. Compiled.

What fills tiers (``engine/filling.py``) comes to the same, since as many as are aimed at go there exactly; but it
counts the room of every cluster first.
"""

from __future__ import annotations

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.division import WEIGHT_MAX
from federator.engine.filling import (
    AIM,
    BOUND,
    BY_FORESIGHT,
    FIRST,
    LAST,
    MAXIMUM,
    MINIMUM,
    PLACED,
    RESOURCE,
    TAKES,
    TIER,
    UNKNOWN,
    WEIGHT,
    WRITTEN,
)  # fmt: skip
from federator.engine.governing import BY_RULE
from federator.engine.rows import count_rooms

_MOST = WEIGHT_MAX // 8
"""Of more replicas each aimed at no longer counts more than twice as much as other weights (``foresight.aimed``)."""


@compiled
def take_aims(
    rows: Array, blocks: Array, first_lots: Array, asked: Array, terms: Array, members: Array, desk: Array,
    tiers: Array, wanted: int,
) -> bool:  # fmt: skip
    """Place one that holds nothing where it aims at; false, and nothing is placed, where more than that counts.

    All that is wanted must be aimed at, within bounds, at clusters of the first tier, which has neither minima nor a
    fillTo, and be room for on nodes that exist.
    """
    if len(tiers) == 0 or tiers[0, RESOURCE] >= 0 or tiers[0, FIRST] == tiers[0, LAST] or not 0 < wanted <= _MOST:
        return False
    first = desk[members[tiers[0, FIRST]]]
    if first[WRITTEN] != BY_RULE or first[WEIGHT] != BY_FORESIGHT:
        return False
    aims = 0
    for cluster in range(len(desk)):
        line = desk[cluster]
        if line[TIER] == 0 and line[MINIMUM] > 0:
            return False
        if line[AIM] > 0:
            if line[TIER] != 0 or not line[TAKES] or line[AIM] > min(line[BOUND], line[MAXIMUM]):
                return False
            aims += line[AIM]
    if aims != wanted:
        return False
    for cluster in range(len(desk)):
        line = desk[cluster]
        if line[AIM] > 0 and not line[UNKNOWN]:
            more, _ = count_rooms(rows, blocks, first_lots[cluster], first_lots[cluster + 1], asked, terms)
            if more < line[AIM]:
                return False
    for cluster in range(len(desk)):
        desk[cluster, PLACED] = desk[cluster, AIM]
    return True
