"""Binds what many workloads have on each cluster, one workload after the other. Compiled.

It is what ``binding.bind`` does for each of them, without going back to Python in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.engine.binding import begun, bind_everywhere, is_full, is_tight, journal_lines, lines_at_most
from federator.engine.compiled import compiled
from federator.engine.nodes import Nodes
from federator.engine.rows import LINES, NO_JOURNAL
from federator.engine.shapes import RANK, Shape

_ROOMY = 8
"""A journal has place for as many lines as so many may need; most need far fewer."""


def seat(nodes: Nodes, shapes: Sequence[Shape], replicas: Array, habits: Array) -> tuple[Array, Array]:
    """Take the room of so many ``replicas`` (by turn and cluster) of each of these shapes, one after the other. Returns
    the lines of a journal (see ``engine/rows.py``), and by line in which turn it was written."""
    numbers: dict[int, int] = {}
    which = np.array([numbers.setdefault(id(shape), len(numbers)) for shape in shapes], dtype=np.int64)
    different = list({id(shape): shape for shape in shapes}.values())
    sizes = np.array([len(shape.asked) for shape in different], dtype=np.int64)
    asked = np.zeros((len(different), max(sizes, default=0), 2), dtype=np.int64)
    for line, shape in zip(asked, different, strict=True):
        line[: len(shape.asked)] = shape.asked
    terms = np.stack([shape.terms for shape in different])
    ranks = 1 + int(terms[:, :, RANK].max(initial=0))
    lines, of, done = list[Array](), list[Array](), 0
    journal, ends = NO_JOURNAL, np.zeros(len(shapes), dtype=np.int64)
    while done < len(shapes):
        most = lines_at_most(len(nodes.rows), ranks, len(habits))
        if len(journal) <= most:
            journal = np.empty((1 + _ROOMY * most, NO_JOURNAL.shape[1]), dtype=np.int64)
        first = done
        done = bind_in_turn(
            nodes.rows, nodes.blocks, nodes.sums, nodes.first_lots, nodes.population, nodes.sizes, habits,
            sizes, asked, terms, which, replicas, first, begun(journal, most), ends,
        )  # fmt: skip
        nodes.tidy()
        lines.append(journal_lines(journal).copy())
        of.append(np.repeat(np.arange(first, done), np.diff(ends[first:done], prepend=0)))
    return np.concatenate(lines), np.concatenate(of)


@compiled
def bind_in_turn(
    rows: Array, blocks: Array, sums: Array, first_lots: Array, population: Array, balanced: Array, habits: Array,
    sizes: Array, asked: Array, terms: Array, which: Array, replicas: Array, first: int, journal: Array, ends: Array,
) -> int:  # fmt: skip
    """Bind from the turn ``first`` on, until the nodes or the journal must be laid out anew; returns which is next.

    ``asked`` and ``terms`` are by shape, of which ``sizes`` tells how many resources it asks for, and ``which`` is that
    of each turn. ``ends`` becomes by turn how many lines the journal then has.
    """
    for turn in range(first, len(which)):
        shape = which[turn]
        if sizes[shape] > 0:  # what asks for nothing takes nothing
            amounts = asked[shape, : sizes[shape]].copy()
            bind_everywhere(
                rows, blocks, sums, first_lots, balanced, amounts, terms[shape], replicas[turn], habits, journal
            )
        ends[turn] = journal[0, LINES]
        if is_tight(blocks, first_lots, population, replicas[turn]) or is_full(journal):
            return turn + 1
    return len(which)
