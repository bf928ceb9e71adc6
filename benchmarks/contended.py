"""A federation that is 1.5 times overloaded in every resource, from a seed; and the most that could be placed on it.

200 clusters of one flavor each, some with GPUs, a third with a quota of cores; 2,000 shapes with 200 replicas each. A
third of the shapes may use two of four sites, a quarter three of ten regions, the others everything that has what they
ask for. For three in ten a policy allows no more than 5, 20 or 50 replicas on a cluster. All policies have one tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import numpy as np
from numpy.typing import NDArray
from ortools.linear_solver import pywraplp

from federator.model.cluster import Binding, Cluster, Flavor, NodeGroup
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Bounds, Match, Policy, Tier
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Role, Workload

CLUSTERS, SHAPES, REPLICAS, LOAD = 200, 2000, 200, 1.5
GPU = "nvidia.com/gpu"
RESOURCES = ("cpu", "memory", GPU)
MIB = 2**20
BOUNDS = (0, 5, 20, 50)
"""The most replicas on a cluster, by the number in the queue's name; 0: no bound."""

Numbers = NDArray[np.float64]


def _clusters(random: Random) -> tuple[Cluster, ...]:
    made = []
    for at in range(CLUSTERS):
        cores, gib_per_core = random.choice((32, 64, 128)), random.choice((2, 3, 4, 8))
        gpus = random.choice((4, 8)) if random.random() < 0.3 else 0
        whole = Resources.of({"cpu": cores * 1000, "memory": cores * gib_per_core * 1024 * MIB, GPU: gpus})
        nodes = max(4, int(random.lognormvariate(0, 0.7) * 3400 / cores))
        flavor = Flavor("standard", nodes, whole, (NodeGroup(whole, nodes),))
        limits = Resources((("cpu", nodes * cores * 800),)) if random.random() < 0.3 else None
        labels = {"site": f"s{at % 4}", "region": f"r{random.randrange(10)}"}
        made.append(Cluster(f"c{at:03}", labels=labels, flavors=(flavor,), limits=limits))
    return tuple(made)


def _as_one_node(cluster: Cluster) -> Cluster:
    whole = cluster.allocatable
    return replace(cluster, flavors=(Flavor("standard", 1, whole, (NodeGroup(whole, 1),)),))


def _workloads(random: Random, offered: Numbers) -> tuple[Workload, ...]:
    """Shapes that ask for LOAD times what there is of every resource."""
    cores = [random.choices((1, 2, 4, 8), (50, 20, 15, 15))[0] for _ in range(SHAPES)]
    cores_wanted = LOAD * offered[0] / 1000 / REPLICAS
    cpu = [round(1000 * one * cores_wanted / sum(cores)) for one in cores]
    ratios = [random.lognormvariate(0, 0.8) for _ in range(SHAPES)]
    memory = _memory([c * r for c, r in zip(cpu, ratios, strict=True)], LOAD * offered[1] / MIB / REPLICAS)
    gpus, wanted = [0] * SHAPES, LOAD * offered[2] / REPLICAS
    for at in random.sample(range(SHAPES), SHAPES):
        gpus[at] = random.choice((1, 1, 2)) if sum(gpus) < wanted else 0
    return tuple(
        Workload(
            f"w{at:04}",
            (Role("", REPLICAS, Resources.of({"cpu": cpu[at], "memory": memory[at] * MIB, GPU: gpus[at]})),),
            queue=f"at-most-{random.choice(BOUNDS[1:]) if random.random() < 0.3 else 0}",
            submitted_at_s=float(at),
            clusters=_eligibility(random),
        )
        for at in range(SHAPES)
    )


def _memory(parts: Sequence[float], wanted_mib: float) -> list[int]:
    """As much for each as its part, but 256 MiB at least and 48 GiB at most; together what is wanted, nearly."""
    scale, memory = wanted_mib / sum(parts), list[int]()
    for _ in range(20):
        memory = [min(48 * 1024, max(256, round(part * scale))) for part in parts]
        scale *= wanted_mib / sum(memory)
    return memory


def _eligibility(random: Random) -> Constraint:
    chance = random.random()
    if chance < 0.35:
        return Constraint(Selector((Requirement("site", "In", tuple(random.sample([f"s{n}" for n in range(4)], 2))),)))
    if chance < 0.6:
        regions = tuple(random.sample([f"r{n}" for n in range(10)], 3))
        return Constraint(Selector((Requirement("region", "In", regions),)))
    return Constraint()


@dataclass(frozen=True)
class Contended:
    """The federation, and the same as arrays: clusters and shapes in the order of their names."""

    snapshot: Snapshot

    @classmethod
    def made(cls, seed: int) -> Contended:
        """From a seed."""
        random = Random(seed)
        members = _clusters(random)
        empty = cls(Snapshot(clusters=members))
        return cls(replace(empty.snapshot, workloads=_workloads(random, empty.offered.sum(axis=0)))).weighed_by("room")

    def weighed_by(self, rule: str) -> Contended:
        """The same under policies with this ``weightBy``."""
        policies = tuple(
            Policy(
                f"p{most}",
                order=most,
                match=Match(queues=(f"at-most-{most}",)),
                tiers=(Tier("all", weight_by=rule),),
                bounds={"*": Bounds(0, most)} if most else {},
            )
            for most in BOUNDS
        )
        return Contended(replace(self.snapshot, policies=policies))

    def bound_by(self, binding: Binding) -> Contended:
        """The same, with clusters that bind replicas to nodes in this way."""
        members = tuple(replace(cluster, binding=binding) for cluster in self.snapshot.clusters)
        return Contended(replace(self.snapshot, clusters=members))

    def ordered(self, order: str) -> Contended:
        """The same, served in this order."""
        return Contended(replace(self.snapshot, planning=replace(self.snapshot.planning, order=order)))

    def without_nodes(self) -> Contended:
        """The same, with clusters of one large node, as the bound has them."""
        return Contended(replace(self.snapshot, clusters=tuple(map(_as_one_node, self.snapshot.clusters))))

    @cached_property
    def offered(self) -> Numbers:
        """What nodes and quotas have, by cluster and resource."""
        return np.array(
            [
                [
                    min(
                        cluster.allocatable[name],
                        dict(cluster.limits.items_).get(name, 2**62) if cluster.limits else 2**62,
                    )
                    for name in RESOURCES
                ]
                for cluster in self.snapshot.clusters
            ],
            dtype=float,
        )

    @cached_property
    def asked(self) -> Numbers:
        """What one replica asks for, by shape and resource."""
        return np.array([[one.roles[0].requests[r] for r in RESOURCES] for one in self.snapshot.workloads], dtype=float)

    @cached_property
    def may(self) -> NDArray[np.bool_]:
        """Which clusters each shape may use."""
        by_label = [
            [one.clusters.selector.matches(cluster.labels) for cluster in self.snapshot.clusters]
            for one in self.snapshot.workloads
        ]
        has = (self.asked[:, None, 2] == 0) | (self.offered[None, :, 2] > 0)
        return np.array(by_label) & has

    @cached_property
    def most(self) -> Numbers:
        """The most replicas of each shape on a cluster."""
        bounds = [int(one.queue.rpartition("-")[2]) for one in self.snapshot.workloads]
        return np.array([bound or REPLICAS for bound in bounds], dtype=float)

    @cached_property
    def worth(self) -> Numbers:
        """What a replica of each shape is worth: the mean of its shares of all there is of each resource."""
        return (self.asked / self.offered.sum(axis=0)).mean(axis=1)

    def value(self, placed: Numbers) -> float:
        """What so many replicas of each shape are worth: the share of the federation that they use."""
        return float(placed @ self.worth)

    def value_of(self, plan: Plan) -> float:
        """The value of a plan."""
        at = {one.name: at for at, one in enumerate(self.snapshot.workloads)}
        placed = np.zeros(len(at))
        for placement in plan.placements:
            placed[at[placement.workload]] += placement.replicas
        return self.value(placed)


def upper_bound(federation: Contended) -> float:
    """No plan is worth more: the linear program without nodes, where replicas may be cut and nobody is first.

    The solver's prices are taken, not its answer: for any prices, what the clusters' resources cost together, and what
    every shape could gain beyond the prices of what it uses, is a bound, however exact the solver was.
    """
    prices = _prices(federation)
    return min(_bound(federation, np.maximum(prices, 0)), _bound(federation, np.maximum(-prices, 0)))


def _bound(federation: Contended, prices: Numbers) -> float:
    whole = federation.offered.sum(axis=0)
    total = float((prices * federation.offered / whole).sum())
    for asked, may, most, worth in zip(
        federation.asked / whole, federation.may, federation.most, federation.worth, strict=True
    ):
        gains = np.sort(np.maximum(worth - prices[may] @ asked, 0))[::-1][: -(-REPLICAS // int(most))]
        total += float((gains * np.diff(np.minimum(np.arange(len(gains) + 1) * most, REPLICAS))).sum())
    return total


def _prices(federation: Contended) -> Numbers:
    """The dual values of capacity, by cluster and resource, for shares of the federation."""
    solver = pywraplp.Solver.CreateSolver("PDLP")
    whole, endless = federation.offered.sum(axis=0), solver.infinity()
    asked, offered = federation.asked / whole * CLUSTERS, federation.offered / whole * CLUSTERS
    rows = [[solver.Constraint(-endless, amount) for amount in cluster] for cluster in offered.tolist()]
    solver.Objective().SetMaximization()
    for at in range(SHAPES):
        demand = solver.Constraint(-endless, REPLICAS)
        for cluster in np.flatnonzero(federation.may[at]).tolist():
            replicas = solver.NumVar(0, min(federation.most[at], REPLICAS), "")
            demand.SetCoefficient(replicas, 1)
            solver.Objective().SetCoefficient(replicas, federation.worth[at] * CLUSTERS)
            for row, amount in zip(rows[cluster], asked[at].tolist(), strict=True):
                if amount:
                    row.SetCoefficient(replicas, amount)
    if solver.Solve() not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        raise RuntimeError("the linear program was not solved")
    return np.array([[row.dual_value() for row in cluster] for cluster in rows])
