"""What room is counted for: what one replica asks for, and which nodes it may use."""

from __future__ import annotations

from dataclasses import dataclass

from federator.engine.arrays import Array

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
