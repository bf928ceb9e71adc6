"""A small federation that lives through many plans: work comes and ends, nodes are lost and return, settings change.

Replicas ask for one core or two, so that the larger ones bound first always find their nodes where the planner found
some. What has to give way is gone at once. Only what the daemon too must remember (who displaced whom, what queues had
lately) is reckoned by the engine; all else is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from federator.engine.decay import lately
from federator.engine.giving_way import remembered
from federator.model.cluster import Cluster, Flavor, NodeGroup, Running
from federator.model.plan import Displacement, Holding, Plan, Snapshot
from federator.model.policy import Planning, Policy, Queue, QueueUsage
from federator.model.workload import Workload
from tests.engine.build import amounts

Planner = Callable[[Snapshot], Plan]


@dataclass
class Run:
    """A replica on a node."""

    workload: str
    cores: int
    start_s: float
    end_s: float
    moved: bool = False


@dataclass
class Node:
    """A node, and what runs on it; while it is lost, nothing."""

    cores: int
    runs: list[Run] = field(default_factory=list)
    lost: bool = False

    @property
    def free(self) -> int:
        """Cores that nobody uses."""
        return 0 if self.lost else self.cores - sum(run.cores for run in self.runs)


@dataclass
class Site:
    """A cluster: alike nodes."""

    name: str
    nodes: list[Node]
    cordoned: bool = False

    def runs(self) -> Iterator[Run]:
        """All that runs here."""
        for node in self.nodes:
            yield from node.runs

    def bind(self, run: Run) -> None:
        """Put a replica on the emptiest node."""
        node = max(self.nodes, key=lambda one: one.free)
        assert node.free >= run.cores, f"{run.workload} does not fit {self.name}: a plan promised too much"
        node.runs.append(run)

    def stop(self, run: Run) -> None:
        """It runs no more."""
        for node in self.nodes:
            if any(one is run for one in node.runs):
                node.runs = [one for one in node.runs if one is not run]

    def shown(self, now_s: float, tells: bool) -> Cluster:
        """What a planner sees of it."""
        up, groups = [node for node in self.nodes if not node.lost], []
        for node in up:
            runs = tuple(Running(run.workload, "", 1, now_s - run.start_s) for run in node.runs)
            groups.append(NodeGroup(amounts(node.free), 1, runs if tells else None))
        flavor = Flavor("standard", len(up), amounts(self.nodes[0].cores), tuple(groups))
        return Cluster(self.name, cordoned=self.cordoned, flavors=(flavor,))


@dataclass
class Town:
    """Sites, what has arrived and is not over, and all that planning reads besides."""

    sites: dict[str, Site]
    queues: dict[str, Queue]
    planning: Planning
    policies: tuple[Policy, ...] = ()
    now_s: float = 0.0
    present: dict[str, Workload] = field(default_factory=dict)
    finished: Counter[str] = field(default_factory=Counter)
    started_s: dict[str, float] = field(default_factory=dict)
    had: dict[str, QueueUsage] = field(default_factory=dict)
    displaced: tuple[tuple[float, Displacement], ...] = ()

    def runs(self) -> Iterator[tuple[Site, Run]]:
        """All that runs."""
        for site in self.sites.values():
            for run in site.runs():
                yield site, run

    def running(self) -> Counter[str]:
        """How many replicas of each workload run."""
        return Counter(run.workload for _, run in self.runs())

    def left(self, workload: Workload) -> int:
        """How many replicas are not finished."""
        return workload.replicas - self.finished[workload.name]

    def snapshot(self) -> Snapshot:
        """The federation as a value."""
        served = []
        for one in self.present.values():
            left = self.left(one)
            least = 1 if one.name in self.started_s else min(one.min_replicas, left)
            served.append(replace(one, roles=(replace(one.roles[0], replicas=left),), min_replicas=least))
        tells = self.planning.backfilling != "none"
        return Snapshot(
            at_s=self.now_s,
            clusters=tuple(site.shown(self.now_s, tells) for site in self.sites.values()),
            workloads=tuple(served),
            holdings=tuple(self._holdings()),
            policies=self.policies,
            queues=tuple(self.queues.values()),
            planning=self.planning,
            usage=tuple(self.had.values()) if self.planning.order == "fair" else (),
            displacements=tuple(replace(one, age_s=self.now_s - since_s) for since_s, one in self.displaced),
        )

    def _holdings(self) -> Iterator[Holding]:
        grouped: dict[tuple[str, str], list[Run]] = {}
        for site, run in self.runs():
            grouped.setdefault((run.workload, site.name), []).append(run)
        for (name, site_name), runs in sorted(grouped.items()):
            ages = Counter(self.now_s - run.start_s for run in runs)
            moved = sum(run.moved for run in runs)
            waves = tuple(sorted(ages.items()))
            yield Holding(name, "", site_name, len(runs), age_s=min(ages), moved=moved, waves=waves)

    def carry_out(self, seen: Snapshot, plan: Plan) -> None:
        """Start what the plan has more than runs, in the room that is free now; then stop what it has no more."""
        there = Counter((run.workload, site.name) for site, run in self.runs())
        wanted = Counter({(one.workload, one.cluster): one.replicas for one in plan.placements})
        arrived = Counter[tuple[str, str]]()
        for move in plan.moves:
            arrived[move.workload, move.target] += move.replicas
        order = sorted(wanted, key=lambda key: (-self._cores(key[0]), key))
        for key in order:
            workload = self.present[key[0]]
            for number in range(wanted[key] - there[key]):
                end_s = self.now_s + (workload.duration_s or 0.0)
                run = Run(workload.name, self._cores(key[0]), self.now_s, end_s, number < arrived[key])
                self.sites[key[1]].bind(run)
                self.started_s.setdefault(workload.name, self.now_s)
        for (name, at), count in there.items():
            mine = sorted((run for run in self.sites[at].runs() if run.workload == name), key=lambda run: -run.start_s)
            for run in mine[: max(0, count - wanted[name, at])]:
                self.sites[at].stop(run)
        self.displaced = tuple((self.now_s - one.age_s, one) for one in remembered(seen, plan))

    def _cores(self, name: str) -> int:
        return self.present[name].roles[0].requests["cpu"] // 1000

    def pass_time(self, seconds: float) -> None:
        """Time goes by, and what ends within it ends. Nothing is planned meanwhile."""
        use = {name: Counter[str]() for name in self.queues}
        for _, run in self.runs():
            use[self.present[run.workload].queue]["cpu"] += run.cores * 1000
        for name, queue in self.queues.items():
            before = self.had.get(name, QueueUsage(name)).lately
            self.had[name] = QueueUsage(name, lately(before, use[name], seconds, queue.half_life_s))
        self.now_s += seconds
        for site, run in list(self.runs()):
            if run.end_s <= self.now_s:
                site.stop(run)
                self.finished[run.workload] += 1
        self.present = {name: one for name, one in self.present.items() if self.left(one) > 0}

    def next_end_s(self) -> float | None:
        """In how many seconds something ends."""
        return min((run.end_s - self.now_s for _, run in self.runs()), default=None)

    def lose(self, site: str, at: int) -> None:
        """A node is gone, with what ran on it; or, if it was gone, it is there again, empty."""
        node = self.sites[site].nodes[at]
        node.lost, node.runs = not node.lost, []
