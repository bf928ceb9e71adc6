"""The snapshot that a set of documents describes, for plans without a daemon. No clock is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from federator.documents.backfill import to_filler
from federator.documents.documents import Document, Documents
from federator.documents.limit import to_limit
from federator.documents.problems import DocumentErrors, Problem, did_you_mean
from federator.documents.queue import PlacementSpec
from federator.documents.stored import to_workload
from federator.documents.translate import (
    to_cluster,
    to_cohort,
    to_displacements,
    to_planning,
    to_policy,
    to_queue,
    to_spent,
    to_usage,
)
from federator.model.cluster import Cluster
from federator.model.plan import Holding, Snapshot
from federator.model.policy import Planning, Policy
from federator.model.workload import Role, Workload


def to_snapshot(documents: Documents, at_s: float | None = None) -> Snapshot:
    """The federation as the documents say; ``at_s`` is by default the time of the latest submission, or 0.

    What Placement documents say runs is not bound to nodes: the planner binds it. Raises DocumentErrors where they
    name a role that the workload has not.
    """
    workloads = tuple(sorted((_planned(document) for document in documents.workloads), key=lambda one: one.name))
    at = at_s if at_s is not None else max((workload.submitted_at_s for workload in workloads), default=0.0)
    kinds = frozenset(need for workload in workloads for need in workload.needs if need.startswith("kind:"))
    clusters = (_offline(to_cluster(document), kinds) for document in documents.clusters)
    planning = documents.planning
    return Snapshot(
        at_s=at,
        clusters=tuple(sorted(clusters, key=lambda one: one.name)),
        workloads=workloads,
        holdings=_holdings(documents.placements, workloads),
        policies=tuple(sorted(_governing(documents), key=lambda one: (one.order, one.name))),
        queues=tuple(sorted(map(to_queue, documents.queues), key=lambda one: one.name)),
        planning=to_planning(planning[0]) if planning else Planning(),
        cohorts=tuple(sorted(map(to_cohort, documents.cohorts), key=lambda one: one.name)),
        limits=tuple(sorted(map(to_limit, documents.limits), key=lambda one: one.name)),
        spent=tuple(sorted(filter(None, map(to_spent, documents.queues)), key=lambda one: one.queue)),
        usage=tuple(sorted(filter(None, map(to_usage, documents.queues)), key=lambda one: one.queue)),
        displacements=to_displacements(planning[0]) if planning else (),
        fillers=tuple(sorted(map(to_filler, documents.backfills), key=lambda one: one.name)),
    )


def _governing(documents: Documents) -> Iterator[Policy]:
    return (policy for policy in map(to_policy, documents.policies) if not policy.shadow)


def _offline(cluster: Cluster, kinds: frozenset[str]) -> Cluster:
    """No server tells which kinds it has: one that takes manifests is taken to have all that are asked for."""
    return replace(cluster, abilities=cluster.abilities | kinds) if "manifest" in cluster.abilities else cluster


def _planned(document: Document) -> Workload:
    """The workload with the replicas that are wanted at once."""
    workload = to_workload(document).workload
    if workload.parallelism is None:
        return workload
    roles = tuple(replace(role, replicas=min(role.replicas, workload.parallelism)) for role in workload.roles)
    return replace(workload, roles=roles, min_replicas=min(workload.min_replicas, sum(r.replicas for r in roles)))


def _holdings(documents: tuple[Document, ...], workloads: tuple[Workload, ...]) -> tuple[Holding, ...]:
    """What runs, by workload, role and cluster; several documents of one place are added up."""
    roles = {workload.name: workload.roles for workload in workloads}
    found: dict[tuple[str, str, str], Holding] = {}
    problems: list[Problem] = []
    for document in documents:
        spec: PlacementSpec = document.spec
        role = _role(document, spec, roles.get(spec.workload, ()), problems)
        key = (spec.workload, role, spec.cluster)
        other = found.get(key)
        replicas = spec.replicas + (other.replicas if other else 0)
        age_s = min(spec.age, other.age_s) if other else spec.age
        unbound = (spec.replicas if spec.unbound is None else spec.unbound) + (other.unbound if other else 0)
        moved = spec.moved + (other.moved if other else 0)
        waves = tuple(sorted((*_waves(other), (spec.age, spec.replicas)))) if other else ()
        leaving = spec.leaving + (other.leaving if other else 0)
        unseen = (spec.leaving if spec.unbound is None else 0) + (other.leaving_unbound if other else 0)
        found[key] = Holding(*key, replicas, unbound, age_s, moved, leaving, unseen, waves)
    if problems:
        raise DocumentErrors(problems)
    return tuple(found[key] for key in sorted(found) if found[key].replicas or found[key].leaving)


def _waves(holding: Holding) -> tuple[tuple[float, int], ...]:
    return holding.waves or ((holding.age_s, holding.replicas),)


def _role(document: Document, spec: PlacementSpec, roles: tuple[Role, ...], problems: list[Problem]) -> str:
    """The role that a Placement means. Where the workload is not here, it is taken at its word."""
    names = [role.name for role in roles]
    if not names or spec.role in names:
        return spec.role or ""
    if spec.role is None and len(names) == 1:
        return names[0]
    source = document.source
    cure = did_you_mean(spec.role or "", names, what="it has") if names != [""] else "leave it out"
    message = f"workload '{spec.workload}' has no role '{spec.role}'" if spec.role else "the role is missing"
    problems.append(Problem(source.file, source.line, 1 if source.line else 0, "spec.role", message, cure))
    return names[0]
