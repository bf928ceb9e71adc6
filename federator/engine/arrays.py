"""The types of the engine's arrays, and the number that stands for no limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64]
Mask = NDArray[np.bool_]

UNLIMITED = 2**40
"""Stands for room without limit; more replicas than anybody has."""


def total(amounts: Array) -> int:
    """Their sum, without numpy's general wrapper."""
    return int(np.add.reduce(amounts))
