"""Looks at what waits for a pool that is told without plans: now and then the planner is asked, and refuses it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from federator.engine.ground import Ground
from federator.engine.planner import plan
from federator.model.cluster import Cluster, Flavor, NodeGroup, Running
from federator.model.plan import Head, Holding, Plan, Snapshot
from federator.model.resources import CPU, Resources
from federator.model.workload import Workload
from federator.simulator.looks import Looks

Runs = tuple[Workload, float]
"""What runs, and since when."""


@dataclass(slots=True, eq=False)
class PoolLooks:
    """What becomes of the looks at one pool."""

    looks: Looks
    federation: Snapshot
    cluster: Cluster
    flavor: Flavor
    ground: Ground

    def look(self, now_s: float, running: Iterable[Runs], waiting: Sequence[Workload], heads: tuple[Head, ...]) -> None:
        """Look, if it is time: all that can start has started, so the planner has nothing but refusals."""
        if not self.looks.due(now_s) and self.looks.looks[-1].at_s != now_s:
            return
        if not waiting:
            self.looks(Snapshot(at_s=now_s), Plan())
            return
        runs = list(running)
        flavor = replace(self.flavor, nodes=tuple(self._nodes(runs, now_s)))
        seen = replace(
            self.federation,
            at_s=now_s,
            clusters=(replace(self.cluster, flavors=(flavor,)),),
            workloads=(*(workload for workload, _ in runs), *waiting),
            holdings=tuple(
                Holding(w.name, w.roles[0].name, self.cluster.name, w.replicas, age_s=now_s - since_s)
                for w, since_s in runs
            ),
            heads=heads,
        )
        self.looks(seen, plan(seen, ground=self.ground))

    def _nodes(self, runs: Sequence[Runs], now_s: float) -> Iterator[NodeGroup]:
        """Nodes filled one after the other. Which node has what does not matter here, where any free cores do."""
        tells = self.federation.planning.backfilling != "none"
        left, here, nodes = self.flavor.allocatable[CPU], [], list[tuple[int, tuple[Running, ...]]]()
        for workload, since_s in runs:
            role, replicas = workload.roles[0], workload.replicas
            while replicas:
                some = min(replicas, left // role.requests[CPU])
                if some:
                    here.append(Running(workload.name, role.name, some, now_s - since_s))
                left, replicas = left - some * role.requests[CPU], replicas - some
                if replicas:
                    nodes.append((left, tuple(here)))
                    left, here = self.flavor.allocatable[CPU], []
        nodes.append((left, tuple(here)))
        empty = self.flavor.count - len(nodes)
        groups = Counter(nodes) + Counter({(self.flavor.allocatable[CPU], ()): empty})
        for (free, those), count in groups.items():
            rest = replace_cpu(self.flavor.allocatable, free)
            yield NodeGroup(rest, count, those if tells else None)


def replace_cpu(amounts: Resources, cpu: int) -> Resources:
    """The same with another amount of cpu."""
    return Resources.of({**dict(amounts.items_), CPU: cpu})
