"""The kind PolicyTest: documents, and what a plan or a run of them must say."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from federator.documents.common import API_VERSION, Envelope, Metadata
from federator.documents.expression_types import check_condition
from federator.documents.fields import Name, Part, Replicas, Text, check_expression

RUN = frozenset({"run"})
FACTS = frozenset({"cluster", "workload", "queue"})
"""Functions that the expressions of a PolicyTest may call with a name: `cluster("cern").fill`."""


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
        check_expression(value, RUN, gives=check_condition)
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
