"""The federation at one instant, and what the planner makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from federator.model.backfill import Filled, Filler
from federator.model.budget import Spent
from federator.model.cluster import Cluster
from federator.model.limits import Limit
from federator.model.policy import Cohort, Planning, Policy, Queue, QueueUsage
from federator.model.reasons import Verdict
from federator.model.resources import Resources
from federator.model.workload import Workload


@dataclass(frozen=True, slots=True)
class Holding:
    """What a cluster holds of a workload's role: replicas that run there, or are on their way there.

    ``unbound`` of them do not show yet in the free amounts of the cluster's nodes (intents not yet observed,
    replicas not yet bound to a node); the planner binds them itself before it gives room to anybody.
    ``age_s`` is how long the youngest of them has been there, ``moved`` how many replicas of the workload were moved
    there within the policy's budget period.
    """

    workload: str
    role: str
    cluster: str
    replicas: int
    unbound: int = 0
    age_s: float = 0.0
    moved: int = 0
    leaving: int = 0
    """Replicas beyond ``replicas`` that are being removed there and still use their nodes."""
    leaving_unbound: int = 0
    """Of ``leaving``, as of ``replicas``, those that do not show in the free amounts."""
    waves: tuple[tuple[float, int], ...] = ()
    """For how long how many of them have been there (seconds, replicas), where that is told; else all are taken to be
    as young as the youngest."""


@dataclass(frozen=True, slots=True)
class TierClock:
    """Since when a tier has been full (or away) for workloads of one policy and shape.

    ``shape`` is the canonical text of the role requests that were turned away (``shape_key``).
    """

    policy: str
    tier: str
    shape: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A cluster that refused this workload for good (its admission, its authorisation), in the cluster's words."""

    workload: str
    cluster: str
    detail: str


class Head(NamedTuple):
    """A workload that waits first in its queue, and stays first (``blockedHead: stay``): of the plan before.

    ``at_s`` is when its reservation begins, in seconds since the epoch (None: it has none), and ``places`` are the
    replicas that are reserved, by cluster.
    """

    workload: str
    at_s: float | None = None
    places: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Displacement:
    """``victim`` had to give way to ``workload``, ``age_s`` ago; of one plan, ``place`` counts them.

    What gave way never displaces it in its turn. And until ``workload`` has held ``gains`` replicas once it is served
    before all others, up to so many, so that nobody else takes the room (0: it has, or no longer waits for that).
    """

    workload: str
    victim: str
    age_s: float = 0.0
    place: int = 0
    gains: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The federation as a value. Frozen, complete, stamped with its time (seconds since the epoch)."""

    at_s: float = 0.0
    clusters: tuple[Cluster, ...] = ()
    workloads: tuple[Workload, ...] = ()
    holdings: tuple[Holding, ...] = ()
    policies: tuple[Policy, ...] = ()
    queues: tuple[Queue, ...] = ()
    planning: Planning = Planning()
    clocks: tuple[TierClock, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    cohorts: tuple[Cohort, ...] = ()
    usage: tuple[QueueUsage, ...] = ()
    limits: tuple[Limit, ...] = ()
    spent: tuple[Spent, ...] = ()
    displacements: tuple[Displacement, ...] = ()
    heads: tuple[Head, ...] = ()
    fillers: tuple[Filler, ...] = ()
    """What fills the rest. What they hold is among the holdings, and counts as free on the nodes."""


class Placement(NamedTuple):
    """How many replicas of a workload's role should run on a cluster, old and new together.

    A named tuple, because a plan holds hundreds of thousands of them and they are made several times faster so.
    """

    workload: str
    role: str
    cluster: str
    replicas: int
    tier: str
    policy: str


BACKFILL = "backfill"
"""What stands for the policy where a filler is placed, which none governs."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Replicas that got no place, and why, for every cluster of the federation."""

    workload: str
    role: str
    replicas: int
    reasons: Mapping[str, Verdict]
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """Replicas that should leave one cluster for another."""

    workload: str
    role: str
    source: str
    target: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Preemption:
    """Replicas that must give way. ``by`` is the workload that needs their room, ``reason`` why it may have it (see
    ``engine/victims.py``); ``gains`` is how many replicas it has a place for then."""

    workload: str
    role: str
    cluster: str
    replicas: int
    by: str
    reason: str
    gains: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """Room kept for a large workload, from ``at_s`` seconds after the snapshot; one for each of its clusters."""

    workload: str
    cluster: str
    at_s: float
    replicas: int


@dataclass(frozen=True, slots=True)
class WholeCores:
    """What a replica that asks for a part of a core, or for none, takes of a cluster that gives whole ones."""

    asked_millicores: int
    takes: int
    """So many cores a replica takes."""
    most: int
    """So many replicas its nodes hold if nothing else is there; not those that an autoscaler may add."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the planner saw and did for one workload's role on one cluster: a line of ``explain``.

    ``room`` None: unknown, unlimited. ``ideal`` is the share before rounding (None where the cluster took no part).
    """

    role: str
    cluster: str
    tier: str
    room: int | None
    weight: int
    minimum: int
    maximum: int | None
    held: int
    ideal: float | None
    replicas: int
    verdict: Verdict | None
    lacks_bytes: int = 0
    """Of the workload's inputs, what the cluster has not."""
    nearness: float = 1.0
    """By what the weight was multiplied for that."""
    whole_cores: WholeCores | None = None
    """Where the cluster gives whole cores, and it asks for a part of one."""


@dataclass(frozen=True, slots=True)
class QueueShare:
    """What a queue or cohort has and may have, at the snapshot. Shares are parts of the federation, 0 to 1.

    A share of amounts is the largest part of any resource. By weight: what its weight gives it among its like, level
    by level, whoever asks. ``due``: the same, but nobody gets more than it asks for or its quota allows, and what one
    leaves goes to the others by weight.
    """

    name: str
    used: Resources = Resources()
    share: float = 0.0
    dominant: str = ""
    """The resource of which it uses the largest part."""
    by_weight: float = 0.0
    due: float = 0.0
    lately: float = 0.0
    """Of what it had lately, the mean that its half-life forgets."""
    borrowed: float = 0.0
    """What it uses beyond its claim, as a part of what its cohort could lend."""
    left: Mapping[str, int] = field(default_factory=dict)
    """What its quotas let it use besides, by resource; a resource that is not named has no limit."""


@dataclass(frozen=True, slots=True)
class FlavorShare:
    """What the planner saw of one flavor of a cluster for a role.

    ``rank`` counts from 1: flavors of a lower rank are used first; None where it may not be used (``verdict`` says
    why). ``room`` is how many more replicas fit on its nodes that exist, ``extra`` on those that an autoscaler could
    add; ``price`` what one costs there for an hour.
    """

    role: str
    cluster: str
    flavor: str
    rank: int | None
    room: int
    extra: int
    price: float
    verdict: Verdict | None
    boot_s: float = 0.0
    """How long one of those that could be added takes until it is there."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a workload is where it is. ``cures`` are changes, in words, any of which would let it start (more), the
    smallest first."""

    workload: str
    policy: str
    policy_source: str
    position: int
    """Place in the order of service, counted from 1; 0 under the fair order, in which queues take turns."""
    shares: tuple[Share, ...]
    flavors: tuple[FlavorShare, ...] = ()
    cures: tuple[str, ...] = ()
    expected_start_s: float | None = None
    """In how many seconds it is expected to start: when its reservation begins; or, where it was given only nodes that
    an autoscaler has yet to add, when these have booted. None where that is not known (or where nobody asks: without
    backfilling)."""
    queue: QueueShare = QueueShare("")
    queue_position: int = 0
    """Place among those of its queue, counted from 1."""

    @property
    def smallest(self) -> str:
        """The smallest changes that would let it start, in words: the first, or else the next; empty for none."""
        return ", or ".join(self.cures[:2])


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to one snapshot. Sorted by workload, role and cluster throughout, but for ``preemptions``: these are
    in the order in which they were found.

    ``full_tiers`` are the (policy, tier, shape) that turned replicas away, where a later tier of the policy waits for
    that (``openAfter``); the caller keeps since when (TierClock).
    """

    placements: Sequence[Placement] = ()
    refusals: tuple[Refusal, ...] = ()
    moves: tuple[Move, ...] = ()
    preemptions: tuple[Preemption, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    full_tiers: frozenset[tuple[str, str, str]] = frozenset()
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    """Of the workloads that were asked about, by name."""
    queues: Mapping[str, QueueShare] = field(default_factory=dict)
    """What each queue has and may have before this plan is carried out."""
    cohorts: Mapping[str, QueueShare] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()
    """Where heads stay: who they are, for the next snapshot."""
    backfill: tuple[Filled, ...] = ()
    """What fills the rest; not among ``placements``."""

    @property
    def wanted(self) -> Iterator[Placement]:
        """All that should run, fillers too (of no tier; ``BACKFILL`` stands for their policy)."""
        yield from self.placements
        for filled in self.backfill:
            for cluster, replicas in sorted(filled.replicas.items()):
                yield Placement(filled.workload, "", cluster, replicas, "", BACKFILL)


def shape_key(workload: Workload) -> str:
    """The canonical text of what a workload's roles ask for, for TierClock."""
    return "; ".join(",".join(f"{name}={amount}" for name, amount in role.requests.items_) for role in workload.roles)
