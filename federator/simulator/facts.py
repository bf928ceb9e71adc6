"""What expressions of policy tests can ask of one step: the federation as it is once a plan has been carried out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from federator.documents.expressions import Functions
from federator.documents.problems import did_you_mean
from federator.model.cluster import Health
from federator.model.plan import Plan, Snapshot
from federator.model.resources import CPU, Resources

Json = dict[str, Any]

FIELDS: Mapping[str, Mapping[str, str]] = {
    "cluster": {
        "used": "cores that ours use there",
        "cores": "cores of its nodes",
        "fill": "the largest part of any resource of its nodes that ours and others use, 0.0 to 1.0",
        "running": "how many replicas it has",
        "started": "how many of them it gets by this plan",
        "up": "whether it answers",
    },
    "workload": {
        "running": "how many replicas have a place",
        "waiting": "how many have none",
        "on": 'how many are where, by cluster: `workload("w").on["cern"]`',
    },
    "queue": {
        "used": "cores that its workloads use",
        "running": "how many replicas of them have a place",
        "waiting": "how many have none",
    },
}
"""What `cluster(NAME)`, `workload(NAME)` and `queue(NAME)` give, and what that is."""


class Facts:
    """Of one snapshot and the plan that was made of it."""

    def __init__(self, seen: Snapshot, made: Plan) -> None:
        self._seen, self._made = seen, made

    @property
    def functions(self) -> Functions:
        """The functions of expressions. They raise ValueError for names that nothing has."""
        return {"cluster": self.cluster, "workload": self.workload, "queue": self.queue}

    @cached_property
    def _workloads(self) -> dict[str, Any]:
        return {workload.name: workload for workload in self._seen.workloads}

    @cached_property
    def _requests(self) -> dict[tuple[str, str], Resources]:
        return {(w.name, role.name): role.requests for w in self._seen.workloads for role in w.roles}

    @cached_property
    def _held(self) -> Counter[str]:
        held = Counter[str]()
        for one in self._seen.holdings:
            held[one.cluster] += one.replicas
        return held

    @cached_property
    def _placed(self) -> dict[str, dict[tuple[str, str], int]]:
        """By cluster, then workload and role."""
        found: defaultdict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for one in self._made.placements:
            found[one.cluster][one.workload, one.role] = one.replicas
        return found

    def cluster(self, name: str) -> Json:
        """The facts of a cluster."""
        clusters = {cluster.name: cluster for cluster in self._seen.clusters}
        cluster = _known(clusters, name, "clusters")
        placed, whole = self._placed.get(name, {}), cluster.allocatable
        used = cluster.foreign
        for key, replicas in placed.items():
            used = used + self._requests[key] * replicas
        running = sum(placed.values())
        return {
            "used": (used[CPU] - cluster.foreign[CPU]) / 1000,
            "cores": whole[CPU] / 1000,
            "fill": max((used[resource] / amount for resource, amount in whole.items_), default=0.0),
            "running": running,
            "started": max(0, running - self._held[name]),
            "up": cluster.health is Health.UP,
        }

    def workload(self, name: str) -> Json:
        """The facts of a workload; in a run also of one that has not arrived, or is over."""
        on = Counter[str]({cluster.name: 0 for cluster in self._seen.clusters})
        for cluster, placed in self._placed.items():
            on[cluster] += sum(n for (workload, _), n in placed.items() if workload == name)
        return {"running": on.total(), "waiting": self._refused({name}), "on": dict(on)}

    def queue(self, name: str) -> Json:
        """The facts of a queue; one that nobody uses has none of anything."""
        mine = {workload.name for workload in self._seen.workloads if workload.queue == name}
        shares = [(key, n) for placed in self._placed.values() for key, n in placed.items() if key[0] in mine]
        used = sum(self._requests[key][CPU] * replicas for key, replicas in shares)
        return {"used": used / 1000, "running": sum(n for _, n in shares), "waiting": self._refused(mine)}

    def _refused(self, names: set[str]) -> int:
        return sum(one.replicas for one in self._made.refusals if one.workload in names)


def _known(things: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in things:
        raise ValueError(f"there is none called '{name}': {did_you_mean(name, things, what=what)}")
    return things[name]
