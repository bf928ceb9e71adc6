"""The openb lists: pods and nodes of a GPU cluster of 2023 (Alibaba; hkust-adsl/kubernetes-scheduler-simulator).

Read are of pods ``name, cpu_milli, memory_mib, num_gpu, gpu_milli``, and where they are there ``gpu_spec`` (the models
of GPU that it takes, between ``|``), ``qos`` (the queue), ``pod_phase, creation_time, deletion_time, scheduled_time``
(seconds); of nodes ``cpu_milli, memory_mib, gpu`` (how many), ``model``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from federator.documents.quantities import format_resources
from federator.documents.sources import TracePart
from federator.model.resources import CPU, GPU, MEMORY, Resources
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Role
from federator.simulator.traces.job import Job, alike
from federator.simulator.traces.rows import Row, columns_of, table

POD = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
NODE = ("cpu_milli", "memory_mib", "gpu", "model")
WHOLE = 1000
"""A GPU, in thousandths."""
MIB = 1 << 20
MODEL = "model"
"""The label of nodes that tells the model of their GPUs."""
ENDED = {"Succeeded": 1, "Failed": 0}
CURE = "take the lists as they are published"


class Pod(NamedTuple):
    """A pod: ``part`` in thousandths is what it takes of each of its ``gpus``; ``models``: the only ones it takes."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    part: int
    models: tuple[str, ...]
    row: Row


class Node(NamedTuple):
    """A node."""

    cpu_milli: int
    memory_mib: int
    gpus: int
    model: str


def known(first: str) -> bool:
    """Whether a log that begins with this line is a list of pods."""
    return set(POD) <= set(columns_of(first))


def pods(path: Path) -> Iterator[Pod]:
    """The pods, as they are listed. Raises TraceError."""
    for row in table(path, tuple((name,) for name in ("name", *POD)), CURE):
        cpu, memory, gpus, part = (_needed(row, name) for name in POD)
        models = tuple(sorted(model for model in row.text("gpu_spec").split("|") if model))
        yield Pod(row.name("name"), cpu, memory, gpus, part if gpus else 0, models, row)


def nodes(path: Path) -> Iterator[Node]:
    """The nodes, as they are listed. Raises TraceError."""
    for row in table(path, tuple((name,) for name in NODE), CURE):
        cpu, memory, gpus = (_needed(row, name) for name in NODE[:3])
        yield Node(cpu, memory, gpus, row.text("model"))


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The pods as jobs: what is asked of a part of a GPU takes a whole one, or is left out. Raises TraceError."""
    for pod in pods(path):
        if part.gpu_parts == "leaveOut" and 0 < pod.part < WHOLE:
            continue
        row = pod.row
        created_s, scheduled_s = row.moment_s("creation_time"), row.moment_s("scheduled_time")
        if created_s is None:
            raise row.wrong("creation_time", "the list has no times: take openb_pod_list_default.csv")
        deleted_s = row.moment_s("deletion_time")
        run_s = None if scheduled_s is None or deleted_s is None else max(0.0, deleted_s - scheduled_s)
        requests = Resources.of({CPU: pod.cpu_milli, MEMORY: pod.memory_mib * MIB, GPU: pod.gpus})
        flavors = Constraint(Selector((Requirement(MODEL, "In", pod.models),))) if pod.models else Constraint()
        yield Job(
            pod.name, created_s, alike((Role("", 1, requests, flavors),)) if requests else (), run_s,
            wait_s=None if scheduled_s is None else max(0.0, scheduled_s - created_s),
            status=ENDED.get(row.text("pod_phase"), -1), queue=row.text("qos"), line=row.line,
        )  # fmt: skip


def cluster(path: Path, name: str) -> dict[str, Any]:
    """The nodes as a Cluster document: a flavor for each kind of node, the ones with most GPUs first."""
    kinds = sorted(Counter(nodes(path)).items(), key=lambda one: (-one[0].gpus, one[0]))
    return {
        "apiVersion": "federator.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"provider": "fake", "flavors": [_flavor(at, node, count) for at, (node, count) in enumerate(kinds)]},
    }


def _flavor(at: int, node: Node, count: int) -> dict[str, Any]:
    room = Resources.of({CPU: node.cpu_milli, MEMORY: node.memory_mib * MIB, GPU: node.gpus})
    model = node.model if node.gpus else "none"
    return {
        "name": f"{model.lower()}-{at}",
        "count": count,
        "allocatable": format_resources(room),
        "labels": {MODEL: model},
    }


def _needed(row: Row, name: str) -> int:
    value = row.whole(name)
    if value is None:
        raise row.wrong(name, "write a whole number")
    return value
