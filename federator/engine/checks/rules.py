"""New replicas go only where they may, and no more of them than a policy allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from federator.engine.checks.facts import Facts
from federator.model.cluster import Health


def hard_rules_kept(facts: Facts) -> Iterator[str]:
    """Tiers, requirements, the user's limits, abilities, flavors, taints, refusals, cordon and health."""
    for (workload_name, role_name, cluster_name), count in facts.new.items():
        workload, cluster = facts.workloads[workload_name], facts.clusters[cluster_name]
        if not facts.takes_work(cluster):
            yield f"{workload_name}: {count} new replicas on {cluster_name}, which takes no new work"
        role = facts.role(workload_name, role_name)
        if not facts.suits(workload, role, cluster):
            yield f"{workload_name}: {count} new replicas on {cluster_name}, which it may not use"
        if any(report.requests.fits_in(role.requests) for report in cluster.unschedulable):
            yield f"{workload_name}: {count} new replicas on {cluster_name}, which said that none finds a node"


def maxima_kept(facts: Facts) -> Iterator[str]:
    """A cluster holds no more of a workload than its maximum, unless it held more and cannot be told."""
    totals: Counter[tuple[str, str]] = Counter()
    for (workload, _, cluster), count in facts.placed.items():
        totals[workload, cluster] += count
    for (workload, cluster), count in totals.items():
        maximum = facts.bounds(workload, cluster).maximum
        held = sum(c for (w, _, where), c in facts.held.items() if (w, where) == (workload, cluster))
        silent = facts.clusters[cluster].health is not Health.UP
        if facts.clusters[cluster].vacated and not silent and count > 0:
            yield f"{workload}: {count} replicas on {cluster}, whose draining is over its deadline"
        if maximum is not None and count > maximum and not (silent and count <= held):
            yield f"{workload}: {count} replicas on {cluster}, policy allows {maximum}"
