"""A turn whose replicas have room where they aim at: each goes there, and nothing else is looked at. Compiled.

What fills tiers (``engine/filling.py``) comes to the same, since as many as are aimed at and have room go there
exactly; but it counts the room of every cluster first.
"""

from __future__ import annotations

import numpy as np

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

    All that is wanted, and no more, must have room where it is aimed at: within bounds, on nodes that exist, on
    clusters of the first tier, which has neither minima nor a fillTo.
    """
    if len(tiers) == 0 or tiers[0, RESOURCE] >= 0 or tiers[0, FIRST] == tiers[0, LAST] or wanted <= 0:
        return False
    first = desk[members[tiers[0, FIRST]]]
    if first[WRITTEN] != BY_RULE or first[WEIGHT] != BY_FORESIGHT:
        return False
    aims = 0
    for cluster in range(len(desk)):
        line = desk[cluster]
        if line[TIER] == 0 and line[MINIMUM] > 0:
            return False
        if line[AIM] > 0 and (line[TIER] != 0 or not line[TAKES]):
            return False
        aims += line[AIM]
    if not wanted <= aims <= _MOST:
        return False
    placed = have_room(
        rows, blocks, first_lots, asked, terms, desk[:, AIM], np.minimum(desk[:, BOUND], desk[:, MAXIMUM]),
        desk[:, UNKNOWN],
    )  # fmt: skip
    if placed.sum() != wanted:
        return False
    desk[:, PLACED] = placed
    return True


@compiled
def have_room(
    rows: Array, blocks: Array, first_lots: Array, asked: Array, terms: Array, aims: Array, most: Array, unknown: Array
) -> Array:
    """How many of the replicas aimed at have room, by cluster, of which ``most`` may be there."""
    found = np.zeros(len(aims), dtype=np.int64)
    for cluster in range(len(aims)):
        if aims[cluster] > 0:
            found[cluster] = max(0, min(aims[cluster], most[cluster]))
            if not unknown[cluster]:
                more, _ = count_rooms(rows, blocks, first_lots[cluster], first_lots[cluster + 1], asked, terms)
                found[cluster] = min(found[cluster], more)
    return found
