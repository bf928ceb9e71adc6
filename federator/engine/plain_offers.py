"""What lies before a plain turn: the nodes and clusters that its family may use, and for how much. Compiled."""

from __future__ import annotations

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.filling import DESK, EXTRA, FIRST, LAST, LOOKED, MORE, RESOURCE, TAKES, UNKNOWN
from federator.engine.nodes import WHOLE_NODE
from federator.engine.plain_tables import MAY, ORDER, SHIFTS
from federator.engine.rows import FREE, LENGTH, START
from federator.engine.shapes import ALLOWED, RANK, STEP

_NEAR = 1e-9
"""Products of floats that differ by a larger part than this differ as the exact ones do."""


@compiled
def fit_classes(asked: Array, classes: Array, scaled: Array, fitting: Array) -> None:
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
def set_terms(
    clusters: Array, lots: Array, first_lots: Array, lot_classes: Array, fitting: Array, terms: Array
) -> None:
    """The terms of the shape (see ``engine/shapes.py``) on these clusters."""
    for cluster in clusters:
        for lot in range(first_lots[cluster], first_lots[cluster + 1]):
            one = lot_classes[lot]
            terms[lot, ALLOWED], terms[lot, RANK] = lots[lot, MAY] & fitting[one, 0], lots[lot, ORDER]
            terms[lot, STEP] = fitting[one, 1]


@compiled
def set_desk(clusters: Array, of_family: Array, first_lots: Array, terms: Array, desk: Array) -> None:
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
def pass_over_full(clusters: Array, first_lots: Array, asked: Array, tops: Array, terms: Array) -> None:
    """Close the lots on whose nodes less is free than one replica asks for: their rows need not be looked at.

    ``tops``, by lot and resource, is what may be free on a node at most.
    """
    for cluster in clusters:
        for lot in range(first_lots[cluster], first_lots[cluster + 1]):
            for term in range(len(asked)):
                if tops[lot, asked[term, 0]] < asked[term, 1]:
                    terms[lot, ALLOWED] = 0


@compiled
def note_full(
    rows: Array, blocks: Array, first_lots: Array, members: Array, tiers: Array, desk: Array, terms: Array, tops: Array
) -> None:
    """Where a cluster was found without any room, see how much is free on its nodes at most. What is placed later only
    makes it less."""
    for place in range(len(tiers)):
        for at in range(tiers[place, FIRST], tiers[place, LAST] if tiers[place, LOOKED] else 0):
            cluster = members[at]
            if desk[cluster, TAKES] and desk[cluster, MORE] + desk[cluster, EXTRA] == 0:
                for lot in range(first_lots[cluster], first_lots[cluster + 1]):
                    if terms[lot, ALLOWED]:
                        for resource in range(tops.shape[1]):
                            tops[lot, resource] = 0
                        for row in range(blocks[lot, START], blocks[lot, START] + blocks[lot, LENGTH]):
                            for resource in range(tops.shape[1]):
                                tops[lot, resource] = max(tops[lot, resource], rows[row, FREE + resource])


@compiled
def set_goals(asked: Array, offers: Array, tiers: Array) -> None:
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
    """Whether part / whole is more than other / others, exactly, where products would not fit: by floats, and where
    these are too near to each other by Euclid's steps."""
    one, two = float(part) * float(others), float(other) * float(whole)
    if abs(one - two) > one * _NEAR:
        return bool(one > two)
    while True:
        mine, its = part // whole, other // others
        if mine != its:
            return bool(mine > its)
        part, other = part - mine * whole, other - its * others
        if part == 0 or other == 0:
            return bool(part > 0)
        part, whole, other, others = others, other, whole, part
