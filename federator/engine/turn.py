"""One role at its turn: what it wants, where it may go, and how much fits there now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.governing import Rule
from federator.engine.nodes import UNLIMITED, Array, Mask
from federator.model.workload import Role, Workload


@dataclass(slots=True, eq=False)
class Room:
    """How many more replicas of a shape fit into each cluster, and what bounds it.

    ``more`` on nodes that exist, ``extra`` on nodes that an autoscaler could add after that, both only where new
    replicas are let in. ``limited`` is what quotas allow (None: no quotas), ``reported`` who said that none fits.
    """

    more: Array
    extra: Array
    limited: Array | None
    reported: dict[int, str]
    limits: dict[str, Array] | None = None
    """By resource: what the quotas of each cluster left when the room was measured."""


@dataclass(slots=True, eq=False)
class Turn:
    """A role that is about to be placed. Arrays by cluster; ``maxima`` are what its policy leaves it there.

    ``firm`` replicas stay where they are whatever happens; ``home`` is what may stay (at most what is held).
    """

    workload: Workload
    role: Role
    rule: Rule
    wanted: int
    eligibility: Eligibility
    room: Room
    held: Array
    minima: Array
    maxima: Array

    @property
    def caps(self) -> Array:
        """The most that each cluster can hold on nodes that exist."""
        return np.minimum(self.maxima, self.held + self.room.more)


def measure(federation: Federation, eligibility: Eligibility, only: Mask | None = None) -> Room:
    """Count the room node by node; ``only`` leaves all other clusters out."""
    nodes, shape = federation.nodes, eligibility.shape
    open_ = eligibility.open if only is None else eligibility.open & only
    rows = nodes.fits(shape) * nodes.count
    if nodes.any_potential:
        existing = nodes.existing
        more, extra = nodes.by_cluster(rows * existing), nodes.by_cluster(rows * ~existing)
    else:
        more = nodes.by_cluster(rows)
        extra = np.zeros_like(more)
    more = np.where(federation.unknown, UNLIMITED, np.minimum(more, UNLIMITED))
    limited = federation.limit_room(shape)
    if limited is not None:
        more = np.minimum(more, limited)
        extra = np.minimum(extra, limited - more)
    reported = federation.reported(eligibility.requests)
    more, extra = more * open_, extra * open_
    for at in reported:
        more[at] = extra[at] = 0
    return Room(more, extra, limited, reported, federation.limits_left(shape) if limited is not None else None)
