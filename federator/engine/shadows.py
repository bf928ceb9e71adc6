"""What a policy that is only looked at (``shadow: true``) would change: a plan beside the plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from federator.engine.planner import plan
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Policy

Place = tuple[str, str, str]
"""Workload, role, cluster."""


def shadow_difference(seen: Snapshot, made: Plan, policy: Policy) -> int:
    """How many replicas would be on another cluster, would wait or would not, if this policy governed beside those of a
    snapshot; ``made`` is the plan of that."""
    policies = sorted((*seen.policies, policy), key=lambda one: (one.order, one.name))
    return differing(made, plan(replace(seen, policies=tuple(policies))))


def differing(one: Plan, other: Plan) -> int:
    """How many replicas two plans of one snapshot treat differently."""
    more, fewer = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    before, after = placed(one), placed(other)
    for (workload, role, _), replicas in (after - before).items():
        more[workload, role] += replicas
    for (workload, role, _), replicas in (before - after).items():
        fewer[workload, role] += replicas
    return (more | fewer).total()  # one that is elsewhere is in both


def placed(made: Plan) -> Counter[Place]:
    """How many replicas a plan places, by workload, role and cluster."""
    found = Counter[Place]()
    for one in made.placements:
        found[one.workload, one.role, one.cluster] += one.replicas
    return found
