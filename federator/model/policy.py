"""Policies, queues and the settings of planning, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from federator.model.budget import Budget
from federator.model.resources import CPU, Resources
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
    min_run_s: float = 0.0
    """What has run for less does not have to give way to others."""


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
    """``room``, ``fit``, ``price``, ``carbon``, or a CEL expression that gives an integer."""
    open_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class FlavorChoice:
    """The flavors whose name matches one of ``names`` (names or globs; empty: all) and that ``constraint`` lets in."""

    names: tuple[str, ...] = ()
    constraint: Constraint = Constraint()


@dataclass(frozen=True, slots=True)
class FlavorOrder:
    """Which nodes of a cluster are used first: those of the first choice that takes them, those of none after all.

    ``by_price``: then those on which a replica costs least.
    """

    choices: tuple[FlavorChoice, ...] = ()
    by_price: bool = False


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
    flavors: FlavorOrder = FlavorOrder()
    half_weight_bytes: int | None = None
    """A cluster that lacks so much of a workload's inputs weighs half; None: inputs do not count."""
    shadow: bool = False
    """It governs nothing: plans do not have it, and what it would change is told."""
    source: str = ""
    """The file and line it came from, for people."""


DEFAULT_POLICY = Policy("default", order=2**31)
"""Governs what no other policy matches: every cluster, one tier, by room."""


@dataclass(frozen=True, slots=True)
class Queue:
    """The line a group waits in. Larger ``priority`` is served first; then the workload's own priority counts.

    ``weight`` 0: served after all others, and the first to give back what it borrowed. Keys of ``cluster_quota`` are
    names or globs; what the queue uses on all clusters that one key matches, together, stays within its amounts.
    """

    name: str
    weight: int = 1
    priority: int = 0
    cohort: str = ""
    quota: Resources | None = None
    borrowing_limit: Resources | None = None
    lending_limit: Resources | None = None
    half_life_s: float = 86400.0
    namespace: str = ""
    cluster_quota: Mapping[str, Resources] = field(default_factory=dict)
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Cohort:
    """Queues and cohorts that lend each other what they do not use, and what the cohort has besides.

    A cohort that queues name and that is nowhere declared exists with nothing of its own.
    """

    name: str
    parent: str = ""
    weight: int = 1
    quota: Resources | None = None
    borrowing_limit: Resources | None = None
    lending_limit: Resources | None = None


BILLIONTHS = 1_000_000_000


def lately_per_unit(resource: str) -> int:
    """How many units of ``QueueUsage.lately`` are one unit of ``Resources``."""
    return BILLIONTHS // 1000 if resource == CPU else BILLIONTHS


@dataclass(frozen=True, slots=True)
class QueueUsage:
    """What a queue has used lately: a mean of what it used, in which what is a half-life old counts half.

    ``lately`` is in billionths of a core, byte or piece: fine enough that a queue of one GPU, sampled every second,
    is not lost to rounding, and just what a quantity in a document can say.
    """

    queue: str
    lately: Resources = Resources()


@dataclass(frozen=True, slots=True)
class GangSearch:
    """How hard to look for places for gangs that compete for the same clusters.

    ``budget`` is in CP-SAT's deterministic time, for one plan; 0: in order of service only. At most ``gangs``
    neighbours are looked at together, each on at most ``clusters`` clusters of each tier.
    """

    budget: float = 0.05
    gangs: int = 48
    clusters: int = 12


@dataclass(frozen=True, slots=True)
class Planning:
    """What the daemon, ``plan`` and ``simulate`` all read.

    ``blocked_head``: ``pass``, ``wait`` or ``stay``. ``backfilling``: ``none``, ``easy`` (one reservation),
    ``conservative`` (up to ``max_reservations``) or ``once`` (of the head, made once).
    """

    order: str = "fifo"
    blocked_head: str = "pass"
    backfilling: str = "none"
    outage_grace_s: float = 300.0
    unknown_duration_s: float = 86400.0
    max_reservations: int = 10
    gang_search: GangSearch = GangSearch()


OVERRUN_S = 1.0
"""What has run for longer than its duration, and what is being removed, is expected to end in so many seconds."""
