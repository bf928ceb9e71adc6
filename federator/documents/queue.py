"""The kinds Queue, Cohort, Planning and Placement: who waits where, how planning goes, and what runs already."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from federator.documents.budget import BudgetPart, SpentPart
from federator.documents.common import API_VERSION, Envelope, Metadata, ShortMetadata
from federator.documents.expression_types import check_number
from federator.documents.fields import (
    Averages,
    Duration,
    Glob,
    Name,
    Number,
    Part,
    Priority,
    Quantities,
    Replicas,
    ShortName,
    Weight,
    check_expression,
    wrong,
)
from federator.documents.problems import did_you_mean

ORDERS = ("fifo", "fair", "fit", "shortest", "f1")


def _order(value: str) -> str:
    if value in ORDERS:
        return value
    if value.isalnum():
        cure = did_you_mean(value, ORDERS, what="write an expression, or one of")
        raise wrong(f"'{value}' is neither an order nor an expression", cure)
    check_expression(value, frozenset({"workload"}), gives=check_number)
    return value


class ObservedQueuePart(Part):
    """What was seen of a queue."""

    lately: Averages = Field(default_factory=dict)
    """What it used lately: a mean in which what is a half-life old counts half."""
    spent: SpentPart = SpentPart()
    """What it has spent of its budget in the period that runs."""


class QueueSpec(Part):
    """The line a group waits in."""

    weight: Weight = 1
    """Its share beside other queues of its cohort. 0: it is served after all others, and first gives back what it
    borrowed."""
    priority: Priority = 0
    """The larger is served first, before the priorities of workloads count."""
    cohort: str = ""
    """Queues of one cohort lend each other what they do not use."""
    quota: Quantities | None = None
    """What its workloads may use together without borrowing. A resource for which nobody in its cohort has a quota has
    no limit; where others have one, what is not named here is 0."""
    borrowing_limit: Quantities | None = None
    """How much more of its cohort's it may use; left out: all that is lent."""
    lending_limit: Quantities | None = None
    """How much of its quota others may use; left out: all that is idle."""
    half_life: Duration = 86400.0
    """How fast past use is forgotten."""
    namespace: Name | None = None
    """The namespace of its workloads at Kubernetes clusters with `namespacePerQueue`; left out: its name."""
    cluster_quota: dict[Glob, Quantities] = Field(default_factory=dict)
    """The most it may use on a cluster, or on all clusters together that a glob matches: names or globs, and amounts.
    All that match hold. Resources not named have no limit there."""
    budget: BudgetPart | None = None
    """What its workloads may cost together in each period; left out: as much as they like."""
    observed: ObservedQueuePart | None = None
    """What was seen of it, in documents written by `federator snapshot`, for offline plans."""


class QueueDocument(Envelope):
    """The line a group waits in, with its share and its quota."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Queue"] = "Queue"
    """The kind."""
    metadata: ShortMetadata
    """Its name, which workloads give as their queue."""
    spec: QueueSpec = QueueSpec()
    """Its share and its quota."""


class CohortSpec(Part):
    """Queues and cohorts that lend each other what they do not use."""

    parent: str = ""
    """The cohort that this one is in."""
    weight: Weight = 1
    """Its share beside other queues and cohorts of its parent. 0: it is served after all others."""
    quota: Quantities | None = None
    """What it has for those in it, besides their own quotas."""
    borrowing_limit: Quantities | None = None
    """How much more of its parent's those in it may use; left out: all that is lent."""
    lending_limit: Quantities | None = None
    """How much of what is in it others may use; left out: all that is idle."""


class CohortDocument(Envelope):
    """Queues and cohorts that lend each other what they do not use. A cohort that queues name and that is nowhere
    declared has nothing of its own."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Cohort"] = "Cohort"
    """The kind."""
    metadata: ShortMetadata
    """Its name, which queues give as their cohort and cohorts as their parent."""
    spec: CohortSpec = CohortSpec()
    """Its share and its quota."""


class GangSearchPart(Part):
    """The search for places for gangs that compete for the same clusters. It starts from what the order of service
    gives, and no gang loses by it: what would have started starts, in no later tier."""

    budget: Number = 0.05
    """How much work one plan may put into it, counted in the solver's steps, so that the same federation always gives
    the same plan: 0.1 is less than a second of one core. 0: no search."""
    gangs: Annotated[int, Field(strict=True, ge=2, le=500)] = 48
    """At most so many neighbours in the order of service are looked at together."""
    clusters: Annotated[int, Field(strict=True, ge=1, le=1000)] = 12
    """At most so many clusters of each tier are looked at for each of them: those with the least room to spare."""


class GaveWayPart(Part):
    """A workload that had to give way to another. It never displaces that one in its turn."""

    workload: Name
    """Which gave way."""
    to: Name
    """For which it did."""
    age: Duration = 0.0
    """How long ago."""
    gains: Replicas = 0
    """How many replicas in all the other one is to have for it: until it has, it is served before all others, up to so
    many. 0: it has, or waits for that no longer."""


class ObservedPlanningPart(Part):
    """What plans before this one decided, as far as the next must know it."""

    gave_way: tuple[GaveWayPart, ...] = ()
    """Who had to give way to whom, the first first."""


class PlanningSpec(Part):
    """What the daemon, `plan` and `simulate` all read."""

    order: Annotated[str, Field(strict=True, min_length=1), AfterValidator(_order)] = "fifo"
    """fifo, fair, fit (among equals nobody is first), shortest, f1, or an [expression](expressions.md) over `workload`,
    the smallest first."""
    blocked_head: Literal["pass", "wait", "stay"] = "pass"
    """Whether workloads may pass one before them that does not fit now. `stay`: they wait, and it stays the first of
    its queue until it starts, whatever comes (in `simulate`; a daemon chooses the first anew in each cycle)."""
    backfilling: Literal["none", "easy", "conservative", "once"] = "none"
    """Whether room is reserved for what waits, so that what comes later passes it only where it does not delay it:
    `easy`: for the first that waits; `conservative`: for up to `maxReservations`. Both take the place of
    `blockedHead`. `once`: for the first of each queue, which stays the first; its reservation is made once, and what is
    expected to end before it begins may start, first come, first served."""
    outage_grace: Duration = 300.0
    """How long a cluster may be silent before its replicas are placed elsewhere."""
    unknown_duration: Duration = 86400.0
    """The run time assumed where a workload does not tell."""
    max_reservations: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    """Under `conservative`, for how many at most."""
    gang_search: GangSearchPart = GangSearchPart()
    """How hard to look for places for gangs that compete for the same clusters."""
    observed: ObservedPlanningPart | None = None
    """What plans before decided, in documents written by `federator snapshot`, for offline plans."""


class PlanningDocument(Envelope):
    """How planning goes; one for a federation."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Planning"] = "Planning"
    """The kind."""
    metadata: Metadata
    """Its name is for people."""
    spec: PlanningSpec = PlanningSpec()
    """How planning goes."""


class PlacementSpec(Part):
    """Replicas that are somewhere already."""

    workload: Name
    """Whose they are."""
    cluster: ShortName
    """Where they are."""
    role: ShortName | None = None
    """Which role they have, for a workload with several."""
    replicas: Replicas = 1
    """How many."""
    age: Duration = 0.0
    """How long the youngest has been there."""
    unbound: Replicas | None = None
    """How many of them do not show in what is free on the nodes, in documents written by `federator snapshot`; left
    out: all."""
    moved: Replicas = 0
    """How many of them were moved there within the policy's budget period."""
    leaving: Replicas = 0
    """How many more there are that are being removed, and still use their nodes: they do not count as `replicas`, and
    what they use will be free soon. Where `unbound` is left out, they do not show in what is free on the nodes."""

    @model_validator(mode="after")
    def _no_more_are_unbound_than_there_are(self) -> PlacementSpec:
        if self.unbound is not None and self.unbound > self.replicas:
            raise wrong(
                f"unbound {self.unbound} is above replicas {self.replicas}", "write at most as many", ("unbound",)
            )
        return self


class PlacementDocument(Envelope):
    """What runs already; for offline plans."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Placement"] = "Placement"
    """The kind."""
    metadata: Metadata
    """Its name is for people."""
    spec: PlacementSpec
    """Which replicas are where."""
