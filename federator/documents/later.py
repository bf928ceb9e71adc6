"""The kinds Backfill (validated and listed here; later work acts on it) and PolicyTest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from federator.documents.common import API_VERSION, ClusterConstraint, Envelope, Metadata
from federator.documents.fields import (
    Duration,
    Name,
    Part,
    Replicas,
    Share,
    Text,
    check_expression,
)
from federator.documents.workload import WorkloadBody

RUN = frozenset({"run"})
FACTS = frozenset({"cluster", "workload", "queue"})
"""Functions that the expressions of a PolicyTest may call with a name: `cluster("cern").fill`."""


class BackfillSpec(Part):
    """Preemptible work with no claim, that fills what production leaves idle."""

    workload: WorkloadBody
    """What to run; `replicas` is the most that runs anywhere at once."""
    keep_free: Share = 50_000
    """This share of each cluster stays free."""
    max_share: Share = 1_000_000
    """It takes no more than this share of a cluster."""
    clusters: ClusterConstraint = ClusterConstraint()
    """The clusters it may fill."""
    grace: Duration = 30.0
    """How long a replica has to end when its room is needed."""
    checkpoint_every: Duration | None = None
    """How often its replicas save what they have; left out: they lose all when they are stopped."""


class BackfillDocument(Envelope):
    """Preemptible work with no claim, that fills what production leaves idle. (Later work.)"""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Backfill"] = "Backfill"
    """The kind."""
    metadata: Metadata
    """Its name."""
    spec: BackfillSpec
    """What fills, and how much."""


class ExpectPart(Part):
    """What a plan of the files must say."""

    placements: dict[Name, dict[Name, Replicas]] | None = None
    """Replicas by workload and cluster: exactly these. Left out: not compared."""
    refused: dict[Name, Replicas] | None = None
    """Replicas without a place, by workload: exactly these. Left out: not compared."""


def _never(value: Any) -> Any:
    if isinstance(value, str):
        check_expression(value, frozenset(), FACTS)
    return value


def _bound(value: Any) -> Any:
    if isinstance(value, str):
        check_expression(value, RUN)
    return value


class PolicyTestSpec(Part):
    """Documents, and what a plan of them must say; with a Scenario among them, what a whole run must keep to."""

    files: tuple[Annotated[str, Field(strict=True, min_length=1)], ...] = ()
    """Documents to plan, relative to this file; or a Scenario, to run."""
    expect: ExpectPart = ExpectPart()
    """What the plan must say."""
    never: tuple[Annotated[Text, BeforeValidator(_never)], ...] = ()
    """Expressions over `cluster(NAME)`, `workload(NAME)` and `queue(NAME)` that must not become true at any step:
    of the plan, or of each plan of the run."""
    holds: tuple[Annotated[Text, BeforeValidator(_bound)], ...] = ()
    """Expressions over `run`, the figures of the run as `federator simulate -o json` prints them, that must be true:
    `run.wait_s.p95 < 600.0`."""


class PolicyTestDocument(Envelope):
    """A test of policies: documents, and what a plan of them, or a run, must say."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["PolicyTest"] = "PolicyTest"
    """The kind."""
    metadata: Metadata
    """Its name."""
    spec: PolicyTestSpec
    """Documents, and what a plan of them must say."""
