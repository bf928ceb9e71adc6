"""Alike nodes of the partitions as flavors, and what is free on them. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from federator.clusters.slurm.records import Listing, Node
from federator.clusters.slurm.settings import SlurmSettings
from federator.model.cluster import Flavor, NodeGroup
from federator.model.resources import CPU, MEMORY, Resources

MIB = 1 << 20
PARTITION, GPU_TYPE, FEATURE = "partition", "gpu", "feature/"
"""Labels of flavors."""
Shape = tuple[str, int, int, int, tuple[str, ...], tuple[str, ...]]
"""Partition, cores, MiB, GPUs, their types, features."""


def usable_partitions(listing: Listing, wanted: Sequence[str]) -> tuple[str, ...]:
    """The partitions that work is sent to: those wanted (none named: the default one) that start jobs."""
    names = wanted or [one.name for one in listing.partitions if one.default]
    up = {one.name for one in listing.partitions if one.up}
    return tuple(name for name in names if name in up)


def flavors_of(listing: Listing, settings: SlurmSettings) -> tuple[Flavor, ...]:
    """The flavors, by name. A node of several partitions counts in the first of them, so that none counts twice."""
    partitions = usable_partitions(listing, settings.partitions)
    shapes: dict[Shape, Counter[Resources]] = defaultdict(Counter)
    for node in listing.nodes:
        place = next((name for name in partitions if name in node.partitions), None)
        if place is not None:
            frees = shapes[_shape(node, place)]
            if node.usable:
                frees[_free(node, settings.gpu_resource)] += 1
    # Named by all nodes, those that are down too: a name does not change while a node is away.
    names = _names(list(shapes))
    found = [_flavor(names[shape], shape, frees, settings.gpu_resource) for shape, frees in shapes.items() if frees]
    return tuple(sorted(found, key=lambda flavor: flavor.name))


def used_by_all(listing: Listing, settings: SlurmSettings) -> Resources:
    """What is used of the nodes that count."""
    partitions = set(usable_partitions(listing, settings.partitions))
    total = Resources()
    for node in listing.nodes:
        if node.usable and partitions & set(node.partitions):
            used = amounts(node.used_cpus, node.used_memory_mib, node.used_gpus, settings.gpu_resource)
            total = total + used
    return total


def amounts(cpus: int, memory_mib: int, gpus: int, gpu_resource: str) -> Resources:
    """As resources; without GPUs none are named."""
    pieces = {gpu_resource: gpus} if gpus else {}
    return Resources.of({CPU: cpus * 1000, MEMORY: memory_mib * MIB, **pieces})


def constraint_for(
    wanted: Sequence[str], flavors: Sequence[Flavor], *, of_all: bool = False
) -> tuple[tuple[str, ...], str]:
    """The partitions and the constraint on features that lead to the wanted flavors only.

    ``of_all``: the constraint alone does, in a partition of all their nodes.
    Raises KeyError for a flavor that is not there (any more), and ValueError where nothing tells it from others.
    """
    by_name = {flavor.name: flavor for flavor in flavors}
    chosen = [by_name[name] for name in wanted]
    partitions = tuple(sorted({flavor.labels[PARTITION] for flavor in chosen}))
    others = [f for f in flavors if (of_all or f.labels[PARTITION] in partitions) and f.name not in wanted]
    if not others:
        return partitions, ""
    for flavor in chosen:
        if not features_of(flavor) or any(features_of(flavor) <= features_of(other) for other in others):
            raise ValueError(flavor.name)
    return partitions, "|".join("&".join(sorted(features_of(flavor))) for flavor in chosen)


def features_of(flavor: Flavor) -> set[str]:
    """The features of its nodes."""
    return {key.removeprefix(FEATURE) for key in flavor.labels if key.startswith(FEATURE)}


def _shape(node: Node, partition: str) -> Shape:
    return partition, node.cpus, node.memory_mib, node.gpus, node.gpu_types, node.features


def _free(node: Node, gpu_resource: str) -> Resources:
    return amounts(
        max(0, node.cpus - node.used_cpus),
        max(0, node.memory_mib - node.used_memory_mib),
        max(0, node.gpus - node.used_gpus),
        gpu_resource,
    )


def _flavor(name: str, shape: Shape, frees: Counter[Resources], gpu_resource: str) -> Flavor:
    partition, cpus, memory_mib, gpus, types, features = shape
    labels = {PARTITION: partition, **{FEATURE + feature: "true" for feature in features}}
    if len(types) == 1:
        labels[GPU_TYPE] = types[0]
    groups = sorted(frees.items(), key=lambda pair: pair[0].items_)
    return Flavor(
        name=name,
        count=frees.total(),
        allocatable=amounts(cpus, memory_mib, gpus, gpu_resource),
        nodes=tuple(NodeGroup(free, count) for free, count in groups),
        labels=labels,
    )


def _names(shapes: Sequence[Shape]) -> Mapping[Shape, str]:
    """The partition where its nodes are alike; else with their size, and their features where that is not enough."""
    alone = Counter(shape[0] for shape in shapes)
    sized = Counter(map(_sized, shapes))
    names = {}
    for shape in shapes:
        if alone[shape[0]] == 1:
            names[shape] = shape[0]
        elif sized[_sized(shape)] == 1:
            names[shape] = _sized(shape)
        else:
            names[shape] = "-".join((_sized(shape), *shape[4], *shape[5]))
    return names


def _sized(shape: Shape) -> str:
    partition, cpus, memory_mib, gpus, _, _ = shape
    return f"{partition}-{cpus}cpu-{memory_mib}mib" + (f"-{gpus}gpu" if gpus else "")
