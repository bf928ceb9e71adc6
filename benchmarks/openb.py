"""The openb traces: the nodes and pods of a GPU cluster of 2023 (Alibaba; hkust-adsl/kubernetes-scheduler-simulator).

They are no part of this repository: ``FEDERATOR_TRACES`` names the folder that has them in ``openb/``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from federator.engine.arrays import Array
from federator.engine.gpu_nodes import GPU, GPUS, PART, WHOLE, node
from federator.simulator.traces import openb

WIDTH = 8
"""The most GPUs of a node."""
Shape = tuple[int, int, int, int, int]
"""A row of pods, see ``engine/gpu_nodes.py``."""


def folder() -> Path:
    """Where the traces are; ends the process with a message if that is not said."""
    said = os.environ.get("FEDERATOR_TRACES", "")
    path = Path(said) / "openb"
    if not said or not path.is_dir():
        what = "is not set" if not said else f"is {said}, which has no folder openb"
        raise SystemExit(f"FEDERATOR_TRACES {what}: set it to the folder of the traces, of which openb/ is one")
    return path


@dataclass(frozen=True)
class Trace:
    """``nodes`` and ``shapes`` as ``engine/gpu_nodes.py`` has them; ``pods`` are rows of shapes, as they are listed."""

    nodes: Array
    models: tuple[str, ...]
    shapes: Array
    pods: Array

    @classmethod
    def read(cls, name: str) -> Trace:
        """The nodes that have GPUs, and the pod list of this name."""
        found = list(openb.nodes(folder() / "openb_node_list_gpu_node.csv.gz"))
        models = tuple(sorted({one.model for one in found}))
        bits = {model: 1 << at for at, model in enumerate(models)}
        nodes = [node(one.cpu_milli, one.memory_mib, [WHOLE] * one.gpus, bits[one.model], WIDTH) for one in found]
        listed = [_shape(pod, bits) for pod in openb.pods(folder() / f"openb_pod_list_{name}.csv.gz")]
        shapes = sorted(set(listed))
        at = {shape: place for place, shape in enumerate(shapes)}
        pods = np.array([at[shape] for shape in listed], dtype=np.int64)
        return cls(np.array(nodes, dtype=np.int64), models, np.array(shapes, dtype=np.int64), pods)

    @property
    def capacity(self) -> int:
        """All GPUs, in thousandths."""
        return int(np.maximum(self.nodes[:, GPU:], 0).sum())

    @property
    def asked(self) -> Array:
        """What a pod of each shape asks for of GPUs, in thousandths."""
        asked: Array = self.shapes[:, GPUS] * self.shapes[:, PART]
        return asked

    @property
    def mix(self) -> Array:
        """How many pods of each shape are listed."""
        return np.bincount(self.pods, minlength=len(self.shapes)).astype(np.int64)

    @property
    def common(self) -> Array:
        """The same of the most common shapes only: those that are 95% of the pods, memory not counted."""
        alike = [(cpu, part, gpus, models) for cpu, _, gpus, part, models in self.shapes.tolist()]
        counts, mix = Counter[tuple[int, ...]](), self.mix
        for key, count in zip(alike, mix.tolist(), strict=True):
            counts[key] += count
        kept, covered = set[tuple[int, ...]](), 0
        for key in sorted(counts, key=lambda key: (counts[key], key), reverse=True):
            if covered >= 0.95 * len(self.pods):
                break
            kept.add(key)
            covered += counts[key]
        return np.where([key in kept for key in alike], mix, 0)

    def arrivals(self, random: Random, load: float) -> Array:
        """All pods, shuffled, and after them pods drawn from the list, up to so many times the GPUs there are.

        A list that asks for more is not cut: its first so many are as good a draw as any.
        """
        arriving: list[int] = self.pods.tolist()
        random.shuffle(arriving)
        demand = int(self.asked[self.pods].sum())
        while True:
            drawn = int(self.pods[random.randrange(len(self.pods))])
            demand += int(self.asked[drawn])
            if demand > load * self.capacity:
                return np.array(arriving, dtype=np.int64)
            arriving.append(drawn)


def _shape(pod: openb.Pod, bits: Mapping[str, int]) -> Shape:
    return pod.cpu_milli, pod.memory_mib, pod.gpus, pod.part, sum(bits[model] for model in pod.models)
