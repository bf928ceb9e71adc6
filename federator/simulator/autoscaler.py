"""Nodes that an autoscaler adds to a simulated cluster when replicas wait for one, and takes away when idle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from federator.clusters.binder import Pool
from federator.engine.whole_cores import taken
from federator.model.cluster import Cluster
from federator.model.workload import Role
from federator.simulator.measures import Measures
from federator.simulator.timeline import OTHER, Timeline


class Autoscaler:
    """That of one cluster. ``came`` is called with the time when a node has booted, ``left`` when one has gone."""

    def __init__(
        self,
        cluster: Cluster,
        pool: Pool,
        timeline: Timeline,
        measures: Measures,
        came: Callable[[float], None],
        left: Callable[[], None],
    ) -> None:
        self._cluster, self._pool, self._timeline, self._measures = cluster, pool, timeline, measures
        self._came, self._left = came, left
        self._coming = Counter[str]()
        self._added: dict[str, float] = {}
        """Nodes that were added, and since when each has been empty, if it is."""

    def boot_for(self, role: Role, waiting: int, flavors: Sequence[str], now_s: float) -> None:
        """See that nodes come for so many replicas that have none."""
        for flavor in self._pool.open_flavors(flavors, role.tolerations):
            fits = taken(role.requests, self._cluster).count_in(flavor.allocatable) or 0
            wanted = min(-(-waiting // fits) if fits else 0, flavor.max_count - flavor.count)
            for _ in range(wanted - self._coming[flavor.name]):
                self._coming[flavor.name] += 1
                self._timeline.at(now_s + flavor.boot_time_s, OTHER, partial(self._booted, flavor.name))
            if wanted > 0:
                return

    def _booted(self, flavor: str, now_s: float) -> None:
        self._coming[flavor] -= 1
        if name := self._pool.grow(flavor):
            self._measures.grown(self._cluster, flavor, now_s)
            self._added[name] = now_s
            self._came(now_s)
            self.emptied(name, now_s)

    def emptied(self, name: str, now_s: float) -> None:
        """Something ended on a node: if it was added and nothing is left there, it goes after its idle time."""
        node = self._pool.nodes.get(name) if name in self._added else None
        if node is not None and node.flavor.idle_time_s is not None and node.empty:
            self._added[name] = now_s
            self._timeline.at(now_s + node.flavor.idle_time_s, OTHER, partial(self._let_go, name, now_s))

    def _let_go(self, name: str, since_s: float, now_s: float) -> None:
        node = self._pool.nodes.get(name)
        if node is not None and not node.down and node.empty and self._added.get(name) == since_s:
            self._pool.shrink(name)
            del self._added[name]
            self._measures.grown(self._cluster, node.flavor.name, now_s, -1)
            self._left()
