"""Documents as they were read: what was handed in, where it stood, and its typed spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from federator.documents.problems import Problem


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where a document stands. ``line`` counts from 1; 0 where it is not known (a request's body)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One document. ``raw`` is JSON-able, as handed in; ``spec`` is the typed model of its kind.

    For a native manifest ``kind`` is the manifest's own and ``spec`` a ``Native``.
    """

    kind: str
    api_version: str
    name: str
    source: Source
    raw: Mapping[str, Any]
    spec: Any
    labels: Mapping[str, str] = field(default_factory=dict)
    is_workload: bool = False
    """Whether it is a Workload or a native manifest."""


@dataclass(frozen=True, slots=True)
class Documents:
    """All documents that were read together, by kind, in the order they stood in."""

    all: tuple[Document, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def of(self, *kinds: str) -> tuple[Document, ...]:
        """The documents of these kinds."""
        return tuple(document for document in self.all if document.kind in kinds)

    @property
    def clusters(self) -> tuple[Document, ...]:
        """Kind Cluster."""
        return self.of("Cluster")

    @property
    def workloads(self) -> tuple[Document, ...]:
        """Kind Workload, and native manifests."""
        return tuple(document for document in self.all if document.is_workload)

    @property
    def policies(self) -> tuple[Document, ...]:
        """Kinds PlacementPolicy and ReplicaSchedulingPreference."""
        return self.of("PlacementPolicy", "ReplicaSchedulingPreference")

    @property
    def queues(self) -> tuple[Document, ...]:
        """Kind Queue."""
        return self.of("Queue")

    @property
    def cohorts(self) -> tuple[Document, ...]:
        """Kind Cohort."""
        return self.of("Cohort")

    @property
    def limits(self) -> tuple[Document, ...]:
        """Kind Limit."""
        return self.of("Limit")

    @property
    def planning(self) -> tuple[Document, ...]:
        """Kind Planning: none or one."""
        return self.of("Planning")

    @property
    def placements(self) -> tuple[Document, ...]:
        """Kind Placement."""
        return self.of("Placement")

    @property
    def backfills(self) -> tuple[Document, ...]:
        """Kind Backfill."""
        return self.of("Backfill")

    @property
    def policy_tests(self) -> tuple[Document, ...]:
        """Kind PolicyTest."""
        return self.of("PolicyTest")

    @property
    def scenarios(self) -> tuple[Document, ...]:
        """Kind Scenario."""
        return self.of("Scenario")

    @property
    def configuration(self) -> tuple[Document, ...]:
        """Kind Configuration: none or one."""
        return self.of("Configuration")
