"""What users hand in, as the planner sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from federator.model.resources import Resources
from federator.model.selectors import ANYWHERE, Constraint, Toleration


class Lifetime(StrEnum):
    """Whether replicas run to an end or are kept running."""

    BATCH = "batch"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Gang:
    """Replicas that start together or not at all.

    ``scope``: ``cluster`` (all in one), ``federation`` (anywhere), or ``label`` (all in clusters that agree on the
    value of ``label``).
    """

    scope: str = "cluster"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """``replicas`` alike pieces of work. The only role of a workload without roles is called ``""``."""

    name: str
    replicas: int
    requests: Resources
    flavors: Constraint = ANYWHERE
    tolerations: tuple[Toleration, ...] = ()
    limits: Resources = Resources()
    """What one replica takes of limits by name (see ``Limit``), in whole pieces."""


@dataclass(frozen=True, slots=True)
class Input:
    """Data that a workload reads, and the clusters that have it."""

    name: str
    size_bytes: int
    at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload as planning reads it.

    In a snapshot the replicas of a role are those not finished yet, and ``min_replicas`` is never above their sum.
    ``needs`` are the abilities a cluster must have: ``container``, ``process``, ``service``, ``manifest``,
    ``backfill``, and for a manifest of a kind that not every Kubernetes server knows ``kind:GROUP/VERSION/KIND``.
    ``submitted_at_s`` is in seconds since the epoch.
    """

    name: str
    roles: tuple[Role, ...]
    queue: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    submitted_at_s: float = 0.0
    lifetime: Lifetime = Lifetime.BATCH
    min_replicas: int = 1
    gang: Gang | None = None
    clusters: Constraint = ANYWHERE
    needs: frozenset[str] = frozenset()
    duration_s: float | None = None
    parallelism: int | None = None
    """At most so many replicas are wanted at once (``parallelism`` of a Job); a snapshot's replicas respect it."""
    retries: int = 3
    inputs: tuple[Input, ...] = ()
    checkpoint_every_s: float | None = None
    """How often it saves what it has done, so that no more is lost when it has to give way; None: never."""
    backfill: bool = False
    """Whether it only fills what others leave idle: it gives way to everybody."""

    @property
    def replicas(self) -> int:
        """How many replicas there are in all roles together."""
        return sum(role.replicas for role in self.roles)

    @property
    def total_requests(self) -> Resources:
        """What all replicas of all roles ask for together."""
        total = Resources()
        for role in self.roles:
            total = total + role.requests * role.replicas
        return total
