"""One role at its turn: what it wants, where it may go, and how much fits there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.governing import Rule
from federator.engine.nodes import UNLIMITED
from federator.engine.windows import Count
from federator.model.workload import Role, Workload


@dataclass(slots=True, eq=False)
class Room:
    """How many more replicas of a shape fit into each cluster, and what bounds it.

    ``more`` on nodes that exist, ``extra`` on nodes that an autoscaler could add after that, both only where new
    replicas are let in. ``limited`` is what quotas allow (None: no quotas) and ``limits`` what they leave, by
    resource; ``reported`` who said that none fits.
    """

    more: Array
    extra: Array
    limited: Array | None
    limits: Mapping[str, Array]
    reported: Mapping[int, str]

    def only(self, clusters: Mask) -> Room:
        """The same with no room anywhere else."""
        return replace(self, more=self.more * clusters, extra=self.extra * clusters)


@dataclass(slots=True, eq=False)
class Turn:
    """A role that is about to be placed. Arrays by cluster; bounds are what other roles leave of the policy's.

    Room is counted where one looks for it, since most workloads find a place in their first tiers.
    """

    federation: Federation
    workload: Workload
    role: Role
    rule: Rule
    wanted: int
    eligibility: Eligibility
    room: Room
    held: Array
    minima: Array
    maxima: Array
    holds: bool = field(init=False)
    """Whether any cluster holds some of it."""
    looked: set[int] = field(default_factory=set)
    counted: list[Count] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.holds = bool(self.held.any())

    def look(self, place: int) -> None:
        """Count the room of one tier's clusters, node by node."""
        if place not in self.looked:
            self.looked.add(place)
            members = self.rule.members[place]
            if len(members):
                self._count(None if len(members) == len(self.held) else members)

    def look_everywhere(self) -> Turn:
        """Count the room of all tiers."""
        for place in range(len(self.rule.members)):
            self.look(place)
        return self

    def _count(self, clusters: Array | None) -> None:
        federation, shape = self.federation, self.eligibility.shape
        count = federation.nodes.count_room(shape, clusters)
        self.counted.append(count)
        window, lots = count.window, count.room
        at = slice(None) if clusters is None else clusters
        open_ = self.eligibility.open[at]
        if federation.nodes.any_potential:
            potential = federation.nodes.potential[window.lots]
            more, extra = window.by_cluster(lots * ~potential), window.by_cluster(lots * potential)
        else:
            more, extra = window.by_cluster(lots), None
        if federation.any_unknown:
            more = np.where(federation.unknown[at], UNLIMITED, more)
        more = np.minimum(more, UNLIMITED)
        if self.room.limited is not None:
            more = np.minimum(more, self.room.limited[at])
        self.room.more[at] = more * open_
        if extra is not None:
            left = extra if self.room.limited is None else np.minimum(extra, self.room.limited[at] - more)
            self.room.extra[at] = left * open_
        for one in self.room.reported:
            self.room.more[one] = self.room.extra[one] = 0


def unmeasured(federation: Federation, eligibility: Eligibility) -> Room:
    """Room of which no node has been counted yet."""
    nothing = np.zeros(len(federation.names), dtype=np.int64)
    return Room(
        more=nothing,
        extra=nothing.copy(),
        limited=federation.limit_room(eligibility.shape),
        limits=federation.limits_left(eligibility.shape),
        reported=federation.reported(eligibility.requests),
    )
