"""Takes one plain turn after the other (see ``engine/plain.py``). Compiled.

What a turn reads lies in tables. Those of a family (workloads alike but for how much they ask for, and how many they
are) have a line for each family; a turn says which family it is of, and how much of each of its resources it asks for.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array
from federator.engine.binding import bind_everywhere
from federator.engine.compiled import compiled
from federator.engine.filling import (
    AT_FILL,
    DESK,
    FULL,
    LAST,
    LOOKED,
    PLACED,
    RESOURCE,
    TAKES,
    UNKNOWN,
    Times,
    fill_tiers,
)
from federator.engine.nodes import SPARE, WHOLE_NODE
from federator.engine.rows import LENGTH, SIZE
from federator.engine.shapes import ALLOWED, RANK, STEP

FAMILY, WANTED, AMOUNTS = 0, 1, 2
"""A turn: its family, how many replicas it wants, then what one asks for, by the family's resources."""

NAMES, PLACES = 0, 1
"""The sizes of a family: its resources, its tiers."""

MAY, ORDER = 0, 1
"""Of a lot, for a family: whether it may be used if it is large enough, and its rank."""

TURN, CLUSTER, REPLICAS = 0, 1, 2
"""A line of what was placed."""

SHIFTS = 2
"""A class of lots: what one node offers by resource, then, for cpu and for memory, by how many bits amounts are cut,
and the whole (see ``lots.use_scale``)."""


@compiled
def take_turns(
    rows: Array, blocks: Array, sums: Array, first_lots: Array, population: Array, balanced: Array, habits: Array,
    journal: Array,
    lot_classes: Array, classes: Array, scaled: Array,
    sizes: Array, resources: Array, lots: Array, members: Array, desks: Array, tiers: Array, times: Times,
    offers: Array, turns: Array, grace_s: float, lines: Array, ends: Array, full: Array,
) -> tuple[int, bool]:  # fmt: skip
    """Take turns until one finds not all it wants a place, or nodes must be laid out anew; returns how many were taken,
    and whether it was the former.

    What is placed is written to ``lines``, in the order of turns and clusters, ``ends`` is where those of each turn
    end; ``full`` is by turn and place of a tier whether it turned replicas away. ``scaled`` are the resources that
    count in a node's use (-1: nobody asks for it). ``offers`` is by family, kind of node, tier, resource, what there is
    of it and the use that fillTo sets (see ``_set_goals``). ``balanced`` is ``Nodes.sizes``.
    """
    written, clusters = 0, len(first_lots) - 1
    desk, terms = np.zeros((clusters, DESK), dtype=np.int64), np.zeros((len(lot_classes), 3), dtype=np.int64)
    asks, fitting = np.empty((resources.shape[1], 2), dtype=np.int64), np.empty((len(classes), 2), dtype=np.int64)
    replicas, depths = np.empty(clusters, dtype=np.int64), np.ones(len(sizes), dtype=np.int64)
    for turn in range(len(turns)):
        family = turns[turn, FAMILY]
        asked = asks[: sizes[family, NAMES]]
        for term in range(len(asked)):
            asked[term, 0], asked[term, 1] = resources[family, term], turns[turn, AMOUNTS + term]
        _fit_classes(asked, classes, scaled, fitting)
        # The first tiers mostly do: the others are set up only where they do not.
        depth, places, left, legal = min(depths[family], sizes[family, PLACES]), sizes[family, PLACES], 1, True
        of_tiers = tiers[family, :0]
        while legal and left > 0 and depth <= places:
            of_tiers, of_times = tiers[family, :depth].copy(), times[family, :depth].copy()
            those = members[family, : of_tiers[depth - 1, LAST] if depth else 0]
            _set_terms(those, lots[family], first_lots, lot_classes, fitting, terms)
            _set_desk(those, desks[family], first_lots, terms, desk)
            _set_goals(asked, offers[family], of_tiers)
            legal = fill_tiers(
                rows, blocks, sums, first_lots, asked, terms, members[family], desk, of_tiers, of_times,
                turns[turn, WANTED], False, grace_s,
            )  # fmt: skip
            left = turns[turn, WANTED]
            for cluster in range(clusters):
                replicas[cluster] = desk[cluster, PLACED]
                left -= replicas[cluster]
            for place in range(depth if depth < places else 0):
                left += of_tiers[place, AT_FILL]  # what comes back to a tier up to 100% goes to the next ones first
            depth = places if left > 0 and depth < places else places + 1
        if left > 0 or not legal:
            return turn, True
        depths[family] = 1
        for place in range(len(of_tiers)):
            full[turn, place] = of_tiers[place, FULL]
            depths[family] = place + 1 if of_tiers[place, LOOKED] else depths[family]
        for cluster in range(clusters):
            if replicas[cluster] > 0:
                lines[written, TURN], lines[written, CLUSTER], lines[written, REPLICAS] = (
                    turn,
                    cluster,
                    replicas[cluster],
                )
                written += 1
                replicas[cluster] *= 1 - desk[cluster, UNKNOWN]
        ends[turn] = written
        bind_everywhere(rows, blocks, sums, first_lots, balanced, asked, terms, replicas, habits, journal, True)
        if _is_tight(blocks, first_lots, population, replicas):
            return turn + 1, False
    return len(turns), False


@compiled
def _fit_classes(asked: Array, classes: Array, scaled: Array, fitting: Array) -> None:
    """For every class of lots whether a node of it is large enough, and by how much a replica raises its use."""
    scales = classes.shape[1] - 2 * SHIFTS
    for one in range(len(classes)):
        fitting[one, 0], step = 1, 0
        for term in range(len(asked)):
            resource, amount = asked[term, 0], asked[term, 1]
            if classes[one, resource] < amount:
                fitting[one, 0] = 0
            for at in range(SHIFTS):
                if scaled[at] == resource:
                    shift, whole = classes[one, scales + 2 * at], classes[one, scales + 2 * at + 1]
                    step += min(amount >> shift, whole) * WHOLE_NODE // whole
        fitting[one, 1] = max(step, 1)


@compiled
def _set_terms(
    clusters: Array, lots: Array, first_lots: Array, lot_classes: Array, fitting: Array, terms: Array
) -> None:
    """The terms of the shape (see ``engine/shapes.py``) on these clusters."""
    for cluster in clusters:
        for lot in range(first_lots[cluster], first_lots[cluster + 1]):
            one = lot_classes[lot]
            terms[lot, ALLOWED], terms[lot, RANK] = lots[lot, MAY] & fitting[one, 0], lots[lot, ORDER]
            terms[lot, STEP] = fitting[one, 1]


@compiled
def _set_desk(clusters: Array, of_family: Array, first_lots: Array, terms: Array, desk: Array) -> None:
    """The family's desk for these clusters; one whose nodes are all too small takes none."""
    for cluster in clusters:
        for column in range(DESK):
            desk[cluster, column] = of_family[cluster, column]
        if desk[cluster, TAKES] and not desk[cluster, UNKNOWN]:
            takes = 0
            for lot in range(first_lots[cluster], first_lots[cluster + 1]):
                takes |= terms[lot, ALLOWED]
            desk[cluster, TAKES] = takes


@compiled
def _set_goals(asked: Array, offers: Array, tiers: Array) -> None:
    """The dominant resource of every tier, that of which a replica asks for the largest share; ties go to the first."""
    for place in range(len(tiers)):
        for kind in range(2):
            best = -1
            for term in range(len(asked)):
                whole = offers[kind, place, term, 0]
                if whole > 0 and (
                    best < 0 or _is_more(asked[term, 1], whole, asked[best, 1], offers[kind, place, best, 0])
                ):
                    best = term
            column = RESOURCE + 3 * kind
            tiers[place, column] = asked[best, 0] if best >= 0 else -1
            tiers[place, column + 1] = offers[kind, place, best, 0] if best >= 0 else 0
            tiers[place, column + 2] = offers[kind, place, best, 1] if best >= 0 else 0


@compiled
def _is_more(part: int, whole: int, other: int, others: int) -> bool:
    """Whether part / whole is more than other / others, exactly, where products would not fit: by Euclid's steps."""
    while True:
        mine, its = part // whole, other // others
        if mine != its:
            return bool(mine > its)
        part, other = part - mine * whole, other - its * others
        if part == 0 or other == 0:
            return bool(part > 0)
        part, whole, other, others = others, other, whole, part


@compiled
def _is_tight(blocks: Array, first_lots: Array, population: Array, replicas: Array) -> bool:
    """Whether a block that was bound in has too few spare rows left (see ``Nodes.tidy``)."""
    for cluster in range(len(replicas)):
        if replicas[cluster] > 0:
            for lot in range(first_lots[cluster], first_lots[cluster + 1]):
                if min(blocks[lot, LENGTH] + SPARE, population[lot]) > blocks[lot, SIZE]:
                    return True
    return False
