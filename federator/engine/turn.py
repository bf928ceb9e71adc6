"""One role at its turn: what it wants, where it may go, and how much fits there now."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def only(self, clusters: Mask) -> Room:
        """The same with no room anywhere else."""
        return replace(self, more=self.more * clusters, extra=self.extra * clusters)


@dataclass(slots=True, eq=False)
class Turn:
    """A role that is about to be placed. Arrays by cluster; bounds are what other roles leave of the policy's."""

    workload: Workload
    role: Role
    rule: Rule
    wanted: int
    eligibility: Eligibility
    room: Room
    held: Array
    minima: Array
    maxima: Array


def measure(federation: Federation, eligibility: Eligibility) -> Room:
    """Count the room node by node."""
    nodes, shape, open_ = federation.nodes, eligibility.shape, eligibility.open
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
