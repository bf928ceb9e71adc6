"""Kubernetes objects as a server shows them, in one line each."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from federator.clusters.kubernetes import names

Json = dict[str, Any]
GIB = 2**30
_uids = itertools.count(1)


def node(name: str, *, cpu: str = "8", pods: str = "110", gpus: str = "", **more: Any) -> Json:
    amounts = {"cpu": cpu, "memory": "32Gi", "pods": pods, **({"nvidia.com/gpu": gpus} if gpus else {})}
    ready = "True" if more.get("ready", True) else "False"
    return {
        "metadata": {
            "name": name,
            "uid": f"node-{name}",
            "resourceVersion": str(next(_uids)),
            "labels": {"kubernetes.io/hostname": name, **more.get("labels", {})},
        },
        "spec": {"taints": more.get("taints", []), "unschedulable": more.get("unschedulable", False)},
        "status": {"allocatable": amounts, "conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(name: str, *, node: str = "", phase: str = "Pending", cpu: str = "1", **more: Any) -> Json:
    """A pod; ``intent`` and ``index`` make it ours, ``status`` is added to its status."""
    labels = {}
    if "intent" in more:
        labels = {names.FEDERATION: "fed", names.INTENT: more["intent"]}
        if more.get("index") is not None:
            labels[names.INDEX] = str(more["index"])
    metadata: Json = {
        "name": name,
        "namespace": "work",
        "uid": more.get("uid", f"pod-{name}"),
        "resourceVersion": str(next(_uids)),
        "creationTimestamp": more.get("created", "2026-01-01T00:00:00Z"),
        "labels": labels,
        "annotations": dict(more.get("annotations", {})),
        "ownerReferences": [{"kind": "Job", "name": "x"}],
    }
    if more.get("deleted"):
        metadata |= {"deletionTimestamp": more["deleted"], "deletionGracePeriodSeconds": 30}
    container = {"name": "main", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 30, **({"nodeName": node} if node else {})}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase, **more.get("status", {})}}


def containers(kind: str, **state: Any) -> Json:
    """A status whose one container is waiting, running or terminated."""
    return {"containerStatuses": [{"name": "main", "state": {kind: state}}]}


def condition(kind: str, status: str = "True", **more: Any) -> Json:
    return {"type": kind, "status": status, **more}


def ours(kind: str, name: str, indices: str, *, status: Mapping[str, Any] | None = None, **more: Any) -> Json:
    """An object of ours that stands for these indices."""
    notes = {names.INDICES: indices, names.SPEC_HASH: "h1", names.WORKLOAD_UID: "u1", **more.get("annotations", {})}
    metadata: Json = {
        "name": name,
        "namespace": "work",
        "uid": more.get("uid", f"{kind}-{name}"),
        "resourceVersion": str(next(_uids)),
        "labels": {names.FEDERATION: "fed", names.INTENT: more.get("intent", "w1")},
        "annotations": notes,
    }
    if more.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": metadata, "spec": more.get("spec", {}), "status": dict(status or {})}
