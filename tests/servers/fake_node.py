"""A node that exists on paper, and what the apiserver is told about it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
SMALL = {"cpu": "8", "memory": "32Gi", "pods": "110"}
# A node is Ready as long as its Lease is renewed; real kubelets do that every ten seconds.
LEASE_S = 40
HEARTBEAT_S = 10.0


@dataclass(frozen=True)
class FakeNode:
    name: str
    capacity: Mapping[str, str] = field(default_factory=lambda: dict(SMALL))
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    executes: bool = False
    """Whether the commands of its pods truly run, as processes of this machine."""


def fake_nodes(
    prefix: str,
    count: int,
    capacity: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
    *,
    executes: bool = False,
) -> list[FakeNode]:
    """``count`` nodes alike, named ``prefix-0``, ``prefix-1`` and so on."""
    full = {"pods": "110", **(capacity or SMALL)}
    return [FakeNode(f"{prefix}-{number}", full, labels or {}, taints, executes) for number in range(count)]


def node_object(node: FakeNode) -> Json:
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": {**labels, **node.labels}},
        "spec": {"taints": [dict(taint) for taint in node.taints]},
    }


def node_status(node: FakeNode, log_port: int) -> Json:
    """Ready, and its logs are to be had from us."""
    since = now()
    quiet = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
    conditions = [
        {"type": kind, "status": status, "reason": "FakeKubelet", "message": "as told",
         "lastHeartbeatTime": since, "lastTransitionTime": since}
        for kind, status in {**quiet, "Ready": "True"}.items()
    ]  # fmt: skip
    return {
        "status": {
            "capacity": dict(node.capacity),
            "allocatable": dict(node.capacity),
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": node.name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": log_port}},
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "osImage": "none", "kernelVersion": "none",
                "containerRuntimeVersion": "fake://1", "kubeletVersion": "v0.0.0-fake", "kubeProxyVersion": "",
                "machineID": node.name, "systemUUID": node.name, "bootID": node.name,
            },
        }
    }  # fmt: skip


def lease_object(name: str) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": lease_spec(name),
    }


def lease_spec(name: str) -> Json:
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, "renewTime": moment}


def is_ready(node: Json) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_usable(node: Json) -> bool:
    """Ready, and the controllers have taken their own taints off it."""
    taints = (node.get("spec") or {}).get("taints") or []
    return is_ready(node) and not any(t["key"].startswith("node.kubernetes.io/") for t in taints)


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
