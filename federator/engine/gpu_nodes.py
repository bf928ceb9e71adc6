"""Nodes whose GPUs are counted one by one, so that pods may share one: who fits where, and on which GPUs. Compiled.

A node is a row: free ``CPU`` (milli-cores) and ``MEMORY`` (MiB), its ``MODEL`` of GPU (a bit; 0: it has none), and from
``GPU`` on what is free of each of its GPUs in thousandths, ``NO_GPU`` where it has no more of them. A pod is a row too:
``CPU``, ``MEMORY``, how many ``GPUS`` and how much of each (``PART``, in thousandths), and the ``MODELS`` that it takes
(bits; 0: any).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federator.engine.arrays import Array
from federator.engine.compiled import compiled

CPU, MEMORY, MODEL, GPU = 0, 1, 2, 3
"""Of a node; cpu and memory of a pod stand in the same columns."""
GPUS, PART, MODELS = 2, 3, 4
"""Of a pod."""
WHOLE = 1000
"""A GPU, in thousandths."""
NO_GPU = -1


def node(cpu: int, memory: int, gpus: Sequence[int], model: int, width: int) -> list[int]:
    """The row of a node of which so much is free; ``width``: the most GPUs that any node has."""
    return [cpu, memory, model if gpus else 0, *gpus, *[NO_GPU] * (width - len(gpus))]


@compiled
def holds(nodes: Array, at: int, pods: Array, pod: int) -> bool:
    """Whether one more such pod fits on the node."""
    if nodes[at, CPU] < pods[pod, CPU] or nodes[at, MEMORY] < pods[pod, MEMORY]:
        return False
    if pods[pod, GPUS] == 0:
        return True
    if pods[pod, MODELS] != 0 and pods[pod, MODELS] & nodes[at, MODEL] == 0:
        return False
    found = 0
    for gpu in range(GPU, nodes.shape[1]):
        if nodes[at, gpu] >= pods[pod, PART]:
            found += 1
    return bool(found >= pods[pod, GPUS])


@compiled
def tightest(nodes: Array, at: int, part: int) -> int:
    """The column of the GPU with the least free that is enough, the first of such; -1 if there is none."""
    best = -1
    for gpu in range(GPU, nodes.shape[1]):
        if nodes[at, gpu] >= part and (best < 0 or nodes[at, gpu] < nodes[at, best]):
            best = gpu
    return best


@compiled
def take(nodes: Array, at: int, pods: Array, pod: int, gpu: int) -> None:
    """Put the pod on the node: on this GPU (its column) if it asks for one, else on the tightest that hold a part."""
    nodes[at, CPU] -= pods[pod, CPU]
    nodes[at, MEMORY] -= pods[pod, MEMORY]
    part = pods[pod, PART]
    if pods[pod, GPUS] == 1:
        nodes[at, gpu] -= part
        return
    taken = np.zeros(nodes.shape[1], dtype=np.bool_)
    for _ in range(pods[pod, GPUS]):
        best = -1
        for other in range(GPU, nodes.shape[1]):
            if not taken[other] and nodes[at, other] >= part and (best < 0 or nodes[at, other] < nodes[at, best]):
                best = other
        taken[best] = True
        nodes[at, best] -= part


@compiled
def free_of_gpus(nodes: Array, at: int) -> int:
    """What is free of all GPUs of the node together."""
    free = 0
    for gpu in range(GPU, nodes.shape[1]):
        free += max(0, nodes[at, gpu])
    return free
