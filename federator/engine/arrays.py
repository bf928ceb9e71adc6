"""The few array steps that every plan takes hundreds of thousands of times, without numpy's general wrappers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Mask = NDArray[np.bool_]


def total(amounts: Array) -> int:
    """Their sum."""
    return int(np.add.reduce(amounts))


def starts_of(values: Array) -> Array:
    """Where each run of equal values begins."""
    edges = np.empty(len(values), dtype=bool)
    edges[:1] = True
    np.not_equal(values[1:], values[:-1], out=edges[1:])
    return edges.nonzero()[0]


def before_in_run(amounts: Array, starts: Array) -> Array:
    """The sum of the amounts that come before each in its run (runs begin at ``starts``)."""
    before = amounts.cumsum()
    before -= amounts
    lengths = np.empty(len(starts), dtype=np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = len(amounts) - starts[-1:]
    before -= before[starts].repeat(lengths)
    return before


def counted_up(counts: Array) -> Array:
    """0, 1, ... count - 1 for each count, one after the other."""
    ends = counts.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - (ends - counts).repeat(counts)


def between(values: Array, low: Array | int, high: Array | int) -> Array:
    """The values cut to what lies between; ``high`` wins."""
    cut: Array = np.minimum(np.maximum(values, low), high)
    return cut
