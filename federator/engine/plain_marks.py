"""What is told of a plain turn that was refused some, and whom it answers for besides. Compiled."""

from __future__ import annotations

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.filling import EXTRA, MAXIMUM, MORE, OPEN, TIER, UNKNOWN, USED, Times
from federator.engine.plain_tables import (
    AMOUNTS,
    AT_MAXIMUM,
    HARD,
    LASTING,
    LEAST,
    MAY,
    NO_ROOM,
    NO_WEIGHT,
    NOT_OPEN,
    PASSING,
    ROOM,
    SHORT,
    SHORTAGE,
    STAYS,
    TIER_FULL,
    TOO_BIG,
    TOO_FEW,
    WANTED,
    WEIGHTLESS,
    Marks,
)  # fmt: skip


@compiled
def mark(
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
def none_has_room(clusters: Array, desk: Array) -> bool:
    """Whether none of these has room, whatever keeps it from being used."""
    most = 0
    for cluster in clusters:
        most = max(most, desk[cluster, MORE] + desk[cluster, EXTRA])
    return bool(most == 0)


@compiled
def remember(turn: int, asked: Array, floors: Array) -> None:
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
def is_beyond(asked: Array, floors: Array, twin: Array, full_s: Times, twins_s: Times, classes: Array) -> bool:
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
