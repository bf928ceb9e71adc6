"""Limits by name: how many more replicas they allow, on each cluster and in all, while a plan is made.

What runs counts, and what is being removed as long as it runs. A replica that moves takes nothing anew in all, since
it starts only when it has ended where it was; on the cluster that it comes to it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import UNLIMITED, Array, Mask, total
from federator.model.cluster import Cluster, Health
from federator.model.limits import Limit
from federator.model.plan import Snapshot
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Role, Workload

_TOLD = 3
"""So many of the workloads that hold a limit are named."""


Taken = tuple[str, int, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Remainder:
    """What is left of one limit at a moment, in all and by cluster, for replicas that take ``each`` of it.

    ``taken`` tells who took how much of it, in all and by cluster, in the order it was taken; at that moment, the first
    ``upto``.
    """

    name: str
    each: int
    left: int
    left_on: Array
    taken: list[Taken]
    upto: int

    def verdict(self, at: int, needed: int, needed_on: int, used: int = 0, used_on: int = 0) -> Verdict | None:
        """Why nothing more starts on the cluster, where so much is needed (in all, there) and more is used already."""
        left, left_on = self.left - used, int(self.left_on[at]) - used_on
        if left >= needed and left_on >= needed_on:
            return None
        here = left >= needed
        facts = {
            "name": self.name,
            "left": max(0, left_on if here else left),
            "needed": needed_on if here else needed,
            "where": "on this cluster" if here else "in all",
            "who": self._who(at if here else None),
        }
        return Verdict(Reason.LIMIT_REACHED, facts)

    def _who(self, at: int | None) -> str:
        """Who holds most of it (on one cluster), in words."""
        holders: dict[str, int] = {}
        for workload, in_all, on in self.taken[: self.upto]:
            holders[workload] = holders.get(workload, 0) + (in_all if at is None else int(on[at]))
        largest = sorted((-amount, name) for name, amount in holders.items() if amount > 0)
        words = [f"{name} {-amount}" for amount, name in largest[:_TOLD]]
        if others := largest[_TOLD:]:
            words.append(f"others {-sum(amount for amount, _ in others)}")
        return f" (held by {', '.join(words)})" if words else ""


@dataclass(frozen=True, slots=True, eq=False)
class Allowance:
    """How many more replicas of a role may start: ``each`` by cluster (None: no bound), and ``more`` in all.

    ``held`` is what runs already, by cluster.
    """

    each: Array | None = None
    more: int = UNLIMITED
    limits: tuple[Remainder, ...] = ()
    held: Array | None = None

    def short(self, at: int, placed: Array) -> Verdict | None:
        """Which limit keeps one more replica off the cluster once so many are placed."""
        held = np.zeros_like(placed) if self.held is None else self.held
        grown, here = max(0, total(placed) - total(held)), max(0, int(placed[at] - held[at]))
        verdicts = (one.verdict(at, one.each, one.each, one.each * grown, one.each * here) for one in self.limits)
        return next((verdict for verdict in verdicts if verdict is not None), None)


FREE = Allowance()
"""Of a role that no limit holds back."""


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """What a gang takes of limits, all of it at once: of each, how much in all, and how much if it is on one cluster
    (by cluster), for replicas that do not run there yet. ``met``: the clusters on which there is so much."""

    limits: tuple[tuple[Remainder, int, Array], ...]
    met: Mask

    def short(self, at: int) -> Verdict | None:
        """Which limit keeps it off the cluster."""
        verdicts = (one.verdict(at, in_all, int(on[at])) for one, in_all, on in self.limits)
        return next((verdict for verdict in verdicts if verdict is not None), None)


Saved = tuple[dict[str, int], dict[str, Array], dict[str, int]]


class Allowances:
    """What is left of every limit that any workload speaks of."""

    def __init__(self, snapshot: Snapshot, clusters: Sequence[Cluster]) -> None:
        """``clusters`` by name."""
        asked = {name for workload in snapshot.workloads for role in workload.roles for name in role.limits}
        known = [limit for limit in snapshot.limits if limit.name in asked]
        self._clusters = len(clusters)
        self._left = {one.name: UNLIMITED if one.count is None else one.count for one in known}
        self._left_on = {one.name: _by_cluster(one, clusters) for one in known}
        self._taken: dict[str, list[Taken]] = {one.name: [] for one in known}
        self._held: dict[tuple[str, str], Array] = {}
        if known:
            self._count_what_runs(snapshot, clusters)

    def _count_what_runs(self, snapshot: Snapshot, clusters: Sequence[Cluster]) -> None:
        """What a lost cluster held counts as gone, here as everywhere."""
        index = {cluster.name: at for at, cluster in enumerate(clusters) if cluster.health is not Health.LOST}
        roles = {(w.name, role.name): role for w in snapshot.workloads for role in w.roles if self._limited(role)}
        for holding in sorted(snapshot.holdings, key=lambda one: (one.workload, one.role, one.cluster)):
            role = roles.get((holding.workload, holding.role))
            if role is None or holding.cluster not in index:
                continue
            running, at = np.zeros(self._clusters, dtype=np.int64), index[holding.cluster]
            running[at] = holding.replicas
            held = self._held.setdefault((holding.workload, holding.role), np.zeros_like(running))
            held += running
            running[at] += holding.leaving
            self._use(holding.workload, role, int(running[at]), running)

    def _limited(self, role: Role) -> bool:
        return any(name in self._left for name in role.limits)

    def _use(self, workload: str, role: Role, in_all: int, on: Array) -> None:
        for name, each in role.limits.items_:
            if name in self._left:
                self._left[name] -= each * in_all
                self._left_on[name] = self._left_on[name] - each * on
                self._taken[name].append((workload, each * in_all, each * on))

    def of(self, workload: Workload, role: Role) -> Allowance:
        """How many more replicas of a role may start now."""
        limits = self._remainders(role)
        if not limits:
            return FREE
        each = np.minimum.reduce([np.maximum(one.left_on, 0) // one.each for one in limits])
        more = min(max(0, one.left) // one.each for one in limits)
        return Allowance(each, more, limits, self._held.get((workload.name, role.name)))

    def _remainders(self, role: Role) -> tuple[Remainder, ...]:
        if not self._left:
            return ()
        return tuple(
            Remainder(name, each, self._left[name], self._left_on[name], self._taken[name], len(self._taken[name]))
            for name, each in role.limits.items_
            if name in self._left
        )

    def at_once(self, roles: Sequence[tuple[Role, int, Array]], *, scattered: bool = False) -> Needs | None:
        """What roles, of which so many are wanted and so many run on each cluster, take together; None: nothing.

        ``scattered``: they need not be on one cluster, so that one replica is what a cluster must have room for.
        """
        found: dict[str, tuple[Remainder, int, Array]] = {}
        for role, wanted, held in roles:
            for one in self._remainders(role):
                _, in_all, on = found.get(one.name, (one, 0, np.zeros_like(held)))
                in_all += one.each * max(0, wanted - total(held))
                here = np.maximum(0, wanted - held)
                found[one.name] = one, in_all, on + one.each * (np.minimum(here, 1) if scattered else here)
        if not found:
            return None
        limits = tuple(found[name] for name in sorted(found))
        met = [(on <= one.left_on) & (in_all <= one.left) | (on == 0) for one, in_all, on in limits]
        return Needs(limits, np.logical_and.reduce(met))

    def take(self, workload: Workload, role: Role, placed: Array) -> None:
        """Count what starts anew where so many are placed."""
        if not self._left or not self._limited(role):
            return
        held = self._held.get((workload.name, role.name))
        grown = placed if held is None else np.maximum(placed - held, 0)
        in_all = max(0, total(placed) - (0 if held is None else total(held)))
        self._use(workload.name, role, in_all, grown)

    def save(self) -> Saved:
        """What is left now, to go back to."""
        return dict(self._left), dict(self._left_on), {name: len(taken) for name, taken in self._taken.items()}

    def restore(self, saved: Saved) -> None:
        """Go back to it."""
        self._left, self._left_on, lengths = dict(saved[0]), dict(saved[1]), saved[2]
        for name, length in lengths.items():
            del self._taken[name][length:]


def _by_cluster(limit: Limit, clusters: Sequence[Cluster]) -> Array:
    counts = (limit.on(cluster.name) for cluster in clusters)
    return np.array([UNLIMITED if count is None else count for count in counts], dtype=np.int64)
