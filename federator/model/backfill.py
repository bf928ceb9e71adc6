"""Fillers: preemptible work with no claim, that fills what production leaves idle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from federator.model.policy import FULL_PPM
from federator.model.reasons import Verdict
from federator.model.workload import Workload

ANY = "*"
"""Stands for every cluster, or every resource, that is not named."""
ABILITY = "backfill"
"""What a cluster must be able to do to be filled: to run replicas below all others, whose room counts as free, and to
end them by itself, within their grace, when others need it."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of some days (0 is Monday) in which nothing is filled, in a time zone; ``to_s`` may be past midnight.

    Seconds since the midnight on which they begin.
    """

    from_s: int
    to_s: int
    days: frozenset[int] = frozenset(range(7))
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class Filler:
    """What fills, and how much of which clusters.

    ``workload`` has one role, whose replicas are the tasks that are not finished; ``parallelism`` of them at once.
    Shares are in millionths: ``keep_free`` by cluster and resource, of what the cluster's nodes offer. ``max_price``
    is in micro-units of money for one replica and hour, ``max_carbon`` in gCO2e/kWh.
    """

    workload: Workload
    weight: int = 1
    keep_free: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    max_share: int = FULL_PPM
    quiet_hours: tuple[QuietHours, ...] = ()
    max_price: int | None = None
    max_carbon: float | None = None
    grace_s: float = 30.0
    stops_s: float | None = None
    """How long a replica takes to save what it has and to end when it is told to; None: it saves nothing then."""
    idle_for_s: float = 0.0
    """It leaves free what others used within so many seconds, up to ``idle_at_most`` of what is offered."""
    idle_at_most: int = FULL_PPM
    smallest_slice_s: float = 0.0
    most_lost: int = 20_000
    """Of each million that its replicas on a cluster are expected to do, no more than so much may be lost; a million:
    whatever is lost."""

    @property
    def loses_s(self) -> float:
        """What a replica that is driven out loses in the mean; infinite: all."""
        if self.stops_s is not None:
            return 0.0
        every_s = self.workload.checkpoint_every_s
        return inf if every_s is None else every_s / 2

    @property
    def name(self) -> str:
        """The name of its workload."""
        return self.workload.name

    def kept_free(self, cluster: str, resource: str) -> int:
        """The share of a resource of a cluster that it leaves free."""
        shares = self.keep_free.get(cluster, self.keep_free.get(ANY, {}))
        return shares.get(resource, shares.get(ANY, 0))


def lost_s(ran_s: float, checkpoint_every_s: float | None) -> float:
    """What a replica loses that is stopped after it has run so long: since its last checkpoint, or all."""
    return ran_s % checkpoint_every_s if checkpoint_every_s else max(0.0, ran_s)


def idle_times(fillers: Iterable[Filler]) -> list[float]:
    """The times within which it has to be known what was free, in seconds."""
    return sorted({filler.idle_for_s for filler in fillers} - {0.0})


class Kept(NamedTuple):
    """What a filler leaves free of one resource of a cluster; amounts in the units of ``Resources``."""

    resource: str
    fixed: int
    """By ``keepFree``, always."""
    lately: int
    """What others used within ``idleFor`` and use no more."""
    at_most: int
    """So much of ``lately`` at most, by ``idleAtMost``."""

    @property
    def amount(self) -> int:
        """What is left free; where less is free than that, all of it."""
        return max(self.fixed, min(self.lately, self.at_most))

    @property
    def rule(self) -> str:
        """The field of the document that decides how much it is."""
        if self.fixed >= min(self.lately, self.at_most):
            return "keepFree"
        return "idleFor" if self.lately <= self.at_most else "idleAtMost"


class Filled(NamedTuple):
    """What one filler should run on each cluster, why it is no more there, and what it leaves free, where it does."""

    workload: str
    replicas: Mapping[str, int]
    why: Mapping[str, Verdict]
    kept: Mapping[str, tuple[Kept, ...]] = MappingProxyType({})
