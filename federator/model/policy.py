"""Policies, queues and the settings of planning, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from federator.model.resources import Resources
from federator.model.selectors import Constraint, Selector

FULL_PPM = 1_000_000
"""100%: shares are in millionths, so that comparing them stays exact."""


class Rebalance(StrEnum):
    """When replicas that run may be moved."""

    NEVER = "never"
    PREFERRED = "preferred"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class MoveBudget:
    """At most ``ppm`` millionths of a workload's replicas (at least one) move in each period."""

    ppm: int = 100_000
    period_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Stay:
    """What holds replicas where they run."""

    rebalance: Rebalance = Rebalance.NEVER
    min_stay_s: float = 600.0
    move_budget: MoveBudget | None = None
    """None: no limit."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one cluster may hold of a workload; a ``weight`` of None was not given."""

    minimum: int = 0
    maximum: int | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """A set of clusters filled before the next tier opens.

    A cluster belongs to it if its name matches one of ``clusters`` (names or globs) or, where ``clusters`` is empty,
    if ``constraint`` holds for it. ``weights`` None: taken from the policy's bounds, else from ``weight_by``.
    """

    name: str
    clusters: tuple[str, ...] = ()
    constraint: Constraint = Constraint()
    fill_to_ppm: int = FULL_PPM
    weights: Mapping[str, int] | None = None
    weight_by: str = "room"
    """``room``, ``price``, ``carbon``, or a CEL expression that gives an integer."""
    open_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Which workloads a policy governs: queue globs (empty: all), labels, an expression; and, for a
    ReplicaSchedulingPreference, the one workload it names."""

    queues: tuple[str, ...] = ()
    selector: Selector = Selector()
    where: str = ""
    workload: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Which workloads it governs, and in which order and proportion clusters are filled.

    The first policy by ``(order, name)`` whose match holds governs a workload. ``bounds`` are per cluster name, with
    ``*`` for those not named. ``replicas`` replaces the workload's own number (totalReplicas of an RSP).
    """

    name: str
    order: int = 1000
    match: Match = Match()
    require: Constraint = Constraint()
    tiers: tuple[Tier, ...] = (Tier("all"),)
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    stay: Stay = Stay()
    preempt: str = "backfill"
    replicas: int | None = None
    source: str = ""
    """The file and line it came from, for people."""


DEFAULT_POLICY = Policy("default", order=2**31)
"""Governs what no other policy matches: every cluster, one tier, by room."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The line a group waits in. Larger ``priority`` is served first; then the workload's own priority counts."""

    name: str
    weight: int = 1
    priority: int = 0
    cohort: str = ""
    quota: Resources | None = None
    borrowing_limit: Resources | None = None
    lending_limit: Resources | None = None
    half_life_s: float = 86400.0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Planning:
    """What the daemon, ``plan`` and ``simulate`` all read."""

    order: str = "fifo"
    blocked_head: str = "pass"
    backfilling: str = "none"
    outage_grace_s: float = 300.0
    unknown_duration_s: float = 86400.0
