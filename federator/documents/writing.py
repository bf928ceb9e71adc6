"""From values of the model back to documents, so that a live federation can be planned, simulated and reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from federator.documents.documents import Document
from federator.documents.downtimes import written_downtime
from federator.documents.fields import Part
from federator.documents.policy import RSP_VERSIONS
from federator.documents.quantities import (
    format_amount,
    format_duration,
    format_period,
    format_quantity,
    format_resources,
    format_share,
    format_time,
    price_unit,
)
from federator.documents.translate import ABILITIES
from federator.documents.workload import WorkloadBody
from federator.documents.written import Raw, document_of, said
from federator.model.cluster import Cluster, Flavor, Health, NodeGroup, Rise
from federator.model.plan import Displacement, Holding
from federator.model.policy import FULL_PPM, Bounds, Planning, Policy, Tier
from federator.model.selectors import Constraint, Requirement, Selector, Taint, Toleration
from federator.model.workload import Role, Workload


def canonical(document: Document) -> Raw:
    """The document with what is a default left out, and every value in its usual form."""
    if not isinstance(document.spec, Part):
        return {key: value for key, value in document.raw.items() if key != "status"}
    # In a Workload with a template, what is given counts even where it is the default.
    given = isinstance(document.spec, WorkloadBody) and bool(document.spec.template)
    spec = document.spec.model_dump(mode="json", by_alias=True, exclude_defaults=not given, exclude_unset=given)
    metadata: Raw = {"name": document.name}
    written = document.raw.get("metadata")
    for key in ("labels", "annotations"):
        if isinstance(written, Mapping) and written.get(key):
            metadata[key] = written[key]
    return {"apiVersion": document.api_version, "kind": document.kind, "metadata": metadata, "spec": spec}


def cluster_document(cluster: Cluster) -> Raw:
    """A Cluster document with what is observed of it; settings of its provider are left out."""
    observed = said(
        {
            "health": str(cluster.health) if cluster.health is not Health.UP else None,
            "message": cluster.health_message,
            "away": format_duration(cluster.away_s) if cluster.away_s else None,
            "draining": cluster.draining,
            "vacated": cluster.vacated,
            "downtime": written_downtime(cluster.downtime) if cluster.downtime else None,
            "foreign": format_resources(cluster.foreign),
            "unschedulable": [
                {"requests": format_resources(one.requests), "message": one.message} for one in cluster.unschedulable
            ],
            "idle": [
                {"for": format_duration(for_s), "free": format_resources(free)}
                for for_s, free in sorted(cluster.idle.items())
            ],
            "rises": [_rise(rise) for rise in cluster.rises],
        }
    )
    if cluster.limits is not None:
        observed["limits"] = format_resources(cluster.limits)
    if cluster.abilities != ABILITIES.get(cluster.provider):
        observed["abilities"] = sorted(cluster.abilities)
    spec = {
        "provider": cluster.provider,
        "binding": str(cluster.binding) if cluster.binding != "spread" else None,
        "price": _prices(cluster.price),
        "carbonIntensity": cluster.carbon_g_per_kwh or None,
        "power": dict(sorted(cluster.power_w.items())),
        "cordoned": cluster.cordoned,
        "observed": observed,
    }
    document = document_of("Cluster", cluster.name, spec, cluster.labels)
    if cluster.whole_cores != (cluster.provider == "slurm"):  # which it is read as without its provider's settings
        document["spec"]["wholeCores"] = cluster.whole_cores
    if cluster.flavors is not None:
        document["spec"]["flavors"] = [_flavor(flavor) for flavor in cluster.flavors]
    return document


def _rise(rise: Rise) -> Raw:
    samples = [{"by": format_resources(by), "times": times} for by, times in rise.samples]
    return {"within": format_duration(rise.within_s), "samples": samples}


def _prices(prices: Mapping[str, float]) -> Raw:
    return {name: micro * price_unit(name) / 1_000_000 for name, micro in sorted(prices.items())}


def _flavor(flavor: Flavor) -> Raw:
    free = flavor.nodes == ((NodeGroup(flavor.allocatable, flavor.count),) if flavor.count else ())
    written = said(
        {
            "maxCount": flavor.max_count if flavor.max_count > flavor.count else None,
            "bootTime": format_duration(flavor.boot_time_s) if flavor.boot_time_s else None,
            "idleTime": None if flavor.idle_time_s is None else format_duration(flavor.idle_time_s),
            "labels": dict(flavor.labels),
            "taints": [_taint(taint) for taint in flavor.taints],
            "price": _prices(flavor.price),
        }
    )
    if not free:
        # What is over-committed counts as nothing free.
        written["nodes"] = [{"count": g.count, "free": format_resources(g.free.floor())} for g in flavor.nodes]
    return {
        "name": flavor.name,
        "count": flavor.count,
        "allocatable": format_resources(flavor.allocatable),
        **written,
    }


def _taint(taint: Taint) -> Raw:
    return said({"key": taint.key, "value": taint.value, "effect": taint.effect})


def workload_document(workload: Workload) -> Raw:
    """A Workload document with all that planning reads; what its replicas run is left out."""
    spec: Raw = {
        "queue": workload.queue,
        "minReplicas": workload.min_replicas if workload.min_replicas != 1 else None,
        "parallelism": workload.parallelism,
        "gang": {"scope": f"{workload.gang.scope} {workload.gang.label}".strip()} if workload.gang else None,
        "priority": workload.priority or None,
        "submittedAt": format_time(workload.submitted_at_s) if workload.submitted_at_s else None,
        "lifetime": str(workload.lifetime),
        "duration": format_duration(workload.duration_s) if workload.duration_s is not None else None,
        "checkpointEvery": format_duration(every) if (every := workload.checkpoint_every_s) is not None else None,
        "retries": workload.retries,
        "clusters": _constraint(workload.clusters),
        "needs": sorted(workload.needs - {"service"}),
        "inputs": [
            {"name": one.name, "size": format_quantity(Fraction(one.size_bytes)), "at": list(one.at)}
            for one in workload.inputs
        ],
    }
    roles = workload.roles
    if len(roles) == 1 and not roles[0].name:
        spec = {**spec, "replicas": roles[0].replicas, **_role(roles[0])}
    else:
        spec["roles"] = [{"name": role.name, "replicas": role.replicas, **said(_role(role))} for role in roles]
    return document_of("Workload", workload.name, spec, workload.labels)


def _role(role: Role) -> Raw:
    return {
        "requests": format_resources(role.requests),
        "flavors": _constraint(role.flavors),
        "tolerations": [_toleration(one) for one in role.tolerations],
        "limits": dict(role.limits),
    }


def _toleration(one: Toleration) -> Raw:
    return said({"key": one.key, "operator": one.operator, "value": one.value, "effect": one.effect})


def _constraint(constraint: Constraint) -> Raw:
    return said({"selector": _selector(constraint.selector), "where": constraint.where})


def _selector(selector: Selector) -> Raw:
    """As labels where that says the same, in the same order."""
    simple = [one for one in selector.requirements if one.operator == "In" and len(one.values) == 1]
    labels = {one.key: one.values[0] for one in simple}
    if list(selector.requirements[: len(simple)]) != sorted(simple, key=_key) or len(labels) != len(simple):
        simple, labels = [], {}
    rest = selector.requirements[len(simple) :]
    terms = [{"key": one.key, "operator": one.operator, **said({"values": list(one.values)})} for one in rest]
    return said({"matchLabels": labels, "matchExpressions": terms})


def _key(requirement: Requirement) -> str:
    return requirement.key


def placement_document(holding: Holding) -> Raw:
    """A Placement document; its name is made of the workload, role and cluster."""
    name = ".".join(filter(None, (holding.workload, holding.role, holding.cluster)))
    spec: Raw = {
        "workload": holding.workload,
        "role": holding.role,
        "cluster": holding.cluster,
        "age": format_duration(holding.age_s) if holding.age_s > 0 else None,
        "moved": holding.moved or None,
        "leaving": holding.leaving or None,
    }
    document = document_of("Placement", name[:253], spec)
    document["spec"] |= {"replicas": holding.replicas, "unbound": holding.unbound}
    return document


def with_displacements(documents: Iterable[Mapping[str, Any]], told: Iterable[Displacement]) -> list[Mapping[str, Any]]:
    """The documents, the Planning document with who displaced whom; where that is to be told and there is none, with
    one."""
    gave_way = [
        {
            "workload": one.victim,
            "to": one.workload,
            "age": format_duration(one.age_s) if one.age_s > 0 else None,
            "gains": one.gains or None,
        }
        for one in sorted(told, key=lambda one: (-one.age_s, one.place, one.workload, one.victim))
    ]
    observed: Raw = {"observed": {"gaveWay": list(map(said, gave_way))}} if gave_way else {}
    written, found = list[Mapping[str, Any]](), False
    for document in documents:
        if document.get("kind") == "Planning":
            spec = {key: value for key, value in (document.get("spec") or {}).items() if key != "observed"}
            document, found = {**document, "spec": {**spec, **observed}}, True
        written.append(document)
    return written if found or not gave_way else [*written, document_of("Planning", "default", observed)]


def planning_document(planning: Planning, name: str = "default") -> Raw:
    """A Planning document."""
    search = planning.gang_search
    spec = {
        "order": planning.order,
        "blockedHead": planning.blocked_head,
        "backfilling": planning.backfilling,
        "outageGrace": format_duration(planning.outage_grace_s),
        "unknownDuration": format_duration(planning.unknown_duration_s),
        "maxReservations": planning.max_reservations,
        "gangSearch": {"budget": search.budget, "gangs": search.gangs, "clusters": search.clusters},
    }
    return document_of("Planning", name, spec)


def policy_document(policy: Policy) -> Raw:
    """A PlacementPolicy; a ReplicaSchedulingPreference for a policy that was one."""
    if policy.match.workload is not None:
        return _preference(policy)
    stay = {"rebalance": str(policy.stay.rebalance), "minStay": format_duration(policy.stay.min_stay_s)}
    if policy.stay.move_budget:
        budget = policy.stay.move_budget
        stay["moveBudget"] = f"{format_share(budget.ppm)}/{format_period(budget.period_s)}"
    if policy.stay.min_run_s:
        stay["minRun"] = format_duration(policy.stay.min_run_s)
    match = {
        "queues": list(policy.match.queues),
        "selector": _selector(policy.match.selector),
        "where": policy.match.where,
    }
    spec: Raw = {
        "match": said(match),
        "require": _constraint(policy.require),
        "tiers": [_tier(tier) for tier in policy.tiers],
        "stay": stay,
        "data": {"halfWeight": format_amount("memory", policy.half_weight_bytes)} if policy.half_weight_bytes else {},
        "flavors": said(
            {
                "order": [said({"names": list(c.names), **_constraint(c.constraint)}) for c in policy.flavors.choices],
                "by": "price" if policy.flavors.by_price else None,
            }
        ),
        "preempt": policy.preempt,
    }
    document = document_of("PlacementPolicy", policy.name, spec)
    document["spec"]["order"] = policy.order
    if policy.shadow:
        document["spec"]["shadow"] = True
    if policy.bounds:
        document["spec"]["clusters"] = {name: _bounds(bounds) for name, bounds in sorted(policy.bounds.items())}
    return document


def _bounds(bounds: Bounds) -> Raw:
    written = {"min": bounds.minimum or None, "max": bounds.maximum, "weight": bounds.weight}
    return {key: value for key, value in written.items() if value is not None}


def _tier(tier: Tier) -> Raw:
    written: Raw = {
        "name": tier.name,
        "clusters": list(tier.clusters),
        **_constraint(tier.constraint),
        "fillTo": format_share(tier.fill_to_ppm) if tier.fill_to_ppm != FULL_PPM else None,
        "weightBy": tier.weight_by if tier.weights is None and tier.weight_by != "room" else None,
        "openAfter": format_duration(tier.open_after_s) if tier.open_after_s is not None else None,
    }
    return said(written) | ({"weights": dict(tier.weights)} if tier.weights is not None else {})


def _preference(policy: Policy) -> Raw:
    clusters = {}
    for name, bounds in sorted(policy.bounds.items()):
        written = {"minReplicas": bounds.minimum, "maxReplicas": bounds.maximum, "weight": bounds.weight}
        clusters[name] = {key: value for key, value in written.items() if value is not None}
    return {
        "apiVersion": RSP_VERSIONS[0],
        "kind": "ReplicaSchedulingPreference",
        "metadata": {"name": policy.match.workload},
        "spec": {
            "totalReplicas": policy.replicas or 0,
            "rebalance": policy.stay.rebalance == "always",
            "clusters": clusters,
        },
    }
