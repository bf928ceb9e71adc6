"""Gangs that compete, and the best that could be made of it: a slow search that shares no code with the planner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random

from hypothesis import strategies as st

from federator.engine.planner import plan
from federator.model.cluster import Cluster
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Bounds, GangSearch, Planning, Policy, Tier
from federator.model.workload import Gang, Role, Workload
from tests.engine import build
from tests.properties.snapshots import NAMES, clusters, policies

AMPLE = GangSearch(budget=5.0)
OFF = GangSearch(budget=0.0)
SHARES = 65536


def with_search(federation: Snapshot, search: GangSearch) -> Plan:
    """The plan with this search."""
    return plan(replace(federation, planning=replace(federation.planning, gang_search=search)))


def homes(federation: Snapshot, made: Plan) -> dict[str, str]:
    """The cluster of every gang that has one."""
    whole = {one.name for one in federation.workloads}
    return {placement.workload: placement.cluster for placement in made.placements if placement.workload in whole}


def late(federation: Snapshot, name: str) -> int:
    """The place of a cluster's tier under the only policy (whose tiers name their clusters)."""
    rule = federation.policies[0]
    return next(place for place, tier in enumerate(rule.tiers) if name in tier.clusters)


@st.composite
def one_node_clusters(draw: st.DrawFn) -> Snapshot:
    """Clusters of one node each, so that what fits is a matter of sums; gangs that come one after the other.

    They ask for about as much as there is: drawn from a seed, because small examples compete for nothing.
    """
    random = Random(draw(st.integers(0, 2**32)))
    members = [
        build.cluster(name, 1, random.randint(4, 12), random.choice((8, 64))) for name in NAMES[: random.randint(2, 3)]
    ]
    names = [one.name for one in members]
    first = random.randint(1, len(names))
    tiers = (Tier("near", tuple(names[:first])), Tier("far", tuple(names[first:])))[: 1 + (first < len(names))]
    bounds = {random.choice(names): Bounds(maximum=random.randint(1, 4))} if random.random() < 0.3 else {}
    gangs = list[Workload]()
    while len(gangs) < 3 or (len(gangs) < 5 and random.random() < 0.8):
        roles = [Role("", random.randint(1, 4), build.amounts(random.randint(1, 3), random.randint(0, 3)))]
        if random.random() < 0.2:
            roles = [replace(roles[0], name="worker"), Role("launcher", 1, build.amounts(1))]
        gangs.append(Workload(f"w{len(gangs)}", tuple(roles), gang=Gang(), submitted_at_s=float(len(gangs))))
    planning = Planning(blocked_head=random.choice(("pass", "pass", "wait")))
    return build.snapshot(members, gangs, policies=(Policy("p", tiers=tiers, bounds=bounds),), planning=planning)


@st.composite
def crowds(draw: st.DrawFn) -> Snapshot:
    """Gangs that ask for about as much as there is, on several nodes; with all that clusters and policies may have."""
    random = Random(draw(st.integers(0, 2**32)))
    members = [
        draw(clusters(name))
        if random.random() < 0.1
        else build.cluster(name, random.randint(1, 4), random.randint(2, 5))
        for name in NAMES[: random.randint(2, 4)]
    ]
    gangs = [
        Workload(
            f"w{at}",
            (Role("", random.randint(1, 5), build.amounts(random.randint(1, 3), random.randint(0, 4))),),
            queue=random.choice(("atlas", "cms")),
            priority=int(random.random() < 0.1),
            submitted_at_s=float(at),
            gang=Gang(),
        )
        for at in range(random.randint(5, 9))
    ]
    rules = (replace(draw(policies("p")), replicas=None),) if random.random() < 0.3 else ()
    planning = Planning(
        blocked_head=random.choice(("pass", "pass", "wait")), backfilling=random.choice(("none",) * 4 + ("easy",))
    )
    return Snapshot(10_000.0, tuple(members), tuple(gangs), policies=rules, planning=planning)


@dataclass(frozen=True)
class Value:
    """What a set of placed gangs is worth."""

    worth: int
    early: int


def value(federation: Snapshot, placed: Mapping[str, str]) -> Value:
    """Dominant shares in parts of 65,536, at least one each; and how many tiers before the last they are in."""
    whole: dict[str, int] = {}
    for cluster in federation.clusters:
        for name, amount in cluster.allocatable.items_:
            whole[name] = whole.get(name, 0) + amount
    worth = early = 0
    for workload in federation.workloads:
        if workload.name in placed:
            shares = [n * SHARES // whole[r] for r, n in workload.total_requests.items_ if whole.get(r)]
            worth += max([1, *shares])
            early += len(federation.policies[0].tiers) - 1 - late(federation, placed[workload.name])
    return Value(worth, early)


def best(federation: Snapshot, greedy: Mapping[str, str]) -> Value:
    """The best of all ways in which nobody of ``greedy`` loses, tiers are kept and heads wait."""
    found = [value(federation, placed) for placed in _ways(federation) if _fair(federation, placed, greedy)]
    return max(found, key=lambda one: (one.worth, one.early))


def _ways(federation: Snapshot) -> Iterator[dict[str, str]]:
    places = [*(cluster.name for cluster in federation.clusters), ""]
    for way in product(places, repeat=len(federation.workloads)):
        placed = {one.name: at for one, at in zip(federation.workloads, way, strict=True) if at}
        if all(_holds(federation, cluster, placed) for cluster in federation.clusters):
            yield placed


def _holds(federation: Snapshot, cluster: Cluster, placed: Mapping[str, str]) -> bool:
    inside = [one for one in federation.workloads if placed.get(one.name) == cluster.name]
    maximum = federation.policies[0].bounds.get(cluster.name, Bounds()).maximum
    if maximum is not None and any(one.replicas > maximum for one in inside):
        return False
    needed = sum((one.total_requests for one in inside), build.amounts())
    return needed.fits_in(cluster.allocatable)


def _fair(federation: Snapshot, placed: Mapping[str, str], greedy: Mapping[str, str]) -> bool:
    for name, at in greedy.items():
        if name not in placed or late(federation, placed[name]) > late(federation, at):
            return False
    for name, at in placed.items():
        for cluster in federation.clusters:
            if late(federation, cluster.name) < late(federation, at) and _holds(
                federation, cluster, {**placed, name: cluster.name}
            ):
                return False
    return federation.planning.blocked_head == "pass" or not _passed_a_head(federation, placed)


def _passed_a_head(federation: Snapshot, placed: Mapping[str, str]) -> bool:
    """Whether one started although one before it, which could start on empty clusters, did not."""
    waiting = False
    for one in federation.workloads:
        if one.name in placed and waiting:
            return True
        waiting |= one.name not in placed and _could_ever(federation, one)
    return False


def _could_ever(federation: Snapshot, workload: Workload) -> bool:
    """Whether a cluster allows one replica of it, whose node is large enough for one of each role."""
    for cluster in federation.clusters:
        maximum = federation.policies[0].bounds.get(cluster.name, Bounds()).maximum
        if maximum != 0 and any(role.requests.fits_in(cluster.allocatable) for role in workload.roles):
            return True
    return False


def losers(federation: Snapshot, greedy: Plan, made: Plan, tiers: Sequence[str]) -> list[str]:
    """Gangs that start in order of service, and later (or not) in the plan."""
    order = {name: place for place, name in enumerate(tiers)}
    mine = {placement.workload: order[placement.tier] for placement in made.placements}
    return sorted({p.workload for p in greedy.placements if mine.get(p.workload, len(order)) > order[p.tier]})
