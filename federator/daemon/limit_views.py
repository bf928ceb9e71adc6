"""Limits by name as JSON-able values, with what is used of them. Pure reading."""

from __future__ import annotations

from collections import Counter
from typing import Any

from federator.daemon.measure import in_use, takers
from federator.daemon.state import State
from federator.daemon.views import source_of
from federator.model.limits import Limit
from federator.model.plan import Plan, Snapshot
from federator.model.resources import Resources


def limits(state: State, snapshot: Snapshot, plan: Plan) -> dict[str, dict[str, Any]]:
    """All limits by name, with what is used of them and what waits, as the last plan found it."""
    roles = takers(snapshot)
    used: Counter[tuple[str, str]] = Counter()
    for name, cluster, amount in in_use(snapshot, roles):
        used[name, cluster] += amount
    waiting: Counter[str] = Counter()
    for refusal in plan.refusals if roles else ():
        for name, each in roles.get((refusal.workload, refusal.role), Resources()).items_:
            waiting[name] += each * refusal.replicas
    clusters = sorted(cluster.name for cluster in snapshot.clusters)
    return {
        limit.name: {
            "name": limit.name,
            "scope": _scope(limit),
            "limit": limit.count,
            "used": sum(used[limit.name, cluster] for cluster in clusters),
            "waiting": waiting[limit.name],
            "clusters": {
                cluster: {"limit": limit.on(cluster), "used": used[limit.name, cluster]}
                for cluster in clusters
                if limit.on(cluster) is not None or used[limit.name, cluster]
            },
            "source": source_of(state, "Limit", limit.name),
        }
        for limit in sorted(state.limits, key=lambda one: one.name)
    }


def _scope(limit: Limit) -> str:
    if limit.clusters:
        return "clusters" if limit.count is None else "federation, clusters"
    return "federation"
