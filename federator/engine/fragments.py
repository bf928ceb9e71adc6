"""What of the free GPUs no pod to come could use, and binding so that this grows least. Compiled.

The measure and the rule are those of fragmentation gradient descent: Weng et al., "Beware of Fragmentation: Scheduling
GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC 2023. A ``mix`` says what pods are to come: how
many of each (``pods`` of ``engine/gpu_nodes.py``). For one of them everything free on a node is a fragment if the node
does not hold the pod, or the pod asks for no GPU; else what is free of those GPUs that have too little for a part of
it. The fragments of a node are the sum over the mix. Whole numbers throughout: thousandths of GPUs times pods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.compiled import compiled
from federator.engine.gpu_nodes import GPU, GPUS, NO_GPU, PART, WHOLE, free_of_gpus, holds, take

NOWHERE = -1
"""The place of a pod that no node holds."""


@compiled
def fragments(nodes: Array, at: int, pods: Array, mix: Array) -> int:
    """The fragments of one node."""
    found, free = 0, free_of_gpus(nodes, at)
    if free == 0:
        return 0
    for pod in range(len(pods)):
        if mix[pod] == 0:
            continue
        if pods[pod, GPUS] == 0 or not holds(nodes, at, pods, pod):
            found += mix[pod] * free
            continue
        for gpu in range(GPU, nodes.shape[1]):
            if 0 < nodes[at, gpu] < pods[pod, PART]:
                found += mix[pod] * nodes[at, gpu]
    return found


@compiled
def growth(nodes: Array, at: int, pods: Array, mix: Array, pod: int) -> tuple[int, int]:
    """By how much the node's fragments grow with the pod on it, and on which GPU (its column) they grow least.

    A pod that asks for no GPU, or for several, gets those that ``take`` chooses (``NO_GPU``).
    """
    before, trial = fragments(nodes, at, pods, mix), np.empty((1, nodes.shape[1]), dtype=np.int64)
    if pods[pod, GPUS] != 1:
        trial[0] = nodes[at]
        take(trial, 0, pods, pod, NO_GPU)
        return fragments(trial, 0, pods, mix) - before, NO_GPU
    least, best = 0, NO_GPU
    for gpu in range(GPU, nodes.shape[1]):
        open_to_it = nodes[at, gpu] >= pods[pod, PART]
        for other in range(GPU, gpu):
            open_to_it = open_to_it and nodes[at, other] != nodes[at, gpu]  # one with as much free has been tried
        if not open_to_it:
            continue
        trial[0] = nodes[at]
        take(trial, 0, pods, pod, gpu)
        more = fragments(trial, 0, pods, mix) - before
        if best == NO_GPU or more < least:
            least, best = more, gpu
    return least, best


@compiled
def least_growth(
    nodes: Array, pods: Array, mix: Array, steps: Array, pod: int, growths: Array, gpus: Array, known: Mask
) -> int:
    """The node on which the pod makes the fewest fragments, the first of such; -1 if none holds it.

    Growths that no ``steps`` lie between count as equal; without any steps every difference counts. What is found is
    kept in ``growths`` and ``gpus`` (by pod and node) as long as it is ``known``.
    """
    best, least = NOWHERE, 0
    for at in range(len(nodes)):
        if not holds(nodes, at, pods, pod):
            continue
        if not known[pod, at]:
            more, gpus[pod, at] = growth(nodes, at, pods, mix, pod)
            growths[pod, at] = more if len(steps) == 0 else np.searchsorted(steps, more)
            known[pod, at] = True
        if best < 0 or growths[pod, at] < least:
            best, least = at, growths[pod, at]
    return best


@dataclass(slots=True, eq=False)
class GradientDescent:
    """Binds pod after pod so that fragments grow least; ``nodes`` are changed in place.

    ``steps`` round growths (see ``least_growth``); left out: to tenths of a GPU. What is nearly equal should be equal,
    so that ties fill the first nodes first and the last stay whole. Ties go to the first node, then to the first GPU.
    """

    nodes: Array
    pods: Array
    mix: Array
    steps: Array
    growths: Array
    gpus: Array
    known: Mask

    @classmethod
    def over(cls, nodes: Array, pods: Array, mix: Array, steps: Array | None = None) -> GradientDescent:
        """Over these nodes, for these pods, of which ``mix`` tells how many are to come."""
        shape = len(pods), len(nodes)
        steps = tenths(nodes, mix) if steps is None else steps
        zeros = np.zeros(shape, dtype=np.int64)
        return cls(nodes, pods, mix, steps, zeros, zeros.copy(), np.zeros(shape, dtype=np.bool_))

    def bind(self, arrivals: Array) -> Array:
        """The node of each of these pods (their rows), one after the other; ``NOWHERE`` for those that none holds."""
        return _bind(self.nodes, self.pods, self.mix, self.steps, arrivals, self.growths, self.gpus, self.known)


def tenths(nodes: Array, mix: Array) -> Array:
    """Steps between growths that differ by less than a tenth of a GPU, for the mean pod of the mix."""
    most = WHOLE * (nodes.shape[1] - GPU)
    found: Array = np.arange(-most, most + 1, WHOLE // 10, dtype=np.int64) * int(mix.sum())
    return found


@compiled
def _bind(
    nodes: Array, pods: Array, mix: Array, steps: Array, arrivals: Array, growths: Array, gpus: Array, known: Mask
) -> Array:
    bound = np.empty(len(arrivals), dtype=np.int64)
    for turn in range(len(arrivals)):
        pod = arrivals[turn]
        at = least_growth(nodes, pods, mix, steps, pod, growths, gpus, known)
        bound[turn] = at
        if at >= 0:
            take(nodes, at, pods, pod, gpus[pod, at])
            known[:, at] = False
    return bound
