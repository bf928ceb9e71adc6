"""One role at its turn: what it wants, where it may go, and how much fits there now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array, Mask
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.filling import AIM, BOUND, EXTRA, FIT, HELD, LOOKED, MAXIMUM, MINIMUM, MORE, TAKES, Times, look
from federator.engine.fit import fit
from federator.engine.governing import Rule
from federator.engine.kinds import Kind
from federator.engine.limit_left import LimitLeft
from federator.engine.promises import Kept, Promises
from federator.engine.purse import Purse
from federator.model.reasons import Verdict
from federator.model.workload import Role, Workload


@dataclass(slots=True, eq=False)
class Room:
    """How many more replicas of a shape fit into each cluster, and what bounds it.

    ``more`` on nodes that exist, ``extra`` on nodes that an autoscaler could add after that, both only where new
    replicas are let in. ``limited`` is what quotas allow (None: no quotas) and ``limits`` what they leave, by
    resource; ``reported`` who said that none fits; ``kept`` where some is kept for another.
    """

    more: Array
    extra: Array
    limited: Array | None
    limits: Mapping[str, Array]
    reported: Mapping[int, str]
    kept: dict[int, Kept] = field(default_factory=dict)
    coming: dict[int, int] = field(default_factory=dict)
    """Where others are giving way to it, and how many of its replicas that makes room for."""


@dataclass(frozen=True, slots=True, eq=False)
class CapLeft:
    """A limit of the workload's queue on some clusters (``members``) together: so many more replicas may go there."""

    pattern: str
    members: Array
    left: int


@dataclass(slots=True, eq=False)
class Turn:
    """A role that is about to be placed. Arrays by cluster; bounds are what other roles leave of the policy's.

    Of what is ``wanted`` no more than ``admitted`` is placed at this turn; ``held_back`` says why it is less.

    Its tables are those of its kind, with what is its own filled in. Room is counted where one looks for it, since
    most workloads find a place in their first tiers.
    """

    federation: Federation
    workload: Workload
    role: Role
    rule: Rule
    wanted: int
    eligibility: Eligibility
    kind: Kind
    held: Array
    minima: Array
    maxima: Array
    room: Room = field(init=False)
    desk: Array = field(init=False)
    tiers: Array = field(init=False)
    times: Times = field(init=False)
    holds: bool = field(init=False)
    """Whether any cluster holds some of it."""
    admitted: int = field(init=False)
    held_back: Verdict | None = None
    aims: Array | None = None
    """How many replicas should be on each cluster, where its kind is divided by foresight."""
    caps: list[CapLeft] = field(default_factory=list)
    limits: list[LimitLeft] = field(default_factory=list)
    purses: list[Purse] = field(default_factory=list)
    unasked: bool = False
    """Whether nobody is told why it got no more, where it gets all that is admitted."""
    _weighed: bool = False

    def __post_init__(self) -> None:
        self.admitted = self.wanted
        federation, shape = self.federation, self.eligibility.shape
        self.desk, self.tiers, self.times = self.kind.desk.copy(), self.kind.tiers.copy(), self.kind.times.copy()
        self.holds = bool(self.held.any())
        limited, reported = federation.limit_room(shape), federation.reported(self.eligibility.requests)
        desk = self.desk
        desk[:, HELD], desk[:, MINIMUM], desk[:, MAXIMUM] = self.held, self.minima, self.maxima
        desk[:, BOUND] = federation.unbounded if limited is None else limited
        if self.aims is not None:
            desk[:, AIM] = self.aims
        elif self.kind.by_fit:
            self.weigh()
        if reported:
            desk[list(reported), BOUND] = 0
        promises = federation.promises
        kept = _kept(self, promises) if promises is not None and promises.reserved else {}
        self.room = Room(desk[:, MORE], desk[:, EXTRA], limited, federation.limits_left(shape), reported, kept)

    @property
    def until(self) -> int:
        """When a replica is expected to end that is placed now."""
        return self.federation.until(self.workload)

    def weigh(self) -> None:
        """See how well each cluster fits, where that counts."""
        if self.kind.by_fit and not self._weighed:
            self.desk[:, FIT] = fit(self.federation, self.role.requests, self.held)
            self._weighed = True

    def admit(self, most: int, why: Verdict | None = None) -> None:
        """Place no more than so many of it now."""
        if most < self.admitted:
            self.admitted, self.held_back = most, why

    def look(self, place: int) -> None:
        """Count the room of one tier's clusters, node by node."""
        nodes, shape = self.federation.nodes, self.eligibility.shape
        look(
            nodes.rows, nodes.blocks, nodes.first_lots, shape.asked, shape.terms,
            self.kind.members, self.desk, self.tiers, place,
        )  # fmt: skip

    def look_everywhere(self) -> Turn:
        """Count the room of all tiers."""
        for place in range(len(self.rule.members)):
            if not self.tiers[place, LOOKED]:
                self.look(place)
        return self

    def keep_to(self, clusters: Mask) -> None:
        """Have no room anywhere else."""
        self.look_everywhere()
        self.room.more *= clusters
        self.room.extra *= clusters

    def let_go(self, clusters: Mask) -> None:
        """Hold nothing on these clusters."""
        self.held = self.held * ~clusters
        self.desk[:, HELD] = self.held
        self.holds = bool(self.held.any())


def _kept(turn: Turn, promises: Promises) -> dict[int, Kept]:
    """Bound the room of clusters on which something is reserved to what delays nothing, and tell which."""
    kept, until, shape = dict[int, Kept](), promises.until(turn.workload), turn.eligibility.shape
    crossed = (promises.reserved[at] for at in promises.crossed(until))
    for at in sorted(frozenset[int]().union(*(one.clusters for one in crossed))):
        most = min(int(turn.desk[at, BOUND]), turn.wanted)
        found = promises.passing(turn.federation.nodes, shape, until, at, most) if turn.desk[at, TAKES] else None
        if found is not None:
            kept[at] = found
            turn.desk[at, BOUND] = found.passing
    return kept


def nowhere(federation: Federation) -> Mask:
    """No cluster."""
    return np.zeros(len(federation.names), dtype=bool)
