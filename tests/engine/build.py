"""Small federations for tests, in few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from federator.model.cluster import Cluster, Flavor, NodeGroup
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.resources import Resources
from federator.model.workload import Role, Workload


def amounts(cpu: float = 0, memory: int = 0, **others: int) -> Resources:
    """Cores, GiB, and pieces (``gpu`` stands for nvidia.com/gpu)."""
    named = {("nvidia.com/gpu" if name == "gpu" else name): count for name, count in others.items()}
    return Resources.of({"cpu": int(cpu * 1000), "memory": memory * 2**30, **named})


def flavor(
    name: str, nodes: int, whole: Resources, *, free: Sequence[tuple[Resources, int]] = (), **more: Any
) -> Flavor:
    """Empty nodes, unless ``free`` says otherwise."""
    groups = tuple(NodeGroup(left, count) for left, count in free) or (NodeGroup(whole, nodes),)
    return Flavor(name, nodes, whole, groups if nodes else (), **more)


def cluster(name: str, nodes: int = 1, cpu: float = 8, memory: int = 64, **more: Any) -> Cluster:
    """A cluster of alike, empty nodes."""
    more.setdefault("flavors", (flavor("standard", nodes, amounts(cpu, memory)),))
    return Cluster(name, **more)


def workload(name: str, replicas: int, cpu: float = 1, memory: int = 0, **more: Any) -> Workload:
    """A workload of one role; ``roles`` replaces it."""
    role = Role("", replicas, amounts(cpu, memory))
    return Workload(name, more.pop("roles", (role,)), **more)


def snapshot(
    clusters: Sequence[Cluster],
    workloads: Sequence[Workload],
    *,
    held: Mapping[tuple[str, str], int] | None = None,
    **more: Any,
) -> Snapshot:
    """A federation; ``held`` is by (workload, cluster), for an hour already, bound to no node that it shows."""
    holdings = tuple(Holding(w, "", c, count, age_s=3600.0) for (w, c), count in (held or {}).items())
    return Snapshot(
        at_s=10_000.0,
        clusters=tuple(clusters),
        workloads=tuple(workloads),
        holdings=more.pop("holdings", holdings),
        **{name: tuple(value) if isinstance(value, list) else value for name, value in more.items()},
    )


def placed(plan: Plan, workload: str) -> dict[str, int]:
    """How many replicas of all roles are on each cluster."""
    counts: dict[str, int] = {}
    for placement in plan.placements:
        if placement.workload == workload:
            counts[placement.cluster] = counts.get(placement.cluster, 0) + placement.replicas
    return counts


def reasons(plan: Plan, workload: str) -> dict[str, str]:
    """The reason codes of the workload's first refusal, by cluster."""
    refusal = next(refusal for refusal in plan.refusals if refusal.workload == workload)
    return {name: verdict.reason.value for name, verdict in refusal.reasons.items()}
