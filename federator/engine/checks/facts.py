"""What the checks look up: who governs whom, which cluster a role may use, what is held and what is new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property

from federator.documents.expressions import (
    cluster_variables,
    compile_expression,
    flavor_variables,
    workload_variables,
)
from federator.model.cluster import Cluster, Flavor, Health
from federator.model.plan import Plan, Snapshot
from federator.model.policy import DEFAULT_POLICY, Bounds, Policy
from federator.model.resources import Resources
from federator.model.selectors import Constraint
from federator.model.workload import Role, Workload

Key = tuple[str, str, str]
"""(workload, role, cluster)."""


class Facts:
    """One snapshot and one plan, with what follows from the documents alone."""

    def __init__(self, snapshot: Snapshot, plan: Plan) -> None:
        self.snapshot = snapshot
        self.plan = plan
        self.clusters = {cluster.name: cluster for cluster in snapshot.clusters}
        self.workloads = {workload.name: workload for workload in snapshot.workloads}
        self.policies = {workload.name: governing(snapshot, workload) for workload in snapshot.workloads}
        self.placed: Mapping[Key, int] = {(p.workload, p.role, p.cluster): p.replicas for p in plan.placements}
        self.held: dict[Key, int] = defaultdict(int)
        self.unbound: dict[Key, int] = defaultdict(int)
        self.leaving: dict[Key, int] = defaultdict(int)
        self.leaving_unbound: dict[Key, int] = defaultdict(int)
        self.movable: dict[Key, int] = defaultdict(int)
        self.moved: dict[tuple[str, str], int] = defaultdict(int)
        for holding in snapshot.holdings:
            key = (holding.workload, holding.role, holding.cluster)
            cluster = self.clusters.get(holding.cluster)
            if cluster is None or holding.workload not in self.workloads:
                continue
            self.unbound[key] += min(holding.unbound, holding.replicas)
            self.leaving_unbound[key] += holding.leaving_unbound
            self.moved[key[:2]] += holding.moved
            if cluster.health is not Health.LOST:
                self.held[key] += holding.replicas
                self.leaving[key] += holding.leaving
            if holding.age_s >= self.policies[holding.workload].stay.min_stay_s:
                self.movable[key] += max(0, holding.replicas - holding.moved)

    @cached_property
    def coming(self) -> Mapping[Key, int]:
        """What takes room on nodes that do not show it yet, even if it is about to leave again."""
        return {key: count + self.leaving_unbound[key] for key, count in self.unbound.items()}

    @cached_property
    def new(self) -> Mapping[Key, int]:
        """How many replicas start anew."""
        return {
            key: count - self.held.get(key, 0) for key, count in self.placed.items() if count > self.held.get(key, 0)
        }

    def role(self, workload: str, role: str) -> Role:
        """A role by its name."""
        return next(one for one in self.workloads[workload].roles if one.name == role)

    def wanted(self, workload: Workload, role: Role) -> int:
        """How many replicas there should be."""
        replaced = self.policies[workload.name].replicas
        return replaced if replaced is not None and len(workload.roles) == 1 else role.replicas

    def bounds(self, workload: str, cluster: str) -> Bounds:
        """The policy's bounds for a workload on a cluster."""
        bounds = self.policies[workload].bounds
        return bounds.get(cluster, bounds.get("*", Bounds()))

    def tier(self, workload: str, cluster: str) -> int | None:
        """The place of the first tier that has the cluster."""
        return next(
            (place for place in range(len(self.policies[workload].tiers)) if self.in_tier(workload, cluster, place)),
            None,
        )

    def in_tier(self, workload: str, cluster: str, place: int) -> bool:
        """Whether the tier names the cluster (an earlier one may name it too)."""
        tier = self.policies[workload].tiers[place]
        if tier.clusters:
            return any(fnmatchcase(cluster, pattern) for pattern in tier.clusters)
        return satisfied(tier.constraint, self.clusters[cluster], self.workloads[workload])

    def weightless(self, workload: str, cluster: str) -> bool:
        """Whether the policy writes weights for the cluster's tier and gives this one none."""
        policy, place = self.policies[workload], self.tier(workload, cluster)
        if place is None:
            return True
        weights = policy.tiers[place].weights
        if weights is not None:
            return weights.get(cluster, weights.get("*", 0)) == 0
        mates = [name for name in self.clusters if self.tier(workload, name) == place]
        written = any(self.bounds(workload, name).weight is not None for name in mates)
        return written and not self.bounds(workload, cluster).weight

    def suits(self, workload: Workload, role: Role, cluster: Cluster) -> bool:
        """Whether nothing lasting keeps the role off the cluster."""
        policy = self.policies[workload.name]
        refused = {(exclusion.workload, exclusion.cluster) for exclusion in self.snapshot.exclusions}
        return (
            self.tier(workload.name, cluster.name) is not None
            and satisfied(policy.require, cluster, workload)
            and satisfied(workload.clusters, cluster, workload)
            and workload.needs <= cluster.abilities
            and (workload.name, cluster.name) not in refused
            and (cluster.flavors is None or any(self.usable(workload, role, cluster, f) for f in cluster.flavors))
        )

    def usable(self, workload: Workload, role: Role, cluster: Cluster, flavor: Flavor) -> bool:
        """Whether one replica may and could run on an empty node of the flavor."""
        tolerated = all(
            taint.effect == "PreferNoSchedule" or any(toleration.tolerates(taint) for toleration in role.tolerations)
            for taint in flavor.taints
        )
        if not tolerated or not role.flavors.selector.matches(flavor.labels):
            return False
        if role.flavors.where:
            values = workload_variables(workload) | cluster_variables(cluster) | flavor_variables(flavor)
            if not holds(role.flavors.where, values):
                return False
        return self.takes(role, cluster).fits_in(flavor.allocatable)

    def takes(self, role: Role, cluster: Cluster) -> Resources:
        """What one replica takes of the cluster's nodes: what it asks for; of cpu, whole cores where they are given."""
        if not cluster.whole_cores:
            return role.requests
        cores = max(1, -(-role.requests["cpu"] // 1000))
        return Resources.of({**role.requests, "cpu": cores * 1000})

    def takes_work(self, cluster: Cluster) -> bool:
        """Whether the cluster as such takes new work now."""
        return cluster.health is Health.UP and not cluster.cordoned and not cluster.draining


def governing(snapshot: Snapshot, workload: Workload) -> Policy:
    """The policy that governs the workload."""
    for policy in sorted(snapshot.policies, key=lambda policy: (policy.order, policy.name)):
        match = policy.match
        if (
            (match.workload is None or match.workload == workload.name)
            and (not match.queues or any(fnmatchcase(workload.queue, pattern) for pattern in match.queues))
            and match.selector.matches(workload.labels)
            and (not match.where or holds(match.where, workload_variables(workload)))
        ):
            return policy
    return DEFAULT_POLICY


def satisfied(constraint: Constraint, cluster: Cluster, workload: Workload) -> bool:
    """Whether a cluster satisfies a constraint of, or for, a workload."""
    if not constraint.selector.matches(cluster.labels):
        return False
    return not constraint.where or holds(constraint.where, workload_variables(workload) | cluster_variables(cluster))


def holds(source: str, values: Mapping[str, object]) -> bool:
    """Whether an expression is true for these variables."""
    return compile_expression(source, frozenset({"workload", "cluster", "flavor"})).holds(values)[0]
