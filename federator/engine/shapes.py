"""What room is counted for: what one replica asks for, and which nodes it may use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.compiled import compiled

ALLOWED, RANK, STEP = 0, 1, 2
"""The columns of ``Shape.terms``."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The shape of a replica.

    ``asked`` is a line (index of the resource, amount) for each resource asked for. ``terms`` is by lot: whether it
    may be used, its rank (lots of a lower rank are used first), and by how much one such replica raises the use of a
    node of it.
    """

    asked: Array
    terms: Array


@compiled
def terms_of(
    asked: Array, allowed: Mask, rank: Array, allocatable: Array, scaled: Array, shifts: Array, wholes: Array, node: int
) -> Array:
    """The terms of a shape whose replicas may use the allowed lots that have a node large enough.

    ``scaled`` are, by lot, the resources that count in a node's use (-1: none), of which ``shifts`` and ``wholes`` tell
    (see ``lots.use_scale``); ``node`` is the use of a node of which all of one is taken.
    """
    terms = np.empty((len(rank), 3), dtype=np.int64)
    for lot in range(len(rank)):
        step, fits = 0, allowed[lot]
        for term in range(len(asked)):
            resource, amount = asked[term, 0], asked[term, 1]
            fits = fits and allocatable[resource, lot] >= amount
            for at in range(len(scaled)):
                if scaled[at, lot] == resource:
                    whole = wholes[at, lot]
                    step += min(amount >> shifts[at, lot], whole) * node // whole
        terms[lot, ALLOWED], terms[lot, RANK], terms[lot, STEP] = fits, rank[lot], max(step, 1)
    return terms
