"""The federation of one snapshot, laid out for planning: clusters by name, their nodes, limits and what they hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from copy import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np

from federator.engine.arrays import UNLIMITED, Array, Mask
from federator.engine.binding import HABITS, bind
from federator.engine.constraints import Constraints
from federator.engine.ends import NEVER
from federator.engine.feasibility import Eligibility, Feasibility, Verdicts
from federator.engine.governing import Governing
from federator.engine.nodes import Nodes, Saved
from federator.engine.prices import Prices
from federator.engine.promises import Kept, Mark, Promises
from federator.engine.shapes import Shape
from federator.engine.whole_cores import CORES, are_counted
from federator.model.cluster import Cluster, Health
from federator.model.plan import Holding, Snapshot
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Role, Workload


class State(NamedTuple):
    """What changes while a plan is made, at one moment."""

    nodes: Saved
    limits: Array | None
    promises: Mark | None


def by_name(snapshot: Snapshot) -> tuple[Cluster, ...]:
    """The clusters in the order of planning."""
    return tuple(sorted(snapshot.clusters, key=lambda cluster: cluster.name))


def asked_for(snapshot: Snapshot) -> frozenset[str]:
    """The resources that anybody asks for, and whole cores where they count apart."""
    everybody = (*snapshot.workloads, *(filler.workload for filler in snapshot.fillers))
    requests = (role.requests for workload in everybody for role in workload.roles)
    names = frozenset({name for workload in everybody for role in workload.roles for name, _ in role.requests.items_})
    return names | {CORES} if are_counted(snapshot.clusters, requests) else names


class Federation:
    """Arrays by cluster, in the order of names. Only ``nodes`` and ``limits`` change while a plan is made."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.clusters = by_name(snapshot)
        self.names = tuple(cluster.name for cluster in self.clusters)
        self.index = {name: at for at, name in enumerate(self.names)}
        self.nodes = Nodes(self.clusters, asked_for(snapshot))
        self.constraints = Constraints(self.clusters)
        self.governing = Governing(snapshot.policies, self.clusters, self.constraints)
        self.prices = Prices(self.clusters, self.nodes.lots)
        self.feasibility = Feasibility(self.clusters, self.nodes, self.constraints, self.prices)
        self.habits = np.array([HABITS[cluster.binding] for cluster in self.clusters], dtype=np.int64)
        self.unknown = self._mask(lambda c: c.flavors is None)
        self.any_unknown = bool(self.unknown.any())
        self.unbounded = np.full(len(self.names), UNLIMITED, dtype=np.int64)
        self.lost = self._mask(lambda c: c.health is Health.LOST)
        self.silent = self._mask(lambda c: c.health is not Health.UP)
        self.any_silent = bool(self.silent.any())
        self.cordoned = self._mask(lambda c: c.cordoned)
        self.draining = self._mask(lambda c: c.draining)
        self.working = ~(self.silent | self.cordoned | self.draining)
        """Clusters that take new work; only they count in the fill of a tier."""
        self._numbers: dict[Hashable, Array] = {}
        self.offered: dict[int, tuple[list[list[int]], list[list[int]]]] = {}
        """What ``fill`` has found that the tiers of each rule offer."""
        self._reports = [at for at, cluster in enumerate(self.clusters) if cluster.unschedulable]
        self._stand(snapshot)

    def again(self, snapshot: Snapshot) -> Federation:
        """The same federation in a later snapshot, from which its clusters differ only in what is free on them."""
        other = copy(self)
        other.clusters = by_name(snapshot)
        other.nodes = self.nodes.again(other.clusters)
        other._stand(snapshot)
        return other

    def _stand(self, snapshot: Snapshot) -> None:
        """How everything stands at the moment of the snapshot."""
        self.at_s = snapshot.at_s
        self.limits = self._limits()
        self.promises: Promises | None = None
        """What is reserved; None where nothing may be."""
        self.changes = 0
        """Grows whenever room is taken or given back: while it stands still, alike questions have alike answers."""
        self._holdings: dict[tuple[str, str], list[Holding]] = {}
        for holding in snapshot.holdings:
            if holding.cluster in self.index:
                self._holdings.setdefault((holding.workload, holding.role), []).append(holding)
        self._exclusions: dict[str, dict[int, str]] = {}
        for exclusion in sorted(snapshot.exclusions, key=lambda e: (e.workload, e.cluster, e.detail)):
            if exclusion.cluster in self.index:
                refused = self._exclusions.setdefault(exclusion.workload, {})
                refused.setdefault(self.index[exclusion.cluster], exclusion.detail)

    def _mask(self, holds: Callable[[Cluster], bool]) -> Mask:
        return np.array([holds(cluster) for cluster in self.clusters], dtype=bool)

    @cached_property
    def offer(self) -> Array:
        """What the nodes of each cluster offer, those that could exist included, by cluster and resource."""
        return self.nodes.offered(potential=True)

    def once(self, what: Hashable, ask: Callable[[], Array]) -> Array:
        """Numbers by cluster that do not change while a plan is made, asked once for each name of what they are."""
        if what not in self._numbers:
            self._numbers[what] = ask()
        return self._numbers[what]

    def _limits(self) -> Array | None:
        """By resource and cluster: what quotas leave; None where no cluster has any."""
        if all(cluster.limits is None for cluster in self.clusters):
            return None
        limits = np.full((len(self.nodes.resources), len(self.clusters)), 2**62, dtype=np.int64)
        for at, cluster in enumerate(self.clusters):
            for name, amount in cluster.limits.items_ if cluster.limits is not None else ():
                if name in self.nodes.resources:
                    limits[self.nodes.resources.index(name), at] = max(0, amount)
        return limits

    def holdings(self, workload: str, role: str) -> list[Holding]:
        """What known clusters hold of a role."""
        return self._holdings.get((workload, role), [])

    def spoken_of(self, workload: Workload) -> bool:
        """Whether any cluster holds some of a workload of one role, has refused it, or has reported that such finds no
        node."""
        role = workload.roles[0]
        return bool(
            (self._holdings and (workload.name, role.name) in self._holdings)
            or (self._exclusions and workload.name in self._exclusions)
            or (self._reports and self.reported(role.requests))
        )

    def held(self, workload: str, role: str) -> Array:
        """How many replicas each cluster holds; what a lost one holds counts as gone."""
        held = np.zeros(len(self.names), dtype=np.int64)
        for holding in self.holdings(workload, role):
            held[self.index[holding.cluster]] += holding.replicas
        held[self.lost] = 0
        return held

    def held_unbound(self, workload: str, role: str) -> Array:
        """How many of these are not on a node yet."""
        unbound = np.zeros(len(self.names), dtype=np.int64)
        for holding in self.holdings(workload, role):
            unbound[self.index[holding.cluster]] += min(holding.unbound, holding.replicas)
        unbound[self.lost] = 0
        return unbound

    def shape_of(self, workload: Workload, role: Role) -> Shape:
        """What a replica of the role asks for, where its policy and its own limits let it be."""
        return self.feasibility.of(workload, role, self.governing.rule(workload), ()).shape

    def excluded(self, workload: str) -> Verdicts:
        """The verdicts of clusters that refused the workload for good; empty where none did."""
        refused = self._exclusions.get(workload)
        if not refused:
            return ()
        facts = (refused.get(at) for at in range(len(self.names)))
        return tuple(None if d is None else Verdict(Reason.REFUSED_BY_CLUSTER, {"detail": d}) for d in facts)

    def limit_room(self, shape: Shape) -> Array | None:
        """How many more replicas of the shape the quotas of each cluster allow; None where there are none."""
        if self.limits is None:
            return None
        room = np.full(len(self.names), UNLIMITED, dtype=np.int64)
        for at, asked in shape.asked.tolist():
            np.minimum(room, self.limits[at] // asked, out=room)
        return room

    def limits_left(self, shape: Shape) -> dict[str, Array]:
        """What the quotas of each cluster leave of the resources that the shape asks for."""
        limits = self.limits
        return (
            {} if limits is None else {self.nodes.resources[at]: limits[at].copy() for at in shape.asked[:, 0].tolist()}
        )

    def reported(self, requests: Resources) -> dict[int, str]:
        """The clusters that said a replica of this shape, or a smaller one, finds no node; and their words."""
        said: dict[int, str] = {}
        for at in self._reports:
            for report in self.clusters[at].unschedulable:
                if all(requests[name] >= amount for name, amount in report.requests.items_):
                    said.setdefault(at, report.message)
        return said

    def take(self, shape: Shape, replicas: Array, until: int = NEVER) -> Array:
        """Take the room of so many more replicas on each cluster; returns how many found no node.

        ``until`` is when they are expected to end, where anything is reserved or may be.
        """
        self.changes += 1
        if self.limits is not None:
            for at, asked in shape.asked.tolist():
                # What cannot be below zero stays so: the quota may have been lowered below what is on its way.
                self.limits[at] = np.maximum(0, self.limits[at] - asked * replicas)
        known = replicas * ~self.unknown if self.any_unknown else replicas
        if self.promises is None:
            return bind(self.nodes, shape, known, self.habits)
        return self.promises.take(self.nodes, shape, known, until)

    def until(self, workload: Workload) -> int:
        """When a replica is expected to end that is placed now; asked only where anything may be reserved."""
        return NEVER if self.promises is None else self.promises.until(workload)

    def on_its_way(self, workload: Workload, holding: Holding) -> Iterable[tuple[int, int]]:
        """The replicas of a holding that are not on a node yet, as (expected end, how many)."""
        whole = [(NEVER, min(holding.unbound, holding.replicas) + holding.leaving_unbound)]
        return whole if self.promises is None else self.promises.ends.unbound(workload, holding)

    def crossed(self, workload: Workload) -> int:
        """How many reservations begin before such a replica ends."""
        return 0 if self.promises is None else len(self.promises.crossed(self.promises.until(workload)))

    def broken_promise(self, at: int, room: int) -> Kept | None:
        """What is reserved on a cluster and does not fit beside what has been taken there; None where all does."""
        return None if self.promises is None else self.promises.broken(self.nodes, at, room)

    def still_allowed(self, shape: Shape, at: int) -> int:
        """How many more replicas of the shape the quotas of one cluster allow."""
        if self.limits is None:
            return UNLIMITED
        return min((int(self.limits[name, at]) // asked for name, asked in shape.asked.tolist()), default=UNLIMITED)

    def save(self) -> State:
        """The state of nodes, limits and promises, to go back to once."""
        limits = None if self.limits is None else self.limits.copy()
        return State(self.nodes.save(), limits, None if self.promises is None else self.promises.mark())

    def restore(self, saved: State) -> None:
        """Go back to a saved state."""
        self.changes += 1
        self.nodes.restore(saved.nodes)
        self.limits = saved.limits
        if self.promises is not None and saved.promises is not None:
            self.promises.back_to(saved.promises)

    def later(self, moment: int, nodes: Nodes, limits: Array | None, promises: Promises | None) -> Federation:
        """The same federation so many milliseconds later, when its nodes are as given."""
        other = copy(self)
        other.at_s = self.at_s + moment / 1000
        other.nodes, other.limits, other.promises = nodes, limits, promises
        return other

    def hold_unbound(self, eligibility: Eligibility, unbound: Array, until: int = NEVER) -> None:
        """Bind what is on its way before anybody else gets that room.

        A replica that finds no node keeps what is left of the node that has most left, up to what it asks for: the
        cluster may bind it there as soon as something ends.
        """
        left = self.take(eligibility.shape, unbound, until)
        for at in np.flatnonzero(left):
            self.nodes.keep_remains(int(at), eligibility.shape, int(left[at]))
