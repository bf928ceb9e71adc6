"""The habit of kube-scheduler as it comes: least allocated and balanced allocation together. Compiled.

The one scores the mean of the free shares of cpu and memory, the other takes off half of their difference. The sum is
greatest where the smaller free share is greatest, so a node is as high as the larger of the used shares. Each replica
goes to the node that is lowest with it; of equally high ones to that which is used least with it (cpu and memory
together), which every replica raises, then to the lower number.
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.rows import COUNT, FIRST, FREE, USE, charge, split
from federator.engine.shapes import STEP

COLUMN, SHIFT, WHOLE = 0, 1, 2
"""Of cpu, and three columns on of memory, by lot: the column of the resource (-1: the node has none), by how many bits
amounts are cut so that shares fit 64 bits, and the whole."""
AXIS = 3

FEW = 64
"""Up to so many replicas are spread node by node; beyond, by a search for how high the nodes are filled."""
_FULL = 2**30


@compiled
def height(rows: Array, row: int, sizes: Array, lot: int, asked: Array, times: int) -> int:
    """How high the nodes of a row are with so many more replicas each: the larger used share, in 2**-30."""
    highest = 0
    for axis in (0, AXIS):
        column, whole = sizes[lot, axis + COLUMN], sizes[lot, axis + WHOLE]
        if column < 0:
            continue
        left = rows[row, FREE + column]
        for term in range(len(asked)):
            if asked[term, 0] == column:
                left -= times * asked[term, 1]
        used = whole - min(whole, max(0, left) >> sizes[lot, axis + SHIFT])
        highest = max(highest, used * _FULL // whole)
    return int(highest)


@compiled
def balance(
    rows: Array, blocks: Array, sums: Array, sizes: Array, asked: Array, terms: Array, seats: Array, wanted: int,
    journal: Array,
) -> None:  # fmt: skip
    """Bind so many replicas; ``seats`` are the rows that hold more (row, lot, how many each of its nodes holds)."""
    if wanted > FEW:
        wanted -= _fill(rows, blocks, sums, sizes, asked, terms, seats, wanted, journal)
    heights = np.empty(len(seats), dtype=np.int64)
    for at in range(len(seats)):
        heights[at] = height(rows, seats[at, 0], sizes, seats[at, 1], asked, 1)
    while wanted > 0:
        best, use, first = -1, 0, 0
        for at in range(len(seats)):
            if seats[at, 2] == 0:
                continue
            row = seats[at, 0]
            uses = rows[row, USE] + terms[seats[at, 1], STEP]
            if best < 0 or (heights[at], uses, rows[row, FIRST]) < (heights[best], use, first):
                best, use, first = at, uses, rows[row, FIRST]
        lot = seats[best, 1]
        nodes = min(wanted, rows[seats[best, 0], COUNT])
        row = split(rows, blocks, lot, seats[best, 0], nodes)
        charge(rows, blocks, sums, asked, terms, lot, row, 1, journal)
        wanted -= nodes
        seats[best, 2] -= 1
        heights[best] = height(rows, row, sizes, lot, asked, 1)


@compiled
def _fill(
    rows: Array, blocks: Array, sums: Array, sizes: Array, asked: Array, terms: Array, seats: Array, wanted: int,
    journal: Array,
) -> int:  # fmt: skip
    """Fill all nodes up to the greatest height that needs no more than ``wanted``; returns how many that takes."""
    low, high = -1, _FULL
    while high - low > 1:
        middle, needed = (low + high) // 2, 0
        for at in range(len(seats)):
            needed += rows[seats[at, 0], COUNT] * _below(rows, sizes, asked, seats, at, middle)
        if needed <= wanted:
            low = middle
        else:
            high = middle
    took = 0
    for at in range(len(seats)):
        row, lot = seats[at, 0], seats[at, 1]
        times = _below(rows, sizes, asked, seats, at, low)
        if times > 0:
            charge(rows, blocks, sums, asked, terms, lot, row, times, journal)
            seats[at, 2] -= times
            took += times * rows[row, COUNT]
    return took


@compiled
def _below(rows: Array, sizes: Array, asked: Array, seats: Array, at: int, most: int) -> int:
    """How many more replicas each node of a seat's row holds without being higher than this."""
    low, high = 0, seats[at, 2] + 1
    while high - low > 1:
        middle = (low + high) // 2
        if height(rows, seats[at, 0], sizes, seats[at, 1], asked, middle) <= most:
            low = middle
        else:
            high = middle
    return int(low)
