"""A member of the federation as the planner sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from federator.model.resources import Resources
from federator.model.selectors import Taint


class Binding(StrEnum):
    """How a member binds replicas to its nodes."""

    SPREAD = "spread"
    BALANCE = "balance"
    PACK = "pack"
    FRAGMENTATION_AWARE = "fragmentationAware"


class Health(StrEnum):
    """Whether a member can be given work now."""

    UP = "up"
    AWAY = "away"
    """Does not answer, for less than the outage grace: no new work, what it holds is believed to run."""
    LOST = "lost"
    """Has not answered for longer than the outage grace: what it holds is placed elsewhere."""
    UNKNOWN = "unknown"
    """Has not answered yet since the federator started."""


@dataclass(frozen=True, slots=True)
class Running:
    """``replicas`` of a workload's role that have run on one node for ``age_s``."""

    workload: str
    role: str
    replicas: int
    age_s: float


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """``count`` nodes of a flavor that have exactly the same free amounts.

    What backfill uses counts as free: production may have it. ``runs``, where it is told, is what of ours runs on
    each of them (the same on all); None: not told.
    """

    free: Resources
    count: int
    runs: tuple[Running, ...] | None = None


@dataclass(frozen=True, slots=True)
class Flavor:
    """Alike nodes of a cluster.

    ``allocatable`` is per node. ``nodes`` tells how much of each node is free, alike nodes grouped; their counts
    sum to ``count``. Nodes between ``count`` and ``max_count`` do not exist yet but an autoscaler can make them.
    """

    name: str
    count: int
    allocatable: Resources
    nodes: tuple[NodeGroup, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    max_count: int = 0
    boot_time_s: float = 0.0
    price: Mapping[str, float] = field(default_factory=dict)
    """Instead of the cluster's, for the resources named; in the same unit."""
    idle_time_s: float | None = None
    """How long an added node may be empty before it goes again; None: it stays."""


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """The member reported that a replica of this shape finds no node; holds until something there changes."""

    requests: Resources
    message: str


@dataclass(frozen=True, slots=True)
class Rise:
    """By how much more of a cluster, at the most, others came to use within so long a time from moments of the past.

    ``samples`` are (by how much, at how many of the moments). Backfill is not counted.
    """

    within_s: float
    samples: tuple[tuple[Resources, int], ...]

    def __hash__(self) -> int:
        """Of as much as tells them apart nearly always: plans look each of them up many times."""
        return hash((self.within_s, len(self.samples), self.samples[:1], self.samples[-1:]))


@dataclass(frozen=True, slots=True)
class Downtime:
    """A time in which the cluster gives nothing, known before; in seconds since the epoch.

    It is drained ``drain_s`` before it begins, ``to_s`` is when it takes work again; ``reason`` is for people.
    """

    from_s: float
    to_s: float
    drain_s: float = 0.0
    reason: str = ""

    @property
    def drained_from_s(self) -> float:
        """From when on nothing new starts there."""
        return self.from_s - self.drain_s


@dataclass(frozen=True, slots=True)
class Cluster:
    """One member: who it is, how it is, what it has.

    ``flavors`` None means that its room is unknown and taken as unlimited. ``limits`` are further amounts that our
    replicas may still use in all (a namespace's ResourceQuota: what is left of it). ``abilities`` are what its
    provider can run (see ``Workload.needs``). ``foreign`` is what others than the federator use of it, ``price`` is
    per unit (core, byte, piece) and hour in micro-units of money, ``carbon_g_per_kwh`` as in the document.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    provider: str = "fake"
    health: Health = Health.UP
    health_message: str = ""
    away_s: float = 0.0
    """For how long the cluster has not answered; 0 when it is up."""
    cordoned: bool = False
    draining: bool = False
    vacated: bool = False
    """It is being drained, and the deadline of that is over: what finds no other place stops, and waits."""
    downtime: Downtime | None = None
    """For which it is being drained; None: for none."""
    downtimes: tuple[Downtime, ...] = ()
    """What was announced. No plan reads it: ``engine/downtimes.py`` says what that is at a time."""
    binding: Binding = Binding.SPREAD
    flavors: tuple[Flavor, ...] | None = None
    limits: Resources | None = None
    foreign: Resources = Resources()
    abilities: frozenset[str] = frozenset({"container", "process", "service", "manifest", "backfill", "checkpoints"})
    price: Mapping[str, float] = field(default_factory=dict)
    carbon_g_per_kwh: float = 0.0
    power_w: Mapping[str, float] = field(default_factory=dict)
    """What a core, a GiB or a piece takes, in watts."""
    unschedulable: tuple[Unschedulable, ...] = ()
    whole_cores: bool = False
    """It gives a replica whole cores: one that asks for a part of a core takes all of it."""
    idle: Mapping[float, Resources] = field(default_factory=dict)
    """The least that was free of it, backfill not counted, at any time within the last so many seconds."""
    rises: tuple[Rise, ...] = ()
    """How much more of it others came to use, by the time within which they did, rising."""

    @property
    def allocatable(self) -> Resources:
        """What all existing nodes offer together; empty where the room is unknown."""
        total = Resources()
        for flavor in self.flavors or ():
            total = total + flavor.allocatable * flavor.count
        return total

    @property
    def free(self) -> Resources:
        """What is free on all existing nodes together (fragments counted in full)."""
        total = Resources()
        for flavor in self.flavors or ():
            for group in flavor.nodes:
                total = total + group.free.floor() * group.count
        return total
