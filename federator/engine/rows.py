"""The rows of alike nodes, as compiled code reads and changes them.

A row is ``COUNT`` alike nodes, the ``FIRST`` of their numbers, their ``USE``, how many more replicas ``EACH`` of them
holds of the shape that was counted last, and then what is free on each of them, by resource. A lot's rows lie in its
block: ``START``, how many there are (``LENGTH``), how many it has place for (``SIZE``), whether its nodes only
``COULD`` exist, and its cluster (``HOME``). Each column lies in one piece (``columns``), so that a loop over a block
takes several rows in one step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.shapes import ALLOWED, STEP

COUNT, FIRST, USE, EACH, FREE = 0, 1, 2, 3, 4
START, LENGTH, SIZE, COULD, HOME = 0, 1, 2, 3, 4

NODE, NODES, TIMES, LOT = 0, 1, 2, 3
LINES, MOST = 0, 1
"""A line of a journal: so many nodes, from this number on, of this lot, got so many replicas each. The journal's first
line tells how many follow, and how many one workload may add at most; one without any line is not kept."""
NO_JOURNAL = np.zeros((0, 4), dtype=np.int64)

_NOTHING_ASKED = 2.0**20
_EXACT = 2**53 - 1
"""The quotient of smaller whole numbers is exact once it is rounded down, although it is made of floats."""


def columns(rows: int, width: int) -> Array:
    """Place for so many rows, column by column. (At least two: numba holds one row for another type of array.)"""
    return np.zeros((max(rows, 2), width), dtype=np.int64, order="F")


@compiled
def _count_each(rows: Array, begin: int, end: int, asked: Array, each: NDArray[np.float64]) -> None:
    """How many more replicas each node of these rows holds."""
    size = end - begin
    for at in range(size):
        each[at] = _NOTHING_ASKED
    for term in range(len(asked)):
        free, amount, most = rows[begin:end, FREE + asked[term, 0]], asked[term, 1], 0
        for at in range(size):
            most = max(most, free[at])
        if most < _EXACT:
            for at in range(size):
                many = np.floor(float(np.uint64(max(free[at], 0))) / float(amount))
                each[at] = many if term == 0 or many < each[at] else each[at]
        else:
            for at in range(size):
                many = float(max(free[at], 0) // amount)
                each[at] = many if term == 0 or many < each[at] else each[at]


@compiled
def _longest(blocks: Array, first: int, last: int) -> int:
    """The most rows that any of these lots has."""
    longest = 0
    for lot in range(first, last):
        longest = max(longest, blocks[lot, LENGTH])
    return longest


@compiled
def count_rooms(rows: Array, blocks: Array, first: int, last: int, asked: Array, terms: Array) -> tuple[int, int]:
    """How many more replicas the lots from ``first`` to before ``last`` hold: on nodes that exist, that could. ``EACH``
    of their rows is that of this shape then."""
    more, extra, each = 0, 0, np.empty(_longest(blocks, first, last))
    for lot in range(first, last):
        if terms[lot, ALLOWED] == 0:
            continue
        begin, end, found = blocks[lot, START], blocks[lot, START] + blocks[lot, LENGTH], 0
        _count_each(rows, begin, end, asked, each)
        count = rows[begin:end, COUNT]
        for at in range(len(count)):
            many = int(each[at])
            rows[begin + at, EACH] = many
            found += many * count[at]
        if blocks[lot, COULD] == 0:
            more += found
        else:
            extra += found
    return more, extra


@compiled
def note_each(rows: Array, blocks: Array, first: int, last: int, asked: Array, terms: Array) -> None:
    """Let ``EACH`` of the rows of these lots be that of this shape."""
    each = np.empty(_longest(blocks, first, last))
    for lot in range(first, last):
        if terms[lot, ALLOWED]:
            begin, end = blocks[lot, START], blocks[lot, START] + blocks[lot, LENGTH]
            _count_each(rows, begin, end, asked, each)
            for at in range(end - begin):
                rows[begin + at, EACH] = int(each[at])


@compiled
def rooms(rows: Array, blocks: Array, first_lots: Array, asked: Array, terms: Array) -> Array:
    """The same for every cluster, on all nodes together."""
    found = np.empty(len(first_lots) - 1, dtype=np.int64)
    for cluster in range(len(found)):
        more, extra = count_rooms(rows, blocks, first_lots[cluster], first_lots[cluster + 1], asked, terms)
        found[cluster] = more + extra
    return found


@compiled
def split(rows: Array, blocks: Array, lot: int, row: int, nodes: int) -> int:
    """Put the first so many nodes of a row into a row of their own, and return that (the same, if they are all)."""
    if nodes >= rows[row, COUNT]:
        return row
    fresh = blocks[lot, START] + blocks[lot, LENGTH]
    blocks[lot, LENGTH] += 1
    for column in range(rows.shape[1]):
        rows[fresh, column] = rows[row, column]
    rows[fresh, COUNT] = nodes
    rows[row, COUNT] -= nodes
    rows[row, FIRST] += nodes
    return int(fresh)


@compiled
def charge(
    rows: Array, blocks: Array, sums: Array, asked: Array, terms: Array, lot: int, row: int, times: int, journal: Array
) -> None:
    """Each node of the row holds so many more replicas of the shape."""
    if len(journal) > 0:
        journal[0, LINES] += 1
        line = journal[journal[0, LINES]]
        line[NODE], line[NODES], line[TIMES], line[LOT] = rows[row, FIRST], rows[row, COUNT], times, lot
    for term in range(len(asked)):
        amount = asked[term, 1] * times
        rows[row, FREE + asked[term, 0]] -= amount
        sums[blocks[lot, COULD], blocks[lot, HOME], asked[term, 0]] -= amount * rows[row, COUNT]
    rows[row, USE] += terms[lot, STEP] * times


@compiled
def keep_remains(
    rows: Array, blocks: Array, sums: Array, asked: Array, terms: Array, lots: Array, replicas: int
) -> int:
    """A replica that fits no node takes what is left, up to what it asks for, of the emptiest node of these lots.

    One row at a time, one replica on each of its nodes, of equally used rows the one with the lower numbers. Returns
    for how many replicas that was done: 0 where nothing is left anywhere.
    """
    best, of = -1, -1
    for lot in lots:
        for row in range(blocks[lot, START], blocks[lot, START] + blocks[lot, LENGTH]):
            left = 0
            for term in range(len(asked)):
                left += rows[row, FREE + asked[term, 0]]
            if left == 0 or rows[row, COUNT] == 0:
                continue
            if best < 0 or (rows[row, USE], rows[row, FIRST]) < (rows[best, USE], rows[best, FIRST]):
                best, of = row, lot
    if best < 0:
        return 0
    nodes = min(replicas, rows[best, COUNT])
    kept = split(rows, blocks, of, best, nodes)
    for term in range(len(asked)):
        taken = min(rows[kept, FREE + asked[term, 0]], asked[term, 1])
        rows[kept, FREE + asked[term, 0]] -= taken
        sums[blocks[of, COULD], blocks[of, HOME], asked[term, 0]] -= taken * nodes
    rows[kept, USE] += terms[of, STEP]
    return int(nodes)
