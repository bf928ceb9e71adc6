"""From typed documents to values of the model: clusters, policies, queues, cohorts, planning."""

from __future__ import annotations

from collections.abc import Mapping

from federator.documents.budget import to_budget, to_cost
from federator.documents.cluster import ClusterSpec, FlavorPart, ObservedPart, RisePart
from federator.documents.common import ClusterConstraint, FlavorConstraint, LabelSelector, TolerationPart
from federator.documents.documents import Document
from federator.documents.downtimes import to_downtime
from federator.documents.fields import Quantities
from federator.documents.policy import BoundsPart, FlavorChoicePart, PolicySpec, PreferenceSpec, StayPart, TierPart
from federator.documents.quantities import limits_of, price_unit, resources_of
from federator.documents.queue import CohortSpec, PlanningSpec, QueueSpec
from federator.model.budget import Cost, Spent
from federator.model.cluster import Binding, Cluster, Flavor, Health, NodeGroup, Rise, Unschedulable
from federator.model.plan import Displacement
from federator.model.policy import (
    BILLIONTHS,
    Bounds,
    Cohort,
    FlavorChoice,
    FlavorOrder,
    GangSearch,
    Match,
    MoveBudget,
    Planning,
    Policy,
    Queue,
    QueueUsage,
    Rebalance,
    Stay,
    Tier,
)
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector, Taint, Toleration

RSP_ORDER = -(2**31)
"""A ReplicaSchedulingPreference comes before every PlacementPolicy."""

ABILITIES: Mapping[str, frozenset[str]] = {
    "kubernetes": frozenset({"container", "service", "manifest", "backfill", "checkpoints"}),
    "local": frozenset({"container", "process", "service", "backfill", "checkpoints"}),
    "fake": frozenset({"container", "process", "service", "manifest", "backfill", "checkpoints"}),
    "htcondor": frozenset({"container", "process", "service"}),
    "slurm": frozenset({"container", "process"}),
    "pilots": frozenset({"container", "process", "service", "backfill", "checkpoints"}),
}
"""What clusters of a provider can run, as far as it is known before they are asked (see ``Workload.needs``). Those that
are sent pilots can run what pilots can."""


def to_selector(selector: LabelSelector) -> Selector:
    """The selector; labels that must have one value come first, by name."""
    equal = (Requirement(key, "In", (value,)) for key, value in sorted(selector.match_labels.items()))
    terms = (Requirement(term.key, term.operator, term.values) for term in selector.match_expressions)
    return Selector((*equal, *terms))


def to_constraint(constraint: ClusterConstraint | FlavorConstraint) -> Constraint:
    """The selector and the expression."""
    return Constraint(to_selector(constraint.selector), constraint.where.strip())


def to_toleration(part: TolerationPart) -> Toleration:
    """The toleration."""
    return Toleration(part.key, part.operator, part.value, part.effect)


def to_cluster(document: Document) -> Cluster:
    """The cluster with its flavors as written, all of their nodes free."""
    spec: ClusterSpec = document.spec
    flavors = None if spec.flavors is None else tuple(map(_flavor, spec.flavors))
    seen = spec.observed or ObservedPart()
    return Cluster(
        name=document.name,
        labels=document.labels,
        provider=spec.provider,
        health=Health(seen.health),
        health_message=seen.message,
        away_s=seen.away,
        cordoned=spec.cordoned,
        draining=seen.draining,
        vacated=seen.draining and seen.vacated,
        downtime=to_downtime(seen.downtime) if seen.draining and seen.downtime else None,
        downtimes=tuple(map(to_downtime, spec.downtimes)),
        binding=Binding(spec.binding),
        flavors=flavors,
        limits=None if seen.limits is None else limits_of(seen.limits),
        foreign=resources_of(seen.foreign),
        abilities=_abilities(spec) if seen.abilities is None else frozenset(seen.abilities),
        price=_prices(spec.price),
        carbon_g_per_kwh=spec.carbon_intensity,
        power_w=spec.power,
        whole_cores=_whole_cores(spec) if spec.whole_cores is None else spec.whole_cores,
        unschedulable=tuple(Unschedulable(resources_of(one.requests), one.message) for one in seen.unschedulable),
        idle={one.for_: limits_of(one.free) for one in seen.idle},
        rises=tuple(sorted(map(_rise, seen.rises), key=lambda rise: rise.within_s)),
    )


def _abilities(spec: ClusterSpec) -> frozenset[str]:
    settings = getattr(spec, spec.provider)
    return ABILITIES["pilots" if getattr(settings, "submit", "") == "pilots" else spec.provider]


def _whole_cores(spec: ClusterSpec) -> bool:
    """Batch systems give their jobs whole cores; pilots share theirs out to the millicore."""
    return spec.provider in ("htcondor", "slurm") and getattr(spec, spec.provider).submit == "jobs"


def _rise(part: RisePart) -> Rise:
    return Rise(part.within, tuple((resources_of(one.by), one.times) for one in part.samples))


def _prices(prices: Mapping[str, float]) -> dict[str, float]:
    return {name: price * 1_000_000 / price_unit(name) for name, price in prices.items()}


def _flavor(part: FlavorPart) -> Flavor:
    allocatable = resources_of(part.allocatable)
    whole = (NodeGroup(allocatable, part.count),) if part.count else ()
    seen = None if part.nodes is None else tuple(NodeGroup(resources_of(one.free), one.count) for one in part.nodes)
    return Flavor(
        name=part.name,
        count=part.count,
        allocatable=allocatable,
        nodes=whole if seen is None else seen,
        labels=part.labels,
        taints=tuple(Taint(taint.key, taint.value, taint.effect) for taint in part.taints),
        max_count=max(part.count, part.max_count or 0),
        boot_time_s=part.boot_time,
        idle_time_s=part.idle_time,
        price=_prices(part.price),
    )


def to_policy(document: Document) -> Policy:
    """The policy of a PlacementPolicy or a ReplicaSchedulingPreference."""
    if isinstance(document.spec, PreferenceSpec):
        return _preference(document, document.spec)
    spec: PolicySpec = document.spec
    return Policy(
        name=document.name,
        order=spec.order,
        shadow=spec.shadow,
        match=Match(spec.match.queues, to_selector(spec.match.selector), spec.match.where.strip()),
        require=to_constraint(spec.require),
        tiers=tuple(map(_tier, spec.tiers)) or (Tier("all"),),
        bounds={name: _bounds(part) for name, part in spec.clusters.items()},
        stay=_stay(spec.stay),
        preempt=spec.preempt,
        flavors=FlavorOrder(tuple(map(_choice, spec.flavors.order)), spec.flavors.by == "price"),
        half_weight_bytes=spec.data.half_weight if spec.data else None,
        source=str(document.source),
    )


def _tier(part: TierPart) -> Tier:
    return Tier(
        name=part.name,
        clusters=part.clusters,
        constraint=Constraint(to_selector(part.selector), part.where.strip()),
        fill_to_ppm=part.fill_to,
        weights=part.weights,
        weight_by=part.weight_by,
        open_after_s=part.open_after,
    )


def _choice(part: FlavorChoicePart) -> FlavorChoice:
    return FlavorChoice(part.names, to_constraint(part))


def _bounds(part: BoundsPart) -> Bounds:
    return Bounds(part.min, part.max, part.weight)


def _stay(part: StayPart) -> Stay:
    budget = None if part.move_budget is None else MoveBudget(*part.move_budget)
    return Stay(Rebalance(part.rebalance), part.min_stay, budget, part.min_run)


def _preference(document: Document, spec: PreferenceSpec) -> Policy:
    """KubeFed's preference. Names are folded to small letters, as those of clusters are."""
    bounds = {
        name.lower(): Bounds(part.min_replicas, part.max_replicas, part.weight) for name, part in spec.clusters.items()
    }
    rebalance = Rebalance.ALWAYS if spec.rebalance else Rebalance.NEVER
    return Policy(
        name=document.name,
        order=RSP_ORDER,
        match=Match(workload=document.name),
        bounds=bounds or {"*": Bounds(0, None, 1)},
        # KubeFed knows neither a least stay nor a budget: "rebalance" moves what it has to.
        stay=Stay(rebalance, 0.0 if spec.rebalance else 600.0, None),
        replicas=spec.total_replicas,
        source=str(document.source),
    )


def to_queue(document: Document) -> Queue:
    """The queue. A limit of zero stays in it: it differs from no limit."""
    spec: QueueSpec = document.spec
    return Queue(
        name=document.name,
        weight=spec.weight,
        priority=spec.priority,
        cohort=spec.cohort,
        quota=_limits(spec.quota),
        borrowing_limit=_limits(spec.borrowing_limit),
        lending_limit=_limits(spec.lending_limit),
        half_life_s=spec.half_life,
        namespace=spec.namespace or "",
        budget=to_budget(spec.budget),
        cluster_quota={name: limits_of(limits) for name, limits in sorted(spec.cluster_quota.items())},
    )


def to_usage(document: Document) -> QueueUsage | None:
    """What a Queue document says that the queue used lately; None where it says nothing."""
    spec: QueueSpec = document.spec
    if spec.observed is None:
        return None
    lately = {name: round(amount * BILLIONTHS) for name, amount in spec.observed.lately.items()}
    return QueueUsage(document.name, Resources.of(lately))


def to_spent(document: Document) -> Spent | None:
    """What a Queue document says that the queue has spent; None where it says nothing."""
    spec: QueueSpec = document.spec
    cost = Cost() if spec.observed is None else to_cost(spec.observed.spent)
    return None if cost == Cost() else Spent(document.name, cost)


def to_cohort(document: Document) -> Cohort:
    """The cohort. A limit of zero stays in it, as in a queue."""
    spec: CohortSpec = document.spec
    return Cohort(
        name=document.name,
        parent=spec.parent,
        weight=spec.weight,
        quota=_limits(spec.quota),
        borrowing_limit=_limits(spec.borrowing_limit),
        lending_limit=_limits(spec.lending_limit),
    )


def _limits(quantities: Quantities | None) -> Resources | None:
    return limits_of(quantities) if quantities else None


def to_planning(document: Document) -> Planning:
    """The settings of planning."""
    spec: PlanningSpec = document.spec
    return planning_of(spec)


def to_displacements(document: Document) -> tuple[Displacement, ...]:
    """Who displaced whom, as a Planning document that `federator snapshot` wrote tells; by taker and victim."""
    spec: PlanningSpec = document.spec
    told = spec.observed.gave_way if spec.observed is not None else ()
    found = [Displacement(one.to, one.workload, one.age, place, one.gains) for place, one in enumerate(told, 1)]
    return tuple(sorted(found, key=lambda one: (one.workload, one.victim)))


def planning_of(spec: PlanningSpec) -> Planning:
    """The settings of planning, of a Planning document or a Scenario."""
    search = GangSearch(spec.gang_search.budget, spec.gang_search.gangs, spec.gang_search.clusters)
    return Planning(
        order=spec.order,
        blocked_head=spec.blocked_head,
        backfilling=spec.backfilling,
        outage_grace_s=spec.outage_grace,
        unknown_duration_s=spec.unknown_duration,
        max_reservations=spec.max_reservations,
        gang_search=search,
    )
