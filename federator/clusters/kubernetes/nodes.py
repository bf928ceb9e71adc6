"""What is kept of a node. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federator.clusters.kubernetes.quantities import interned, read_amounts
from federator.model.resources import Resources
from federator.model.selectors import Taint

# Labels that tell nodes of one kind apart say nothing about what they can do.
PER_NODE = re.compile(r"(?i).*(hostname|instance-?id|node-?id|node-?name|machine-?(id|name)|provider-?id|serial|uuid)$")
# A taint that only says what `unschedulable` says, and those that the node controller adds while a node is away.
PASSING = ("node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node. ``there``: ready and not cordoned. ``allocatable`` includes its number of ``pods``."""

    uid: str
    version: str
    name: str
    allocatable: Resources
    labels: tuple[tuple[str, str], ...]
    taints: tuple[Taint, ...]
    there: bool


def read_node(raw: Mapping[str, Any]) -> NodeRecord:
    """The record of a node."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    name = metadata["name"]
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return NodeRecord(
        uid=metadata["uid"],
        version=metadata.get("resourceVersion", ""),
        name=name,
        allocatable=interned(read_amounts(status.get("allocatable"), up=False)),
        labels=_shared_labels(metadata.get("labels") or {}, name),
        taints=_taints(spec.get("taints") or ()),
        there=ready and not spec.get("unschedulable"),
    )


def _shared_labels(labels: Mapping[str, str], name: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in labels.items() if value != name and not PER_NODE.fullmatch(key)))


def _taints(taints: Any) -> tuple[Taint, ...]:
    found = (Taint(t["key"], t.get("value") or "", t.get("effect") or "NoSchedule") for t in taints)
    return tuple(sorted((t for t in found if t.key not in PASSING), key=str))
