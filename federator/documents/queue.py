"""The kinds Queue, Planning and Placement: who waits where, how planning goes, and what runs already."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from federator.documents.common import API_VERSION, Envelope, Metadata, ShortMetadata
from federator.documents.fields import (
    MAX_WEIGHT,
    Duration,
    Name,
    Part,
    Priority,
    Quantities,
    Replicas,
    ShortName,
    check_expression,
    wrong,
)
from federator.documents.problems import did_you_mean

ORDERS = ("fifo", "fair", "shortest", "f1")


def _order(value: str) -> str:
    if value in ORDERS:
        return value
    if value.isalnum():
        cure = did_you_mean(value, ORDERS, what="write an expression, or one of")
        raise wrong(f"'{value}' is neither an order nor an expression", cure)
    check_expression(value, frozenset({"workload"}))
    return value


class QueueSpec(Part):
    """The line a group waits in."""

    weight: Annotated[int, Field(strict=True, ge=1, le=MAX_WEIGHT)] = 1
    """Its share beside other queues. (Fair shares are later work; the field is checked.)"""
    priority: Priority = 0
    """The larger is served first, before the priorities of workloads count."""
    cohort: str = ""
    """Queues of one cohort lend each other what they do not use."""
    quota: Quantities | None = None
    """What its workloads may use together. Resources not named have no limit. (Quotas are later work.)"""
    borrowing_limit: Quantities | None = None
    """How much more of its cohort's it may use; left out: all that is lent."""
    lending_limit: Quantities | None = None
    """How much of its quota others may use; left out: all that is idle."""
    half_life: Duration = 86400.0
    """How fast past use is forgotten."""
    namespace: Name | None = None
    """The namespace of its workloads at Kubernetes clusters with `namespacePerQueue`; left out: its name."""


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


class PlanningSpec(Part):
    """What the daemon, `plan` and `simulate` all read."""

    order: Annotated[str, Field(strict=True, min_length=1), AfterValidator(_order)] = "fifo"
    """fifo, fair, shortest, f1, or an [expression](expressions.md) over `workload`, the smallest first. (All but
    fifo are later work; the field is checked.)"""
    blocked_head: Literal["pass", "wait"] = "pass"
    """Whether workloads may pass one before them that does not fit now."""
    backfilling: Literal["none", "easy", "conservative"] = "none"
    """Whether smaller workloads may use room before a reservation begins. (Later work; the field is checked.)"""
    outage_grace: Duration = 300.0
    """How long a cluster may be silent before its replicas are placed elsewhere."""
    unknown_duration: Duration = 86400.0
    """The run time assumed where a workload does not tell."""


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
