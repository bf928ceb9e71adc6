"""What room is counted for (a shape), where (a window on the nodes), and the count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import Array, Mask


@dataclass(frozen=True, slots=True)
class Shape:
    """What one replica asks for, and which lots it may use.

    ``amounts`` are (index of the resource, amount); ``allowed`` and ``rank`` are by lot: lots of a lower rank are
    used first. ``step`` is by how much one such replica raises the use of a node of the lot.
    """

    amounts: tuple[tuple[int, int], ...]
    allowed: Mask
    rank: Array
    step: Array


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The rows of some clusters: which they are (a slice where they lie together), and where in them each lot begins.

    ``lots`` of ``sizes`` rows begin at ``lot_starts``, the lots of each of ``clusters`` at ``cluster_starts``.
    ``lot_of`` is by row the place in ``lots``, ``home_of`` by lot the place in ``clusters``.
    """

    clusters: Array
    lots: Array
    rows: Array | slice
    lot_of: Array
    home_of: Array
    lot_starts: Array
    cluster_starts: Array
    sizes: Array

    def rows_at(self, places: Array) -> Array:
        """Which rows of all stand at these places of the window."""
        return places + self.rows.start if isinstance(self.rows, slice) else self.rows[places]

    def by_lot(self, rows: Array) -> Array:
        """The sum over the rows of each lot."""
        return np.add.reduceat(rows, self.lot_starts)

    def by_cluster(self, lots: Array) -> Array:
        """The sum over the lots of each cluster."""
        return np.add.reduceat(lots, self.cluster_starts)


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """Room counted on a window: how many of a shape each node of a row ``fits``, and the ``room`` by lot."""

    window: Window
    layout: int
    fits: Array
    room: Array
