"""What runs on each node of a simulated cluster that tells it: reservations are made for nodes by what ends there."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from federator.clusters.binder import Pool
from federator.model.cluster import Flavor, NodeGroup, Running
from federator.model.resources import Resources

Runs = tuple[str, str, float]
"""A workload, its role, and since when."""


class RunsByNode:
    """How many replicas run on which node."""

    def __init__(self) -> None:
        self._runs: dict[str, Counter[Runs]] = {}

    def add(self, node: str, what: Runs, replicas: int) -> None:
        """So many more; below zero: fewer."""
        runs = self._runs.setdefault(node, Counter())
        runs[what] += replicas
        if not runs[what]:
            del runs[what]

    def told(self, pool: Pool, now_s: float) -> tuple[Flavor, ...]:
        """The flavors with what is free and what runs on their nodes; those that are down are not there."""
        return tuple(self._flavor(pool, flavor, now_s) for flavor in pool.flavors())

    def _flavor(self, pool: Pool, flavor: Flavor, now_s: float) -> Flavor:
        groups = Counter[tuple[Resources, tuple[tuple[Runs, int], ...]]]()
        for name, node in pool.nodes.items():
            if node.flavor.name == flavor.name and not node.down:
                groups[Resources.of(node.free), tuple(sorted(self._runs.get(name, {}).items()))] += 1
        nodes = tuple(
            NodeGroup(free, count, tuple(Running(w, r, n, now_s - since_s) for (w, r, since_s), n in runs))
            for (free, runs), count in groups.items()
        )
        return replace(flavor, nodes=nodes)
