"""The kinds PlacementPolicy and ReplicaSchedulingPreference: where work goes, in which order and proportion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from federator.documents.common import (
    API_VERSION,
    ClusterConstraint,
    Envelope,
    FlavorConstraint,
    LabelSelector,
    Metadata,
)
from federator.documents.expression_types import check_number
from federator.documents.fields import (
    Bytes,
    ClusterExpression,
    Duration,
    EmptyIfMissing,
    Flag,
    Glob,
    Name,
    NameOrAll,
    Part,
    Replicas,
    Share,
    Weight,
    WorkloadExpression,
    Written,
    check_expression,
    wrong,
)
from federator.documents.problems import did_you_mean
from federator.documents.quantities import FULL_PPM, format_period, format_share, parse_rate, parse_share

RSP_VERSIONS = ("scheduling.kubefed.io/v1alpha1", "scheduling.federation.k8s.io/v1alpha1")
WEIGHT_BY = ("room", "fit", "foresight", "price", "carbon")


def _budget(value: object) -> tuple[int, float]:
    share, period_s = parse_rate(value, "10%")
    return parse_share(share), period_s


def _write_budget(value: tuple[int, float]) -> str:
    return f"{format_share(value[0])}/{format_period(value[1])}"


Budget = Annotated[tuple[int, float], Written("share/period", _budget, _write_budget, "10%/h")]
"""Millionths of a workload's replicas, per seconds."""


def _weight_by(value: str) -> str:
    if value in WEIGHT_BY:
        return value
    if value.replace("_", "").isalnum() and not value[:1].isdigit() and value not in ("cluster", "workload"):
        cure = did_you_mean(value, WEIGHT_BY, what="write an expression, or one of")
        raise wrong(f"'{value}' is neither a way to weigh nor an expression", cure)
    check_expression(value, frozenset({"cluster", "workload"}), gives=check_number)
    return value


class MatchPart(Part):
    """Which workloads a policy governs; all of it must hold, and an empty one takes every workload."""

    queues: tuple[Glob, ...] = ()
    """Queues, as names or globs; empty: all."""
    selector: LabelSelector = LabelSelector()
    """On the labels of the workload."""
    where: WorkloadExpression = ""
    """An [expression](expressions.md) over `workload`."""


class BoundsPart(Part):
    """What one cluster may hold of a workload."""

    min: Replicas = 0
    """As many before others get more, in tiers that are open."""
    max: Replicas | None = None
    """Never more than so many; left out: no limit."""
    weight: Weight | None = None
    """Its weight in the division; 0: only its minimum."""

    @model_validator(mode="after")
    def _the_minimum_is_not_above_the_maximum(self) -> BoundsPart:
        if self.max is not None and self.min > self.max:
            raise wrong(f"min {self.min} is above max {self.max}", f"write at most {self.max}", ("min",))
        return self


class TierPart(Part):
    """A set of clusters filled before the next tier opens."""

    name: Name
    """Unique within the policy."""
    clusters: tuple[Glob, ...] = ()
    """Its clusters, as names or globs. Or give `selector` or `where`; none of them: all clusters."""
    selector: LabelSelector = LabelSelector()
    """Clusters by their labels."""
    where: ClusterExpression = ""
    """Clusters by an [expression](expressions.md) over `cluster` and `workload`."""
    fill_to: Share = FULL_PPM
    """The tier takes replicas while production and foreign use are below this share of what it has."""
    weights: dict[Name, Weight] | None = None
    """Weights of its clusters; those not named weigh 0. Left out: those of `spec.clusters`, else `weightBy`."""
    weight_by: Annotated[str, Field(strict=True, min_length=1), AfterValidator(_weight_by)] = "room"
    """room, fit (room, the heavier the more alike what is free and what is asked for), foresight (so that there is room
    for those who wait behind it, too), price (the cheaper the heavier), carbon (the cleaner the heavier), or an
    [expression](expressions.md) over `cluster` and `workload` that gives a whole number."""
    open_after: Duration | None = None
    """How long the tiers before must have been full or away. Left out: at once when they are full, after
    `outageGrace` when they are away."""

    @model_validator(mode="after")
    def _clusters_are_chosen_one_way(self) -> TierPart:
        chosen = self.model_fields_set
        if self.clusters and (self.selector != LabelSelector() or self.where):
            key = "selector" if self.selector != LabelSelector() else "where"
            raise wrong(f"both 'clusters' and '{key}' are given", "keep one of the two", (key,))
        if "clusters" in chosen and not self.clusters:
            raise wrong("names no cluster", "name one, or leave it out for all", ("clusters",))
        if self.weights is not None and "weight_by" in chosen:
            raise wrong("both 'weights' and 'weightBy' are given", "keep one of the two", ("weightBy",))
        return self


class FlavorChoicePart(FlavorConstraint):
    """Flavors that come at one place of the order; all parts must hold."""

    names: tuple[Glob, ...] = ()
    """Their names, or globs; empty: all."""


class FlavorsPart(Part):
    """Which nodes of a cluster are used first."""

    order: tuple[FlavorChoicePart, ...] = ()
    """Best first: a flavor comes at the place of the first of these that takes it; those that none takes come last."""
    by: Literal["none", "price"] = "none"
    """price: among flavors of one place, those on which a replica costs least come first."""


class DataPart(Part):
    """How much nearer to its data work would rather be."""

    half_weight: Bytes
    """A cluster that lacks so much of a workload's `inputs` has half the weight, one that lacks twice as much a third,
    and so on; where weights are not written but by `weightBy`."""

    @model_validator(mode="after")
    def _it_is_not_nothing(self) -> DataPart:
        if self.half_weight < 1:
            raise wrong("must be above zero", "write how much data halves a weight, such as 100Gi", ("halfWeight",))
        return self


class StayPart(Part):
    """What holds replicas where they run."""

    rebalance: Literal["never", "preferred", "always"] = "never"
    """never: what runs stays; preferred: it moves back to an earlier tier; always: to the best division."""
    min_stay: Duration = 600.0
    """A replica is not moved before it has been somewhere for so long."""
    move_budget: Budget | None = None
    """At most this share of a workload's replicas (at least one) moves in each period; left out: no limit."""
    min_run: Duration = 0.0
    """A replica does not have to give way to others before it has run for so long."""


class PolicySpec(Part):
    """Which workloads are governed, and where they go."""

    order: Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)] = 1000
    """The first policy by order, then name, whose match holds governs the workload."""
    shadow: Flag = False
    """true: it governs nothing yet; `get policies` and a metric tell how many replicas it would put elsewhere."""
    match: MatchPart = MatchPart()
    """Which workloads it governs."""
    require: ClusterConstraint = ClusterConstraint()
    """Hard limits on clusters, in all tiers."""
    tiers: tuple[TierPart, ...] = ()
    """Sets of clusters in the order they are filled; left out: one tier of all clusters."""
    clusters: dict[NameOrAll, Annotated[BoundsPart, EmptyIfMissing]] = Field(default_factory=dict)
    """Bounds by cluster, within any tier; `"*"` speaks for clusters that are not named."""
    stay: StayPart = StayPart()
    """What holds replicas where they run."""
    flavors: FlavorsPart = FlavorsPart()
    """Which nodes of a cluster are used first."""
    data: DataPart | None = None
    """How much nearer to its data work would rather be; left out: it does not care."""
    preempt: Literal["never", "backfill", "lowerPriority"] = "backfill"
    """What has to give way where its workloads find no room. never: nothing; backfill: backfill, and what queues have
    borrowed that these have a claim to; lowerPriority: after that, also less urgent work."""

    @model_validator(mode="after")
    def _tiers_have_different_names(self) -> PolicySpec:
        seen: set[str] = set()
        for index, tier in enumerate(self.tiers):
            if tier.name in seen:
                raise wrong(f"two tiers are called '{tier.name}'", "rename one", ("tiers", index, "name"))
            seen.add(tier.name)
        return self


class PolicyDocument(Envelope):
    """Where the work of some workloads goes: which clusters, in which order, in which proportion."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["PlacementPolicy"] = "PlacementPolicy"
    """The kind."""
    metadata: Metadata
    """Its name, which plans and explanations mention."""
    spec: PolicySpec = PolicySpec()
    """Which workloads are governed, and where they go."""


class PreferencePart(Part):
    """What one cluster may hold."""

    min_replicas: Replicas = 0
    """As many before others get more."""
    max_replicas: Replicas | None = None
    """Never more than so many; left out: no limit."""
    weight: Weight = 0
    """Its weight in the division; 0: only its minimum."""

    @model_validator(mode="after")
    def _the_minimum_is_not_above_the_maximum(self) -> PreferencePart:
        if self.max_replicas is not None and self.min_replicas > self.max_replicas:
            message = f"minReplicas {self.min_replicas} is above maxReplicas {self.max_replicas}"
            raise wrong(message, f"write at most {self.max_replicas}", ("minReplicas",))
        return self


class PreferenceSpec(Part):
    """How many replicas, and on which clusters."""

    target_kind: str = "FederatedDeployment"
    """Taken for KubeFed; the workload is found by its name alone."""
    total_replicas: Replicas
    """How many replicas in all, instead of the workload's own number."""
    rebalance: Flag = False
    """true: move replicas to the best division (`always`); false: what runs stays (`never`)."""
    intersect_with_cluster_selector: Flag = False
    """Taken for KubeFed; the workload's own limits on clusters hold in any case."""
    clusters: dict[str, Annotated[PreferencePart, EmptyIfMissing]] = Field(default_factory=dict)
    """Preferences by cluster, whatever the case of the name; `"*"` speaks for those not named. Left out: all alike."""


class PreferenceMetadata(Metadata):
    """As Kubernetes keeps it; what is not named here is ignored."""

    model_config = ConfigDict(extra="ignore")


class PreferenceDocument(Envelope):
    """KubeFed's ReplicaSchedulingPreference, taken as a policy for the workload of its name, before all others."""

    api_version: Literal["scheduling.kubefed.io/v1alpha1", "scheduling.federation.k8s.io/v1alpha1"]
    """The version of this kind."""
    kind: Literal["ReplicaSchedulingPreference"] = "ReplicaSchedulingPreference"
    """The kind."""
    metadata: PreferenceMetadata
    """Its name is the name of the workload it governs."""
    spec: PreferenceSpec
    """How many replicas, and on which clusters."""
    status: Any = None
    """Written by KubeFed; ignored when read."""
