"""What other policies would change of a federation as it is: in the plan of now, and in how it goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from federator.engine.shadows import Place, placed
from federator.model.plan import Plan, Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """Replicas of a workload's role on a cluster: that are there, and that should be under the policies of now and
    under the others."""

    workload: str
    role: str
    cluster: str
    runs: int
    now: int
    then: int


def changes(seen: Snapshot, now: Plan, then: Plan) -> list[Change]:
    """Where the two plans of one snapshot differ, by workload, role and cluster."""
    runs = Counter[Place]()
    for one in seen.holdings:
        runs[one.workload, one.role, one.cluster] += one.replicas
    before, after = placed(now), placed(then)
    differ = sorted(place for place in before | after if before[place] != after[place])
    return [Change(*place, runs[place], before[place], after[place]) for place in differ]


def sums(plan: Plan) -> dict[str, int]:
    """How many replicas a plan refuses, moves, and lets give way."""
    return {
        "refused": sum(one.replicas for one in plan.refusals),
        "moved": sum(one.replicas for one in plan.moves),
        "preempted": sum(one.replicas for one in plan.preemptions),
    }
