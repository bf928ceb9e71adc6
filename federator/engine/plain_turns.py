"""Takes one plain turn after the other (see ``engine/plain.py``). Compiled.

A turn is taken whether or not all it wants finds a place; of one that is refused some it is told, in a few bytes, what
stood when it was. What a turn reads lies in tables. Those of a family (workloads alike but for how much they ask for,
and how many they are) have a line for each family; a turn says which family it is of, and how much of each of its
resources it asks for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federator.engine.arrays import Array
from federator.engine.binding import bind_everywhere
from federator.engine.compiled import compiled
from federator.engine.filling import (
    AT_FILL,
    DESK,
    EXTRA,
    FIRST,
    FULL,
    FULL_S,
    LAST,
    LOOKED,
    MAXIMUM,
    MORE,
    OPEN,
    PLACED,
    RESOURCE,
    TAKES,
    TIER,
    UNKNOWN,
    USED,
    WAITS,
    Times,
    fill_tiers,
    look,
)  # fmt: skip
from federator.engine.nodes import SPARE, WHOLE_NODE
from federator.engine.rows import FREE, LENGTH, SIZE, START
from federator.engine.shapes import ALLOWED, RANK, STEP

Marks = NDArray[np.int8]

FAMILY, WANTED, LEAST, SHORT, LIKE, AMOUNTS = 0, 1, 2, 3, 4, 5
"""A turn: its family; how many replicas it may have now, with how many at least it starts; whether it wants more than
it may have; its likeness (``NO_LIKE``: unknown); then what one replica asks for, by the family's resources."""
NO_LIKE = -1

NAMES, PLACES = 0, 1
"""The sizes of a family: its resources, its tiers."""

MAY, ORDER = 0, 1
"""Of a lot, for a family: whether it may be used if it is large enough, and its rank."""

CLUSTER, REPLICAS = 0, 1
"""A line of what was placed."""

SHIFTS = 2
"""A class of lots: what one node offers by resource, then, for cpu and for memory, by how many bits amounts are cut,
and the whole (see ``lots.use_scale``)."""

END, FOUND, MOMENT, REPEATS = 0, 1, 2, 3
"""What came of a turn: where its lines end; for how many replicas there was room; where what was free then is told
(``NO_MOMENT``: nothing was refused), and whether one alike was refused whole since anybody took room."""
NO_MOMENT = -1

LASTING, PASSING = 1, 2
"""Of a cluster, for a family: it takes no such replicas for a reason that waiting does not change, or for one that it
may."""

STAYS, HARD, TOO_BIG, AT_MAXIMUM, NO_ROOM, NO_WEIGHT, SHORTAGE, NOT_OPEN, TIER_FULL, TOO_FEW = range(10)
"""Why a cluster got no more of it: the first of ``verdicts.CHECKS`` that speaks, as far as plain turns know them."""
CODE, ROOM, WEIGHTLESS = 15, 16, 32
"""The parts of a mark: that number, whether it had room for more, and whether its weight was zero."""

DONE, TIGHT, REFUSED, ILLEGAL = 0, 1, 2, 3
"""Why no more turns were taken: there were no more; nodes must be laid out anew; one was refused some (where that
stops them); numbers were too large to be compared exactly."""

GO_ON, STOP_AFTER, STOP_BEFORE = 0, 1, 2
"""What happens at a turn that is refused some: the next follows; it is the last, if room was wanting; it is not taken
at all."""

_NEAR = 1e-9
"""Products of floats that differ by a larger part than this differ as the exact ones do."""
_FLOORS = 16
"""So many of those for which there was no room anywhere are remembered, of each family."""


@compiled
def take_turns(
    rows: Array, blocks: Array, sums: Array, first_lots: Array, population: Array, balanced: Array, habits: Array,
    journal: Array,
    lot_classes: Array, classes: Array, scaled: Array,
    sizes: Array, resources: Array, lots: Array, members: Array, desks: Array, tiers: Array, times: Times,
    offers: Array, closed: Array, turns: Array, full_s: Times, grace_s: float, at_refusal: int, stamps: Array, now: int,
    lines: Array, answers: Array, full: Array, marks: Marks, waits: Times, stopped: Array, frees: Array,
) -> tuple[int, int, int]:  # fmt: skip
    """Take turns; returns how many were taken, why no more, and the number of changes up to then (``now`` before).

    What is placed is written to ``lines``, in the order of turns and clusters, and to ``answers`` what came of each
    turn. Of those that were refused some: ``marks`` by cluster, ``waits`` and ``stopped`` by tier (its ``WAITS`` and
    ``AT_FILL``), and, by moment, what was ``frees`` on existing nodes. ``full`` is by turn and place of a tier whether
    it turned replicas away, ``full_s`` for how long it has.

    ``scaled`` are the resources that count in a node's use (-1: nobody asks for it). ``offers`` is by family, kind of
    node, tier, resource, what there is of it and the use that fillTo sets (see ``_set_goals``); ``closed`` by family
    and cluster why it takes none. ``balanced`` is ``Nodes.sizes``. ``stamps`` is by likeness after which change one
    was refused whole.
    """
    written, moments, told, clusters = 0, 0, -1, len(first_lots) - 1
    desk, terms = np.zeros((clusters, DESK), dtype=np.int64), np.zeros((len(lot_classes), 3), dtype=np.int64)
    asks, fitting = np.empty((resources.shape[1], 2), dtype=np.int64), np.empty((len(classes), 2), dtype=np.int64)
    replicas, depths = np.empty(clusters, dtype=np.int64), np.ones(len(sizes), dtype=np.int64)
    tops = np.full((len(lot_classes), sums.shape[2]), np.iinfo(np.int64).max)
    floors, twins = np.full((len(sizes), _FLOORS, len(asks)), np.iinfo(np.int64).max), np.full(len(sizes), -1)
    for turn in range(len(turns)):
        family, like, short = turns[turn, FAMILY], turns[turn, LIKE], turns[turn, SHORT] > 0
        answers[turn, END], answers[turn, MOMENT], answers[turn, REPEATS] = written, NO_MOMENT, 0
        if like != NO_LIKE and stamps[like] == now:
            answers[turn, REPEATS] = 1
            if at_refusal == STOP_AFTER and turns[turn, WANTED] > 0:
                return turn + 1, REFUSED, now
            continue
        asked = asks[: sizes[family, NAMES]]
        for term in range(len(asked)):
            asked[term, 0], asked[term, 1] = resources[family, term], turns[turn, AMOUNTS + term]
        twin = twins[family]
        if (
            twin >= 0
            and turns[turn, WANTED] > 0
            and _is_beyond(asked, floors[family], turns[twin], full_s[turn], full_s[twin], classes)
        ):
            if at_refusal == STOP_BEFORE:
                return turn, REFUSED, now
            answers[turn, FOUND], full[turn], marks[turn], waits[turn] = 0, full[twin], marks[twin], waits[twin]
            if told != now:
                told, moments = now, moments + 1
                frees[moments - 1] = sums[0]
            answers[turn, MOMENT] = moments - 1
            if like != NO_LIKE:
                stamps[like] = now
            if at_refusal == STOP_AFTER:
                return turn + 1, REFUSED, now
            continue
        _fit_classes(asked, classes, scaled, fitting)
        # The first tiers mostly do: the others are set up only where they do not.
        places, left, legal = sizes[family, PLACES], 1, True
        depth = places if short else min(depths[family], places)
        of_tiers, of_times = tiers[family, :0], times[family, :0]
        while legal and left > 0 and depth <= places:
            of_tiers, of_times = tiers[family, :depth].copy(), times[family, :depth].copy()
            for place in range(depth):
                of_times[place, FULL_S] = full_s[turn, place]
            those = members[family, : of_tiers[depth - 1, LAST] if depth else 0]
            _set_terms(those, lots[family], first_lots, lot_classes, fitting, terms)
            _set_desk(those, desks[family], first_lots, terms, desk)
            _set_goals(asked, offers[family], of_tiers)
            _pass_over_full(those, first_lots, asked, tops, terms)
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
            _note_full(rows, blocks, first_lots, members[family], of_tiers, desk, terms, tops)
            depth = places if left > 0 and depth < places else places + 1
        if not legal:
            return turn, ILLEGAL, now
        found = turns[turn, WANTED] - left
        refused = left > 0 or short or found < turns[turn, LEAST]
        if refused and at_refusal == STOP_BEFORE:
            return turn, REFUSED, now
        answers[turn, FOUND] = found
        if found < turns[turn, LEAST]:
            for cluster in range(clusters):
                replicas[cluster] = 0
        depths[family] = 1
        for place in range(len(of_tiers)):
            full[turn, place] = of_tiers[place, FULL]
            depths[family] = place + 1 if of_tiers[place, LOOKED] else depths[family]
        if refused:
            for place in range(places):
                look(rows, blocks, first_lots, asked, terms, members[family], desk, of_tiers, place)
                waits[turn, place], stopped[turn, place] = of_times[place, WAITS], of_tiers[place, AT_FILL]
            _mark(turns[turn], found, closed[family], desks[family], lots[family], first_lots, lot_classes, fitting,
                  desk, replicas, waits[turn], stopped[turn], marks[turn])  # fmt: skip
            if turns[turn, WANTED] > 0 and _none_has_room(those, desk):
                _remember(turn, asked, floors[family])
                twins[family] = turn
            if told != now:
                told, moments = now, moments + 1
                frees[moments - 1] = sums[0]
            answers[turn, MOMENT] = moments - 1
        placed = 0
        for cluster in range(clusters):
            if replicas[cluster] > 0:
                placed += replicas[cluster]
                lines[written, CLUSTER], lines[written, REPLICAS] = cluster, replicas[cluster]
                written += 1
                replicas[cluster] *= 1 - desk[cluster, UNKNOWN]
        answers[turn, END] = written
        if placed > 0:
            now += 1
            bind_everywhere(rows, blocks, sums, first_lots, balanced, asked, terms, replicas, habits, journal)
        elif like != NO_LIKE:
            stamps[like] = now
        if at_refusal == STOP_AFTER and placed < turns[turn, WANTED]:
            return turn + 1, REFUSED, now
        if placed > 0 and _is_tight(blocks, first_lots, population, replicas):
            return turn + 1, TIGHT, now
    return len(turns), DONE, now


@compiled
def _none_has_room(clusters: Array, desk: Array) -> bool:
    """Whether none of these has room, whatever keeps it from being used."""
    most = 0
    for cluster in clusters:
        most = max(most, desk[cluster, MORE] + desk[cluster, EXTRA])
    return bool(most == 0)


@compiled
def _remember(turn: int, asked: Array, floors: Array) -> None:
    """Remember of one for which there was no room anywhere how much it asked for: instead of one that asked for more,
    else of some other."""
    place = turn % len(floors)
    for floor in range(len(floors)):
        above = True
        for term in range(len(asked)):
            above = above and floors[floor, term] >= asked[term, 1]
        if above:
            place = floor
    for term in range(len(asked)):
        floors[place, term] = asked[term, 1]


@compiled
def _is_beyond(asked: Array, floors: Array, twin: Array, full_s: Times, twins_s: Times, classes: Array) -> bool:
    """Whether there is no room anywhere because there was none for one that asked for as much of everything or less, as
    nothing is given back within a run of turns. Its answer is that of the ``twin``, which found none either, if they
    are too large for the same nodes and waited equally long."""
    for place in range(len(full_s)):
        if full_s[place] != twins_s[place]:
            return False
    for one in range(len(classes)):
        for term in range(len(asked)):
            whole = classes[one, asked[term, 0]]
            if (whole < asked[term, 1]) != (whole < twin[AMOUNTS + term]):
                return False
    for floor in range(len(floors)):
        beyond = True
        for term in range(len(asked)):
            beyond = beyond and asked[term, 1] >= floors[floor, term]
        if beyond:
            return True
    return False


@compiled
def _mark(
    turn: Array, found: int, closed: Array, of_family: Array, lots: Array, first_lots: Array, lot_classes: Array,
    fitting: Array, desk: Array, replicas: Array, waits: Times, stopped: Array, marks: Marks,
) -> None:  # fmt: skip
    """Why each cluster gets no more of it than ``replicas``, as ``verdicts.CHECKS`` has it."""
    placed = 0
    for cluster in range(len(marks)):
        placed += replicas[cluster]
    below = found < turn[LEAST]
    for cluster in range(len(marks)):
        line, place = desk[cluster], of_family[cluster, TIER]
        if closed[cluster] == LASTING:
            marks[cluster] = HARD
        elif not of_family[cluster, UNKNOWN] and not _suits(cluster, lots, first_lots, lot_classes, fitting):
            marks[cluster] = TOO_BIG
        elif closed[cluster] == PASSING:
            marks[cluster] = HARD
        else:
            room = ROOM * (line[MORE] + line[EXTRA] > replicas[cluster])
            weightless = WEIGHTLESS * (line[USED] == 0)
            code = STAYS
            if replicas[cluster] + 1 > of_family[cluster, MAXIMUM]:
                code = AT_MAXIMUM
            elif not room:
                code = NO_ROOM
            elif weightless:
                code = NO_WEIGHT
            elif turn[SHORT] and placed >= turn[WANTED]:
                code = SHORTAGE
            elif waits[place] != OPEN:
                code = NOT_OPEN
            elif stopped[place]:
                code = TIER_FULL
            elif below:
                code = SHORTAGE if turn[WANTED] < turn[LEAST] else TOO_FEW
            marks[cluster] = code | room | weightless


@compiled
def _suits(cluster: int, lots: Array, first_lots: Array, lot_classes: Array, fitting: Array) -> bool:
    """Whether the cluster has a node that may be used and is large enough."""
    for lot in range(first_lots[cluster], first_lots[cluster + 1]):
        if lots[lot, MAY] and fitting[lot_classes[lot], 0]:
            return True
    return False


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
def _pass_over_full(clusters: Array, first_lots: Array, asked: Array, tops: Array, terms: Array) -> None:
    """Close the lots on whose nodes less is free than one replica asks for: their rows need not be looked at.

    ``tops``, by lot and resource, is what may be free on a node at most.
    """
    for cluster in clusters:
        for lot in range(first_lots[cluster], first_lots[cluster + 1]):
            for term in range(len(asked)):
                if tops[lot, asked[term, 0]] < asked[term, 1]:
                    terms[lot, ALLOWED] = 0


@compiled
def _note_full(
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


@compiled
def _is_tight(blocks: Array, first_lots: Array, population: Array, replicas: Array) -> bool:
    """Whether a block that was bound in has too few spare rows left (see ``Nodes.tidy``)."""
    for cluster in range(len(replicas)):
        if replicas[cluster] > 0:
            for lot in range(first_lots[cluster], first_lots[cluster + 1]):
                if min(blocks[lot, LENGTH] + SPARE, population[lot]) > blocks[lot, SIZE]:
                    return True
    return False
