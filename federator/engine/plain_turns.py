"""Takes one plain turn after the other (see ``engine/plain.py``). Compiled.

A turn is taken whether or not all it wants finds a place; of one that is refused some it is told, in a few bytes, what
stood when it was. What a turn reads lies in tables. Those of a family (workloads alike but for how much they ask for,
and how many they are) have a line for each family; a turn says which family it is of, and how much of each of its
resources it asks for.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array
from federator.engine.binding import bind_counted, is_full, is_tight
from federator.engine.compiled import compiled
from federator.engine.filling import (
    AT_FILL,
    DESK,
    FULL,
    FULL_S,
    LAST,
    LOOKED,
    PLACED,
    UNKNOWN,
    WAITS,
    Times,
    fill_tiers,
    look,
)  # fmt: skip
from federator.engine.plain_marks import is_beyond, mark, none_has_room, remember
from federator.engine.plain_offers import fit_classes, note_full, pass_over_full, set_desk, set_goals, set_terms
from federator.engine.plain_tables import (
    AMOUNTS,
    CLUSTER,
    DONE,
    END,
    FAMILY,
    FOUND,
    ILLEGAL,
    LEAST,
    LIKE,
    MOMENT,
    NAMES,
    NO_LIKE,
    NO_MOMENT,
    NOTED,
    PLACES,
    REFUSED,
    REPEATS,
    REPLICAS,
    SHORT,
    STOP_AFTER,
    STOP_BEFORE,
    TIGHT,
    WANTED,
    Marks,
)  # fmt: skip
from federator.engine.rows import LINES

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
        answers[turn, NOTED] = journal[0, LINES] if len(journal) > 0 else 0
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
            and is_beyond(asked, floors[family], turns[twin], full_s[turn], full_s[twin], classes)
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
        fit_classes(asked, classes, scaled, fitting)
        # The first tiers mostly do: the others are set up only where they do not.
        places, left, legal = sizes[family, PLACES], 1, True
        depth = places if short else min(depths[family], places)
        of_tiers, of_times = tiers[family, :0], times[family, :0]
        while legal and left > 0 and depth <= places:
            of_tiers, of_times = tiers[family, :depth].copy(), times[family, :depth].copy()
            for place in range(depth):
                of_times[place, FULL_S] = full_s[turn, place]
            those = members[family, : of_tiers[depth - 1, LAST] if depth else 0]
            set_terms(those, lots[family], first_lots, lot_classes, fitting, terms)
            set_desk(those, desks[family], first_lots, terms, desk)
            set_goals(asked, offers[family], of_tiers)
            pass_over_full(those, first_lots, asked, tops, terms)
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
            note_full(rows, blocks, first_lots, members[family], of_tiers, desk, terms, tops)
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
            mark(turns[turn], found, closed[family], desks[family], lots[family], first_lots, lot_classes, fitting,
                  desk, replicas, waits[turn], stopped[turn], marks[turn])  # fmt: skip
            if turns[turn, WANTED] > 0 and none_has_room(those, desk):
                remember(turn, asked, floors[family])
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
            bind_counted(rows, blocks, sums, first_lots, balanced, asked, terms, replicas, habits, journal)
            answers[turn, NOTED] = journal[0, LINES] if len(journal) > 0 else 0
        elif refused and like != NO_LIKE:
            stamps[like] = now
        if at_refusal == STOP_AFTER and placed < turns[turn, WANTED]:
            return turn + 1, REFUSED, now
        if placed > 0 and (is_tight(blocks, first_lots, population, replicas) or is_full(journal)):
            return turn + 1, TIGHT, now
    return len(turns), DONE, now
