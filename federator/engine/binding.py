"""Which nodes replicas will land on: the habits of members' schedulers, for many replicas and clusters at once.

Each habit is a rule for one replica at a time (written beside it); alike nodes, and many replicas, are taken in one
step where that gives the same nodes. Ties go to the node with the lower number (see ``Nodes``).
"""

from __future__ import annotations

import numpy as np

from federator.engine.arrays import Array
from federator.engine.balance import FEW, balance
from federator.engine.compiled import compiled
from federator.engine.nodes import SPARE, Nodes
from federator.engine.rows import (
    COUNT,
    EACH,
    FIRST,
    LENGTH,
    LINES,
    MOST,
    NO_JOURNAL,
    SIZE,
    START,
    USE,
    charge,
    note_each,
    split,
)
from federator.engine.shapes import ALLOWED, RANK, STEP, Shape
from federator.model.cluster import Binding

HABITS = {Binding.SPREAD: 0, Binding.PACK: 1, Binding.FRAGMENTATION_AWARE: 2, Binding.BALANCE: 3}
_SPREAD, _PACK, _BALANCE = 0, 1, 3
_FEW = FEW


def bind(nodes: Nodes, shape: Shape, replicas: Array, habits: Array, journal: Array = NO_JOURNAL) -> Array:
    """Take the room of so many replicas on each cluster, as its scheduler (``habits`` by cluster) will.

    Lots of a lower rank are filled before others. Returns how many replicas of each cluster found no node. Which nodes
    they got is written into the journal (see ``engine/rows.py``; ``journal_for`` makes one).
    """
    state = (nodes.rows, nodes.blocks, nodes.sums)
    if not len(shape.asked):  # asks for nothing, so it takes nothing
        return np.where(nodes.room(shape) > 0, 0, replicas)
    where = (nodes.first_lots, nodes.sizes)
    left = bind_everywhere(*state, *where, shape.asked, shape.terms, replicas, habits, journal)
    nodes.tidy()
    return left


def journal_for(nodes: Nodes, shape: Shape, replicas: Array) -> Array:
    """A journal large enough for binding so many."""
    ranks = 1 + int(shape.terms[:, RANK].max(initial=0))
    most = lines_at_most(int(nodes.blocks[:, LENGTH].sum()), ranks, int(np.count_nonzero(replicas)))
    return begun(np.empty((1 + most, NO_JOURNAL.shape[1]), dtype=np.int64), most)


def lines_at_most(rows: int, ranks: int, clusters: int) -> int:
    """How many lines one workload may add to a journal: one for each row, two at most, and for the few spread
    singly."""
    return 2 * rows + (_FEW + 1) * ranks * clusters


def begun(journal: Array, most: int) -> Array:
    """The journal begun anew, for workloads that add so many lines at most."""
    journal[0], journal[0, MOST] = 0, most
    return journal


def journal_lines(journal: Array) -> Array:
    """What has been written into a journal."""
    return journal[1 : 1 + int(journal[0, LINES])]


@compiled
def bind_everywhere(
    rows: Array, blocks: Array, sums: Array, first_lots: Array, sizes: Array, asked: Array, terms: Array,
    replicas: Array, habits: Array, journal: Array,
) -> Array:  # fmt: skip
    """Bind so many replicas on each cluster, rank by rank; returns how many found no node."""
    for cluster in range(len(replicas)):
        if replicas[cluster] > 0:
            note_each(rows, blocks, first_lots[cluster], first_lots[cluster + 1], asked, terms)
    return bind_counted(rows, blocks, sums, first_lots, sizes, asked, terms, replicas, habits, journal)


@compiled
def bind_counted(
    rows: Array, blocks: Array, sums: Array, first_lots: Array, sizes: Array, asked: Array, terms: Array,
    replicas: Array, habits: Array, journal: Array,
) -> Array:  # fmt: skip
    """The same where ``EACH`` of all rows of these clusters is that of this shape already."""
    unbound = replicas.copy()
    for cluster in range(len(replicas)):
        if unbound[cluster] <= 0:
            continue
        first, end = first_lots[cluster], first_lots[cluster + 1]
        last = 0
        for lot in range(first, end):
            last = max(last, terms[lot, RANK])
        for rank in range(last + 1):
            if unbound[cluster] <= 0:
                break
            if habits[cluster] == _SPREAD and unbound[cluster] <= _FEW:
                few = unbound[cluster]
                unbound[cluster] -= _spread_few(rows, blocks, sums, asked, terms, first, end, rank, few, journal)
                continue
            seats = _seats(rows, blocks, first, end, terms, rank)
            wanted = min(unbound[cluster], _room(rows, seats))
            if wanted <= 0:
                continue
            unbound[cluster] -= wanted
            if habits[cluster] == _SPREAD:
                _spread(rows, blocks, sums, asked, terms, seats, wanted, journal)
            elif habits[cluster] == _BALANCE:
                balance(rows, blocks, sums, sizes, asked, terms, seats, wanted, journal)
            else:
                order = _fullest(rows, seats) if habits[cluster] == _PACK else _tightest(rows, seats)
                _fill_up(rows, blocks, sums, asked, terms, seats, order, wanted, journal)
    return unbound


@compiled
def _seats(rows: Array, blocks: Array, first: int, last: int, terms: Array, rank: int) -> Array:
    """The rows of these lots, of this rank, that hold more: a line (row, lot, how many each of its nodes holds)."""
    size = 0
    for lot in range(first, last):
        size += blocks[lot, LENGTH]
    seats, found = np.empty((size, 3), dtype=np.int64), 0
    for lot in range(first, last):
        if terms[lot, ALLOWED] == 0 or terms[lot, RANK] != rank:
            continue
        for row in range(blocks[lot, START], blocks[lot, START] + blocks[lot, LENGTH]):
            if rows[row, EACH] > 0:
                seats[found, 0], seats[found, 1], seats[found, 2] = row, lot, rows[row, EACH]
                found += 1
    return seats[:found]


@compiled
def _spread_few(
    rows: Array, blocks: Array, sums: Array, asked: Array, terms: Array, first: int, last: int, rank: int, wanted: int,
    journal: Array,
) -> int:  # fmt: skip
    """``_spread`` for a few, without a list of seats; returns how many found a node."""
    left = wanted
    while left > 0:
        best, of, height = -1, -1, 0
        for lot in range(first, last):
            if terms[lot, ALLOWED] == 0 or terms[lot, RANK] != rank:
                continue
            for row in range(blocks[lot, START], blocks[lot, START] + blocks[lot, LENGTH]):
                if rows[row, EACH] == 0:
                    continue
                use = rows[row, USE] + terms[lot, STEP]
                if best < 0 or use < height or (use == height and rows[row, FIRST] < rows[best, FIRST]):
                    best, of, height = row, lot, use
        if best < 0:
            break
        nodes = min(left, rows[best, COUNT])
        row = split(rows, blocks, of, best, nodes)
        charge(rows, blocks, sums, asked, terms, of, row, 1, journal)
        rows[row, EACH] -= 1
        left -= nodes
    return wanted - left


@compiled
def _room(rows: Array, seats: Array) -> int:
    room = 0
    for at in range(len(seats)):
        room += rows[seats[at, 0], COUNT] * seats[at, 2]
    return room


@compiled
def _spread(
    rows: Array, blocks: Array, sums: Array, asked: Array, terms: Array, seats: Array, wanted: int, journal: Array
) -> None:
    """Each replica goes to the node that is used least with it (kube-scheduler's least allocated)."""
    if wanted > _FEW:
        wanted -= _spread_evenly(rows, blocks, sums, asked, terms, seats, wanted, journal)
    while wanted > 0:
        best, height = -1, 0
        for at in range(len(seats)):
            if seats[at, 2] == 0:
                continue
            row = seats[at, 0]
            use = rows[row, USE] + terms[seats[at, 1], STEP]
            if best < 0 or use < height or (use == height and rows[row, FIRST] < rows[seats[best, 0], FIRST]):
                best, height = at, use
        lot = seats[best, 1]
        nodes = min(wanted, rows[seats[best, 0], COUNT])
        row = split(rows, blocks, lot, seats[best, 0], nodes)
        charge(rows, blocks, sums, asked, terms, lot, row, 1, journal)
        seats[best, 2] -= 1
        wanted -= nodes


@compiled
def _spread_evenly(
    rows: Array, blocks: Array, sums: Array, asked: Array, terms: Array, seats: Array, wanted: int, journal: Array
) -> int:
    """Fill all nodes up to the greatest height that needs no more than ``wanted``.

    A node's j-th replica lifts its use to ``use + j * step``; the lowest such heights are the answer. Returns how many
    replicas it took: all but those of one and the same height.
    """
    low, high = -1, 0
    for at in range(len(seats)):
        row, step = seats[at, 0], terms[seats[at, 1], STEP]
        high = max(high, rows[row, USE] + seats[at, 2] * step)
    high += 1
    while high - low > 1:
        middle, needed = (low + high) // 2, 0
        for at in range(len(seats)):
            row, step = seats[at, 0], terms[seats[at, 1], STEP]
            needed += rows[row, COUNT] * min(seats[at, 2], max(0, (middle - rows[row, USE]) // step))
        if needed <= wanted:
            low = middle
        else:
            high = middle
    took = 0
    for at in range(len(seats)):
        row, lot = seats[at, 0], seats[at, 1]
        times = min(seats[at, 2], max(0, (low - rows[row, USE]) // terms[lot, STEP]))
        if times > 0:
            charge(rows, blocks, sums, asked, terms, lot, row, times, journal)
            seats[at, 2] -= times
            took += times * rows[row, COUNT]
    return took


@compiled
def _fullest(rows: Array, seats: Array) -> Array:
    """Each replica goes to the fullest node that it fits on."""
    numbers, used = np.empty(len(seats), dtype=np.int64), np.empty(len(seats), dtype=np.int64)
    for at in range(len(seats)):
        numbers[at] = rows[seats[at, 0], FIRST]
    order = np.argsort(numbers, kind="mergesort")
    for at in range(len(seats)):
        used[at] = -rows[seats[order[at], 0], USE]
    return order[np.argsort(used, kind="mergesort")]


@compiled
def _tightest(rows: Array, seats: Array) -> Array:
    """Each replica goes to the node that could hold the fewest more of its shape, of those the fullest."""
    order = _fullest(rows, seats)
    each = np.empty(len(seats), dtype=np.int64)
    for at in range(len(seats)):
        each[at] = seats[order[at], 2]
    return order[np.argsort(each, kind="mergesort")]


@compiled
def _fill_up(
    rows: Array, blocks: Array, sums: Array, asked: Array, terms: Array, seats: Array, order: Array, wanted: int,
    journal: Array,
) -> None:  # fmt: skip
    """Fill node after node, in this order of the rows, up to what fits."""
    for at in order:
        row, lot, each = seats[at, 0], seats[at, 1], seats[at, 2]
        whole = min(rows[row, COUNT], wanted // each)
        rest = rows[row, COUNT] - whole
        if whole > 0:
            filled = split(rows, blocks, lot, row, whole)
            charge(rows, blocks, sums, asked, terms, lot, filled, each, journal)
            wanted -= whole * each
        if wanted > 0 and rest > 0:  # one more node is filled in part
            one = split(rows, blocks, lot, row, 1)
            charge(rows, blocks, sums, asked, terms, lot, one, wanted, journal)
            wanted = 0
        if wanted == 0:
            return


@compiled
def is_full(journal: Array) -> bool:
    """Whether a journal has too few lines left for another turn."""
    return len(journal) > 0 and len(journal) - 1 - journal[0, LINES] < journal[0, MOST]


@compiled
def is_tight(blocks: Array, first_lots: Array, population: Array, replicas: Array) -> bool:
    """Whether a block that was bound in has too few spare rows left (see ``Nodes.tidy``)."""
    for cluster in range(len(replicas)):
        if replicas[cluster] > 0:
            for lot in range(first_lots[cluster], first_lots[cluster + 1]):
                if min(blocks[lot, LENGTH] + SPARE, population[lot]) > blocks[lot, SIZE]:
                    return True
    return False
