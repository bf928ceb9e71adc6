"""One role at its turn: what it wants, where it may go, and how much fits there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.filling import Kind, look
from federator.engine.governing import Rule
from federator.model.workload import Role, Workload


@dataclass(slots=True, eq=False)
class Room:
    """How many more replicas of a shape fit into each cluster, and what bounds it.

    ``more`` on nodes that exist, ``extra`` on nodes that an autoscaler could add after that, both only where new
    replicas are let in. ``limited`` is what quotas allow (None: no quotas) and ``limits`` what they leave, by
    resource; ``reported`` who said that none fits. ``bound`` is what both leave.
    """

    more: Array
    extra: Array
    limited: Array | None
    limits: Mapping[str, Array]
    reported: Mapping[int, str]
    bound: Array

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
    kind: Kind
    room: Room
    held: Array
    minima: Array
    maxima: Array
    looked: Mask
    """The tiers whose room has been counted."""
    holds: bool = field(init=False)
    """Whether any cluster holds some of it."""

    def __post_init__(self) -> None:
        self.holds = bool(self.held.any())

    def look(self, place: int) -> None:
        """Count the room of one tier's clusters, node by node."""
        room = self.room
        look(self.federation.land, self.kind, room.bound, room.more, room.extra, self.looked, place)

    def look_everywhere(self) -> Turn:
        """Count the room of all tiers."""
        for place in range(len(self.rule.members)):
            self.look(place)
        return self


def unmeasured(federation: Federation, eligibility: Eligibility) -> Room:
    """Room of which no node has been counted yet."""
    nothing = np.zeros(len(federation.names), dtype=np.int64)
    limited, reported = federation.limit_room(eligibility.shape), federation.reported(eligibility.requests)
    bound = federation.unbounded if limited is None else limited
    if reported:
        bound = bound.copy()
        bound[list(reported)] = 0
    return Room(nothing, nothing.copy(), limited, federation.limits_left(eligibility.shape), reported, bound)
