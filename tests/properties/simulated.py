"""A simple federation that does what plans say: nodes of so many cores, replicas that run exactly their duration.

It shares no code with the engine. Each replica is bound by itself, in the order of service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from federator.model.cluster import Binding, Cluster, Flavor, NodeGroup, Running
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Planning, Policy
from federator.model.workload import Workload
from tests.engine.build import amounts

Planner = Callable[[Snapshot], Plan]


@dataclass
class Node:
    """A node of a cluster, and what runs on it."""

    cores: int
    runs: list[Run] = field(default_factory=list)

    @property
    def free(self) -> int:
        """Cores that nobody uses."""
        return self.cores - sum(run.cores for run in self.runs)


@dataclass
class Run:
    """A replica that runs from one moment to another."""

    workload: str
    role: str
    cores: int
    start_s: float
    end_s: float


@dataclass
class Site:
    """A cluster: its binding, its nodes."""

    name: str
    binding: Binding
    nodes: list[Node]

    def bind(self, run: Run) -> None:
        """Put a replica where the scheduler of such a cluster puts it; of equals on the node that is empty first."""
        fitting = [node for node in self.nodes if node.free >= run.cores]
        assert fitting, f"{run.workload} does not fit {self.name}: a plan promised too much"
        emptiest = -1 if self.binding is Binding.SPREAD else 1

        def habit(node: Node) -> tuple[object, ...]:
            return emptiest * node.free, sorted((r.end_s, r.workload, r.role, r.cores) for r in node.runs)

        min(fitting, key=habit).runs.append(run)


@dataclass
class World:
    """Sites, work that arrives, and the settings of planning. ``said`` is when reservations said that work starts."""

    sites: list[Site]
    arrivals: list[Workload]
    planning: Planning
    policies: tuple[Policy, ...] = ()
    tells: bool = True
    """Whether snapshots tell on which nodes replicas run."""
    now_s: float = 0.0
    finished: dict[tuple[str, str], int] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)
    said_s: dict[str, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def present(self) -> list[Workload]:
        """What has arrived and is not finished, as it is handed to the planner."""
        found = []
        for one in self.arrivals:
            roles = tuple(
                replace(role, replicas=role.replicas - self.finished.get((one.name, role.name), 0))
                for role in one.roles
            )
            if one.submitted_at_s <= self.now_s and any(role.replicas for role in roles):
                least = 1 if one.name in self.started_s else one.min_replicas
                found.append(replace(one, roles=roles, min_replicas=least))
        return found

    def runs(self) -> Iterator[tuple[Site, Run]]:
        """All that runs."""
        for site in self.sites:
            for node in site.nodes:
                for run in node.runs:
                    yield site, run

    def snapshot(self) -> Snapshot:
        """What a planner is shown."""
        starts: dict[tuple[str, str, str], dict[float, int]] = {}
        for site, run in self.runs():
            waves = starts.setdefault((run.workload, run.role, site.name), {})
            waves[self.now_s - run.start_s] = waves.get(self.now_s - run.start_s, 0) + 1
        holdings = [
            Holding(*key, replicas=sum(waves.values()), age_s=min(waves), waves=tuple(sorted(waves.items())))
            for key, waves in sorted(starts.items())
        ]
        return Snapshot(
            at_s=self.now_s,
            clusters=tuple(self._cluster(site) for site in self.sites),
            workloads=tuple(self.present()),
            holdings=tuple(holdings),
            policies=self.policies,
            planning=self.planning,
        )

    def _cluster(self, site: Site) -> Cluster:
        groups = tuple(
            NodeGroup(
                amounts(node.free),
                1,
                tuple(Running(r.workload, r.role, 1, self.now_s - r.start_s) for r in node.runs)
                if self.tells
                else None,
            )
            for node in site.nodes
        )
        flavor = Flavor("standard", len(site.nodes), amounts(site.nodes[0].cores), groups)
        return Cluster(site.name, binding=site.binding, flavors=(flavor,))

    def carry_out(self, plan: Plan) -> None:
        """Start what the plan has more than runs, larger roles first; nothing is ever stopped (policies say never)."""
        running: dict[tuple[str, str, str], int] = {}
        for site, run in self.runs():
            key = run.workload, run.role, site.name
            running[key] = running.get(key, 0) + 1
        order = sorted(self.arrivals, key=lambda one: (-one.priority, one.submitted_at_s, one.name))
        places = {one.name: at for at, one in enumerate(order)}
        sites, known = {site.name: site for site in self.sites}, {one.name: one for one in order}
        cores_of = {(one.name, role.name): role.requests["cpu"] // 1000 for one in order for role in one.roles}
        wanted = sorted(plan.placements, key=lambda one: (places[one.workload], -cores_of[one.workload, one.role]))
        for placed in wanted:
            workload = known[placed.workload]
            more = placed.replicas - running.get((placed.workload, placed.role, placed.cluster), 0)
            assert more >= 0, f"{placed.workload} would be stopped on {placed.cluster}"
            for _ in range(more):
                cores, ends_s = cores_of[placed.workload, placed.role], self.now_s + (workload.duration_s or 0)
                run = Run(placed.workload, placed.role, cores, self.now_s, ends_s)
                sites[placed.cluster].bind(run)
                self.started_s.setdefault(placed.workload, self.now_s)
        for one in plan.reservations:
            if one.workload not in self.started_s:
                at_s = self.now_s + one.at_s
                self.said_s[one.workload] = min(at_s, self.said_s.get(one.workload, at_s))
        self.log.append(f"{self.now_s:g}: " + ", ".join(f"{r.workload} at {r.at_s:g}" for r in plan.reservations))

    def next_s(self) -> float | None:
        """When something happens next: an end, an arrival."""
        ends = [run.end_s for _, run in self.runs()]
        coming = [one.submitted_at_s for one in self.arrivals]
        return min((moment for moment in (*ends, *coming) if moment > self.now_s), default=None)

    def end_what_ends(self) -> None:
        """Take away what has run its time."""
        for site in self.sites:
            for node in site.nodes:
                for run in [run for run in node.runs if run.end_s <= self.now_s]:
                    node.runs.remove(run)
                    key = run.workload, run.role
                    self.finished[key] = self.finished.get(key, 0) + 1


def broken_promises(world: World, planner: Planner, steps: int = 200) -> list[str]:
    """Let the world run until it is empty, planning whenever something happens; who started later than was said."""
    broken = []
    for _ in range(steps):
        world.end_what_ends()
        world.carry_out(planner(world.snapshot()))
        for name, said_s in world.said_s.items():
            late = world.started_s.get(name, world.now_s + 1) if world.now_s >= said_s else said_s
            if late > said_s:
                broken.append(f"{name} was to start at {said_s:g} s; it is {world.now_s:g} s")
        moment = world.next_s()
        if broken or moment is None:
            return broken
        world.now_s = moment
    return [f"not empty after {steps} steps"]


def line(*workloads: Workload) -> list[Workload]:
    """Workloads that are there at the beginning, to be served in this order."""
    return [replace(one, priority=len(workloads) - at) for at, one in enumerate(workloads)]


def sites(*cores: Sequence[int], binding: Binding = Binding.SPREAD) -> list[Site]:
    """Clusters a, b, ... of empty nodes with so many cores each."""
    return [Site("abcdef"[at], binding, [Node(one) for one in nodes]) for at, nodes in enumerate(cores)]
