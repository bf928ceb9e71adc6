"""Alike nodes as flavors, and what is free on them. Pure.

``pods`` is among the resources of a flavor, for people and metrics. A workload's requests do not name it, so a node
without a free pod slot is shown with nothing free at all: nothing more can start there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.nodes import NodeRecord
from federator.clusters.kubernetes.quantities import PODS, write_quantity
from federator.model.cluster import Flavor, NodeGroup
from federator.model.resources import CPU, Resources
from federator.model.selectors import Taint

# The first that a node has gives its flavor its name.
NAMING = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
Shape = tuple[Resources, tuple[tuple[str, str], ...], tuple[Taint, ...]]


def free_of(node: NodeRecord, used: Mapping[str, int]) -> Resources:
    """What is left of a node when ``used`` (``pods`` included) is taken away; nothing without a free pod slot."""
    room = node.allocatable
    if PODS in room and room[PODS] <= used.get(PODS, 0):
        return Resources()
    # A node can be overcommitted (by pods that nobody scheduled): less than nothing is free of nothing.
    return Resources.of({name: max(0, amount - used.get(name, 0)) for name, amount in room.items_})


def flavors_of(nodes: Iterable[tuple[NodeRecord, Resources]]) -> tuple[Flavor, ...]:
    """Flavors of these nodes (each with what is free of it), sorted by name; the order of the nodes changes nothing."""
    groups: dict[Shape, Counter[Resources]] = defaultdict(Counter)
    for node, free in nodes:
        groups[node.allocatable, node.labels, node.taints][free] += 1
    named = _names(list(groups))
    return tuple(
        sorted(
            (
                Flavor(
                    name=named[shape],
                    count=sum(frees.values()),
                    allocatable=shape[0],
                    nodes=tuple(
                        NodeGroup(free, count) for free, count in sorted(frees.items(), key=lambda pair: pair[0].items_)
                    ),
                    labels=dict(shape[1]),
                    taints=shape[2],
                )
                for shape, frees in groups.items()
            ),
            key=lambda flavor: flavor.name,
        )
    )


def _names(shapes: Sequence[Shape]) -> dict[Shape, str]:
    """A readable name for each shape: its instance type or its size, and a fingerprint where two would be alike."""
    stems = {shape: _stem(shape) for shape in shapes}
    taken = Counter(stems.values())
    return {
        shape: stem if taken[stem] == 1 else f"{stem}-{names.digest(repr(shape), 6)}" for shape, stem in stems.items()
    }


def _stem(shape: Shape) -> str:
    allocatable, labels, _ = shape
    by_key = dict(labels)
    for key in NAMING:
        if by_key.get(key):
            return by_key[key]
    parts = [
        f"{allocatable[CPU] // 1000}cpu" if allocatable[CPU] >= 1000 else f"{write_quantity(CPU, allocatable[CPU])}cpu"
    ]
    pieces = (n for n in allocatable if "/" in n and not n.startswith("hugepages-"))
    parts += [f"{allocatable[n]}{n.rpartition('/')[2]}" for n in sorted(pieces)]
    return names.dns_label("-".join(parts))


def affinity_terms(wanted: Sequence[str], flavors: Sequence[Flavor]) -> list[list[dict[str, object]]]:
    """For each wanted flavor the node-selector expressions that tell it from the cluster's other flavors.

    Raises KeyError, with the flavor's name, for one that the cluster does not have (any more).
    """
    by_name = {flavor.name: flavor for flavor in flavors}
    keys = sorted({key for flavor in flavors for key in flavor.labels})
    telling = [key for key in keys if len({flavor.labels.get(key) for flavor in flavors}) > 1]
    terms = []
    for name in sorted(wanted):
        labels = by_name[name].labels
        terms.append([_expression(key, labels.get(key)) for key in telling])
    return [] if any(not term for term in terms) else terms


def _expression(key: str, value: str | None) -> dict[str, object]:
    if value is None:
        return {"key": key, "operator": "DoesNotExist"}
    return {"key": key, "operator": "In", "values": [value]}
