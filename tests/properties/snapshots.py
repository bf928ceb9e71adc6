"""Federations for property tests: small, but with everything in them that planning reads."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from federator.engine.checks.leaving import with_leaving
from federator.model.budget import Budget, Cost, Spent
from federator.model.cluster import Binding, Cluster, Flavor, Health, NodeGroup, Unschedulable
from federator.model.limits import Limit
from federator.model.plan import Displacement, Exclusion, Holding, Plan, Snapshot, TierClock, shape_key
from federator.model.policy import (
    Bounds,
    Cohort,
    FlavorChoice,
    FlavorOrder,
    Match,
    MoveBudget,
    Planning,
    Policy,
    Queue,
    Rebalance,
    Stay,
    Tier,
)
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector, Taint, Toleration
from federator.model.workload import Gang, Input, Role, Workload
from tests.engine import build

NAMES = ("cern", "desy", "exoscale", "fnal")
LABELS = ({"site": "on-prem"}, {"site": "cloud"}, {})
GPU = "nvidia.com/gpu"


def amounts(cpu: float, memory: int = 0, gpu: int = 0) -> Resources:
    """Cores, GiB and pieces."""
    return Resources.of({"cpu": int(cpu * 1000), "memory": memory * 2**30, GPU: gpu})


def sites(value: str) -> Constraint:
    """Only clusters (or flavors) with this site."""
    return Constraint(Selector((Requirement("site", "In", (value,)),)))


ORDERS = (FlavorOrder((FlavorChoice(("f1",)), FlavorChoice(constraint=sites("cloud")))), FlavorOrder(by_price=True))
BUDGETS = (Budget(86400.0, 20_000), Budget(3600.0, None, 30_000), Budget(86400.0, 40_000, 9_000))
MATLAB = Resources.of({"matlab": 1})


@st.composite
def flavors(draw: st.DrawFn, name: str) -> Flavor:
    """A few nodes, some of them in use."""
    whole = amounts(draw(st.integers(1, 8)), draw(st.integers(1, 16)), draw(st.sampled_from((0, 0, 2))))
    groups = []
    for _ in range(draw(st.integers(0, 3))):
        used = draw(st.integers(0, 8))
        free = Resources.of({key: whole[key] * (8 - used) // 8 for key in whole})
        groups.append(NodeGroup(free, draw(st.integers(1, 4))))
    count = sum(group.count for group in groups)
    taints = draw(st.sampled_from(((), (), (Taint("dedicated"),), (Taint("slow", effect="PreferNoSchedule"),))))
    extra = draw(st.sampled_from((0, 0, 0, 2)))
    labels = draw(st.sampled_from(LABELS))
    price = draw(st.sampled_from(({}, {}, {"cpu": 50.0})))
    return Flavor(name, count, whole, tuple(groups), labels, taints, count + extra if extra else 0, price=price)


@st.composite
def clusters(draw: st.DrawFn, name: str) -> Cluster:
    """A member that is mostly well."""
    health = draw(st.sampled_from((Health.UP,) * 8 + (Health.AWAY, Health.LOST, Health.UNKNOWN)))
    known = draw(st.integers(0, 9)) > 0
    named = [f"f{at}" for at in range(draw(st.integers(1, 2)))]
    mood = draw(st.sampled_from((None,) * 8 + ("cordoned", "draining")))
    return Cluster(
        name,
        labels=draw(st.sampled_from(LABELS)),
        health=health,
        away_s=0.0 if health is Health.UP else float(draw(st.sampled_from((10, 1000)))),
        cordoned=mood == "cordoned",
        draining=mood == "draining",
        binding=draw(st.sampled_from(Binding)),
        flavors=tuple(draw(flavors(one)) for one in named) if known else None,
        limits=draw(st.sampled_from((None,) * 5 + (Resources((("cpu", 3000),)), amounts(20, 20)))),
        abilities=draw(st.sampled_from((frozenset({"container", "service"}),) * 5 + (frozenset({"container"}),))),
        price=draw(st.sampled_from(({}, {"cpu": 100.0}, {"cpu": 250.5}))),
        carbon_g_per_kwh=draw(st.sampled_from((0.0, 40.0, 300.5))),
        power_w=draw(st.sampled_from(({}, {"cpu": 8.0}))),
        unschedulable=draw(st.sampled_from(((),) * 8 + ((Unschedulable(amounts(3, 3), "no node"),),))),
        whole_cores=draw(st.sampled_from((False, False, True))),
    )


@st.composite
def limits(draw: st.DrawFn, name: str) -> Limit:
    """A limit that is sometimes short, and sometimes passed already."""
    count = draw(st.sampled_from((None, 0, 3, 8, 20)))
    on = st.sampled_from((0, 1, 4, 30))
    return Limit(name, count, draw(st.dictionaries(st.sampled_from((*NAMES, "*")), on, max_size=2)))


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    """One to three tiers over globs or labels."""
    made = []
    for place in range(draw(st.integers(1, 3))):
        kind = draw(st.integers(0, 3))
        weights = draw(
            st.sampled_from((None, None, {"cern": 1, "desy": 3}, {"*": 2, "fnal": 0}, {"exoscale": 20, "fnal": 80}))
        )
        made.append(
            Tier(
                f"t{place}",
                clusters=(draw(st.sampled_from(NAMES)), draw(st.sampled_from(("*a*", "exo*", "desy"))))
                if kind < 3
                else (),
                constraint=draw(st.sampled_from((Constraint(), sites("cloud")))),
                fill_to_ppm=draw(st.sampled_from((1_000_000, 1_000_000, 500_000, 950_000))),
                weights=weights,
                weight_by=draw(st.sampled_from(("room", "fit", "price", "foresight"))),
                open_after_s=draw(st.sampled_from((None, None, 0.0, 300.0))),
            )
        )
    return tuple(made)


@st.composite
def policies(draw: st.DrawFn, name: str) -> Policy:
    """A policy with bounds that make sense."""
    bounds = {}
    for key in draw(st.lists(st.sampled_from((*NAMES, "*")), max_size=3, unique=True)):
        low = draw(st.sampled_from((0, 0, 0, 2)))
        high = draw(st.sampled_from((None, None, 3, 8)))
        bounds[key] = Bounds(low, high, draw(st.sampled_from((None, None, 0, 1, 5))))
    budget = draw(st.sampled_from((None, None, MoveBudget(500_000))))
    return Policy(
        name,
        order=draw(st.integers(0, 3)),
        match=Match(queues=draw(st.sampled_from(((), ("atlas",), ("a*",))))),
        require=draw(st.sampled_from((Constraint(),) * 4 + (sites("on-prem"),))),
        tiers=draw(tiers()),
        bounds=bounds,
        stay=Stay(
            draw(st.sampled_from(Rebalance)),
            draw(st.sampled_from((0.0, 600.0))),
            budget,
            draw(st.sampled_from((0.0, 0.0, 60.0))),
        ),
        preempt=draw(st.sampled_from(("never", "backfill", "lowerPriority", "lowerPriority"))),
        replicas=draw(st.sampled_from((None,) * 9 + (5,))),
        flavors=draw(st.sampled_from((FlavorOrder(),) * 4 + ORDERS)),
        half_weight_bytes=draw(st.sampled_from((None, None, 2**30))),
    )


@st.composite
def roles(draw: st.DrawFn, name: str) -> Role:
    """Alike replicas, now and then with constraints of their own."""
    gpu = draw(st.sampled_from((0, 0, 0, 1)))
    return Role(
        name,
        draw(st.integers(0, 12)),
        amounts(draw(st.sampled_from((0, 1, 2, 3, 4, 0.5, 2.25))), draw(st.integers(0, 4)), gpu),
        flavors=draw(st.sampled_from((Constraint(),) * 5 + (sites("cloud"),))),
        tolerations=draw(st.sampled_from(((), (), (Toleration("dedicated", "Exists"),)))),
        limits=draw(st.sampled_from((Resources(),) * 4 + (MATLAB, Resources.of({"matlab": 2, "database": 1})))),
    )


@st.composite
def workloads(draw: st.DrawFn, name: str) -> Workload:
    """Mostly of one role and no gang."""
    several = draw(st.integers(0, 5)) == 0
    made = tuple(draw(roles(role)) for role in (("launcher", "worker") if several else ("",)))
    total = sum(role.replicas for role in made)
    scopes = (None,) * 5 + (Gang(), Gang("federation"), Gang("label", "site"))
    return Workload(
        name,
        made,
        queue=draw(st.sampled_from(("atlas", "cms"))),
        priority=draw(st.integers(0, 1)),
        submitted_at_s=float(draw(st.integers(0, 2))),
        min_replicas=min(draw(st.sampled_from((1, 1, 1, 4))), max(1, total)),
        gang=draw(st.sampled_from(scopes)),
        clusters=draw(st.sampled_from((Constraint(),) * 5 + (sites("on-prem"),))),
        duration_s=draw(st.sampled_from((None, None, 3600.0, 10.5))),
        inputs=draw(st.sampled_from(((), (), (Input("d", 2**31, ("cern", "fnal")),)))),
        needs=draw(st.sampled_from((frozenset({"container"}),) * 4 + (frozenset({"service"}),))),
        checkpoint_every_s=draw(st.sampled_from((None, None, 700.0))),
        backfill=draw(st.integers(0, 7)) == 0,
    )


@st.composite
def holdings(draw: st.DrawFn, members: list[Cluster], served: list[Workload]) -> list[Holding]:
    """What some clusters hold: anything, as after changes of policies, of clusters and of workloads."""
    held = []
    for workload in served:
        for role in workload.roles:
            for cluster in members:
                if draw(st.integers(0, 3)) == 0:
                    replicas = draw(st.integers(1, 6))
                    held.append(
                        Holding(
                            workload.name,
                            role.name,
                            cluster.name,
                            replicas,
                            unbound=draw(st.sampled_from((0, 0, 1, replicas))),
                            age_s=draw(st.sampled_from((0.0, 3600.0))),
                            moved=draw(st.sampled_from((0, 0, 1))),
                            leaving=draw(st.sampled_from((0, 0, 0, 2))),
                        )
                    )
    return held


@st.composite
def restless(draw: st.DrawFn) -> Snapshot:
    """A federation in which everything may move at once: all clusters are well, all policies rebalance."""
    members = [build.cluster(name, draw(st.integers(1, 3)), draw(st.integers(2, 8))) for name in NAMES]
    members[0] = replace(members[0], draining=draw(st.booleans()))
    served = [build.workload(f"w{at}", draw(st.integers(1, 12)), draw(st.integers(1, 3))) for at in range(3)]
    held = [
        Holding(one.name, "", member.name, draw(st.integers(1, 4)), age_s=3600.0)
        for one in served
        for member in members
        if draw(st.booleans())
    ]
    budget = draw(st.sampled_from((None, MoveBudget(300_000))))
    stay = Stay(draw(st.sampled_from((Rebalance.PREFERRED, Rebalance.ALWAYS))), 0.0, budget)
    rule = replace(draw(policies("p")), stay=stay, match=Match(), require=Constraint(), replicas=None)
    planning = Planning(order=draw(st.sampled_from(("fifo", "fifo", "fair", "fit"))))
    return Snapshot(10_000.0, tuple(members), tuple(served), tuple(held), (rule,), planning=planning)


@st.composite
def queues(draw: st.DrawFn, name: str) -> Queue:
    """Half of them without any limit."""
    limit = st.sampled_from((None, None, amounts(2, 100), amounts(6, 6)))
    caps = st.sampled_from(({}, {}, {"*n": amounts(3)}, {"cern": amounts(2), "*a*": amounts(5)}))
    bounded = draw(st.booleans())
    return Queue(
        name,
        weight=draw(st.sampled_from((1, 3, 0))),
        priority=draw(st.integers(0, 1)),
        cohort=draw(st.sampled_from(("", "lhc"))) if bounded else "",
        quota=draw(st.sampled_from((None, amounts(5, 20), amounts(10)))) if bounded else None,
        borrowing_limit=draw(limit) if bounded else None,
        lending_limit=draw(limit) if bounded else None,
        cluster_quota=draw(caps) if bounded else {},
        budget=draw(st.sampled_from((None, None, *BUDGETS))),
    )


@st.composite
def snapshots(draw: st.DrawFn, *, fresh: bool = False) -> Snapshot:
    """A whole federation; ``fresh`` ones hold nothing yet."""
    members = [draw(clusters(name)) for name in NAMES[: draw(st.integers(1, 4))]]
    served = [draw(workloads(f"w{at}")) for at in range(draw(st.integers(0, 4)))]
    rules = [draw(policies(f"p{at}")) for at in range(draw(st.integers(0, 2)))]
    clocks = [
        TierClock(policy.name, tier.name, shape_key(workload), since_s=draw(st.sampled_from((9000.0, 9990.0))))
        for policy in rules
        for tier in policy.tiers
        for workload in served
        if draw(st.booleans())
    ]
    refused = [
        Exclusion(w.name, c.name, "admission said no") for w in served for c in members if draw(st.integers(0, 19)) == 0
    ]
    return Snapshot(
        at_s=10_000.0,
        clusters=tuple(members),
        workloads=tuple(served),
        holdings=() if fresh else tuple(draw(holdings(members, served))),
        policies=tuple(rules),
        queues=(draw(queues("atlas")), *((draw(queues("cms")),) if draw(st.booleans()) else ())),
        cohorts=(Cohort("lhc", quota=amounts(4, 8)),) if draw(st.integers(0, 3)) == 0 else (),
        planning=Planning(
            order=draw(st.sampled_from(("fifo", "fifo", "fair", "fit", "shortest"))),
            blocked_head=draw(st.sampled_from(("pass", "pass", "wait"))),
        ),
        clocks=tuple(clocks),
        exclusions=tuple(refused),
        spent=(Spent("atlas", draw(st.sampled_from((Cost(), Cost(5_000, 100))))),),
        limits=tuple(draw(limits(name)) for name in ("database", "matlab") if draw(st.booleans())),
        displacements=(Displacement("w0", "w1", gains=2),) if len(served) > 1 and draw(st.integers(0, 5)) == 0 else (),
    )


def carried_out(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """The snapshot after the plan has been carried out: what was placed is held, and still on its way to a node.

    What stayed keeps its age; where something arrived, the youngest has just come, and what moved there is counted.
    What left has not freed its nodes yet, or has: here, it has not; what gave way is still leaving.
    """
    snapshot = with_leaving(snapshot, plan)
    before = {(h.workload, h.role, h.cluster): h for h in snapshot.holdings}
    arrived: dict[tuple[str, str, str], int] = {}
    for move in plan.moves:
        key = (move.workload, move.role, move.target)
        arrived[key] = arrived.get(key, 0) + move.replicas
    after = [
        replace(old, replicas=0, unbound=0, waves=())
        for old in snapshot.holdings
        if old.leaving
        and not any((p.workload, p.role, p.cluster) == (old.workload, old.role, old.cluster) for p in plan.placements)
    ]
    for placement in plan.placements:
        key = (placement.workload, placement.role, placement.cluster)
        old = before.get(key, Holding(*key, replicas=0))
        grown = max(0, placement.replicas - old.replicas)
        gone = max(0, old.replicas - placement.replicas)
        after.append(
            replace(
                old,
                replicas=placement.replicas,
                unbound=max(0, old.unbound - gone) + grown,
                age_s=0.0 if grown else old.age_s,
                moved=min(placement.replicas, old.moved + arrived.get(key, 0)),
            )
        )
    return replace(snapshot, holdings=tuple(after))
