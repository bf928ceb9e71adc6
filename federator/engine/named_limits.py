"""Limits by name: how many more replicas they allow, on each cluster and in all, while a plan is made.

What runs counts, and what is being removed as long as it runs. A replica that moves takes nothing anew in all, since
it starts only when it has ended where it was; on the cluster that it comes to it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import UNLIMITED, Array, total
from federator.engine.filling import BOUND, EXTRA, MORE
from federator.engine.limit_left import Holders, LimitLeft, Taken, limit_reached
from federator.engine.turn import Turn
from federator.model.cluster import Cluster, Health
from federator.model.limits import Limit
from federator.model.plan import Snapshot
from federator.model.reasons import Verdict
from federator.model.workload import Role


@dataclass(slots=True, eq=False)
class _Left:
    """What is left of a limit, in all and by cluster, and who took how much of it, in that order."""

    in_all: int
    on: Array
    taken: Taken = field(default_factory=list)

    def use(self, workload: str, in_all: int, on: Array) -> None:
        self.in_all -= in_all
        self.on = self.on - on
        self.taken.append((workload, in_all, on))

    def holders(self) -> Holders:
        return Holders(self.taken, len(self.taken))


Saved = Mapping[str, tuple[int, Array, int]]


class NamedLimits:
    """What is left of every limit that any workload speaks of. Where none does, nothing is ever asked."""

    def __init__(self, snapshot: Snapshot, clusters: Sequence[Cluster]) -> None:
        """``clusters`` by name."""
        asked = {name for workload in snapshot.workloads for role in workload.roles for name in role.limits}
        self._left = {
            limit.name: _Left(UNLIMITED if limit.count is None else limit.count, _by_cluster(limit, clusters))
            for limit in sorted(snapshot.limits, key=lambda limit: limit.name)
            if limit.name in asked
        }
        if self._left:
            self._count_what_runs(snapshot, clusters)

    def _count_what_runs(self, snapshot: Snapshot, clusters: Sequence[Cluster]) -> None:
        """What a lost cluster held counts as gone, here as everywhere."""
        index = {cluster.name: at for at, cluster in enumerate(clusters) if cluster.health is not Health.LOST}
        roles = {(w.name, role.name): role for w in snapshot.workloads for role in w.roles if role.limits}
        for holding in sorted(snapshot.holdings, key=lambda one: (one.workload, one.role, one.cluster)):
            role, at = roles.get((holding.workload, holding.role)), index.get(holding.cluster)
            if role is not None and at is not None:
                running = np.zeros(len(clusters), dtype=np.int64)
                running[at] = holding.replicas + holding.leaving
                self._use(holding.workload, role, int(running[at]), running)

    def _use(self, workload: str, role: Role, in_all: int, on: Array) -> None:
        for name, each in role.limits.items_:
            if name in self._left:
                self._left[name].use(workload, each * in_all, each * on)

    def admit(self, turn: Turn) -> None:
        """Let the role have no more than its limits allow."""
        for name, each in turn.role.limits.items_ if self._left else ():
            left = self._left.get(name)
            if left is None:
                continue
            held, more = total(turn.held), max(0, left.in_all) // each
            if held + more < turn.wanted:
                turn.admit(held + more, limit_reached(name, left.in_all - more * each, each, left.holders()))
            needed = np.full_like(left.on, each)
            turn.limits.append(LimitLeft(name, each, needed, left.on, left.taken, len(left.taken)))
            turn.desk[:, BOUND] = np.minimum(turn.desk[:, BOUND], np.maximum(left.on, 0) // each)

    def refuses(self, turns: Sequence[Turn]) -> Verdict | None:
        """Why roles that start together may not: not enough of a limit is left in all."""
        for name, needed in _needed(turns).items() if self._left else ():
            left = self._left.get(name)
            if left is not None and needed > 0 and left.in_all < needed:
                return limit_reached(name, left.in_all, needed, left.holders())
        return None

    def keep_out(self, turns: Sequence[Turn]) -> None:
        """Leave roles that must be on one cluster no room where they, together, would pass a limit."""
        gang = turns[0].workload.gang
        if not self._left or (gang is not None and gang.scope != "cluster"):
            return
        for name, needed in _needed_on(turns).items():
            left = self._left.get(name)
            if left is None:
                continue
            short = (needed > left.on) & (needed > 0)
            for turn in turns:
                turn.look_everywhere()
                turn.desk[short, MORE] = turn.desk[short, EXTRA] = 0
                turn.limits = [one for one in turn.limits if one.name != name]
                turn.limits.append(LimitLeft(name, 0, needed, left.on, left.taken, len(left.taken)))

    def take(self, turn: Turn, placed: Array) -> None:
        """Count what the role has from now on."""
        if self._left and turn.role.limits:
            grown = np.maximum(placed - turn.held, 0)
            self._use(turn.workload.name, turn.role, max(0, total(placed) - total(turn.held)), grown)

    def save(self) -> Saved:
        """What is left now, to go back to."""
        return {name: (left.in_all, left.on, len(left.taken)) for name, left in self._left.items()}

    def restore(self, saved: Saved) -> None:
        """Go back to it."""
        for name, (in_all, on, length) in saved.items():
            left = self._left[name]
            left.in_all, left.on = in_all, on
            del left.taken[length:]


def _needed(turns: Sequence[Turn]) -> Counter[str]:
    """What all that these roles do not hold yet takes of each limit."""
    needed: Counter[str] = Counter()
    for turn in turns:
        for name, each in turn.role.limits.items_:
            needed[name] += each * max(0, turn.wanted - total(turn.held))
    return needed


def _needed_on(turns: Sequence[Turn]) -> dict[str, Array]:
    """The same where all of them are on one cluster, by that cluster."""
    needed: dict[str, Array] = {}
    for turn in turns:
        for name, each in turn.role.limits.items_:
            missing = each * np.maximum(0, turn.wanted - turn.held)
            needed[name] = needed[name] + missing if name in needed else missing
    return needed


def _by_cluster(limit: Limit, clusters: Sequence[Cluster]) -> Array:
    counts = (limit.on(cluster.name) for cluster in clusters)
    return np.array([UNLIMITED if count is None else count for count in counts], dtype=np.int64)
