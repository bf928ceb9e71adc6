"""Data that a workload reads: what clusters lack of it, and how much less they weigh for that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.engine.compiled import compiled
from federator.engine.division import WEIGHT_MAX
from federator.model.cluster import Cluster
from federator.model.workload import Workload

ALL_THERE = 1024
"""The nearness of a cluster that has all inputs."""


def lacking(workload: Workload, clusters: Sequence[Cluster]) -> Array:
    """The bytes of the workload's inputs that each cluster does not have."""
    lacks = [sum(one.size_bytes for one in workload.inputs if cluster.name not in one.at) for cluster in clusters]
    return np.array([min(amount, 2**50) for amount in lacks], dtype=np.int64)


def nearness(lacks: Array, half_bytes: int) -> Array:
    """1024ths by which weights are multiplied: half where a cluster lacks so many bytes, a third at twice as many."""
    half = min(half_bytes, 2**50)
    near: Array = np.maximum(ALL_THERE * half // (half + lacks), 1)
    return near


@compiled
def weighed_down(weights: Array, near: Array) -> Array:
    """Weights times nearness, all by the same factor, so that small ones lose nothing by rounding; 0 stays 0."""
    farthest, heaviest = ALL_THERE, 0
    for at in range(len(weights)):
        farthest, heaviest = min(farthest, near[at]), max(heaviest, weights[at])
    if farthest == ALL_THERE:
        return weights
    found, scale = np.empty_like(weights), 1 if heaviest * ALL_THERE <= WEIGHT_MAX else ALL_THERE
    for at in range(len(weights)):
        found[at] = max(1, weights[at] * near[at] // scale) if weights[at] > 0 else weights[at]
    return found
