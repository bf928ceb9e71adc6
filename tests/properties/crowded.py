"""Federations in which what runs is in the way of what comes: small, full, with everything that preemption reads."""

from __future__ import annotations

from hypothesis import strategies as st

from federator.model.plan import Displacement, Holding, Snapshot
from federator.model.policy import Cohort, Planning, Policy, Queue, Stay, Tier
from federator.model.workload import Gang, Lifetime, Workload
from tests.engine.build import amounts, cluster, flavor, workload

QUEUES = ("atlas", "cms", "lone")
PREEMPT = ("never", "backfill", "lowerPriority", "lowerPriority", "lowerPriority")


@st.composite
def running(draw: st.DrawFn, number: int) -> Workload:
    """Work that is there already."""
    return workload(
        f"r{number}",
        draw(st.integers(1, 8)),
        cpu=draw(st.integers(1, 3)),
        queue=draw(st.sampled_from(QUEUES)),
        priority=draw(st.integers(0, 2)),
        submitted_at_s=float(draw(st.integers(0, 3))),
        gang=draw(st.sampled_from((None, None, None, Gang("federation")))),
        lifetime=draw(st.sampled_from((Lifetime.BATCH,) * 4 + (Lifetime.SERVICE,))),
        checkpoint_every_s=draw(st.sampled_from((None, None, 700.0))),
        backfill=draw(st.integers(0, 4)) == 0,
    )


@st.composite
def coming(draw: st.DrawFn, number: int) -> Workload:
    """Work that waits."""
    return workload(
        f"w{number}",
        draw(st.integers(1, 8)),
        cpu=draw(st.integers(1, 4)),
        queue=draw(st.sampled_from(QUEUES)),
        priority=draw(st.integers(0, 3)),
        submitted_at_s=float(draw(st.integers(0, 3))),
        min_replicas=draw(st.sampled_from((1, 1, 1, 2))),
        gang=draw(st.sampled_from((None, None, Gang(), Gang("federation")))),
    )


@st.composite
def crowded(draw: st.DrawFn) -> Snapshot:
    """One to three clusters; each running workload is put where it fits, until nearly nothing more does."""
    names = ("a", "b", "c")[: draw(st.integers(1, 3))]
    nodes = {name: [draw(st.integers(4, 8))] * draw(st.integers(1, 2)) for name in names}
    left = {name: list(cores) for name, cores in nodes.items()}
    served, holdings = list[Workload](), list[Holding]()
    for number in range(draw(st.integers(1, 5))):
        one = draw(running(number))
        cores = one.roles[0].requests["cpu"] // 1000
        seats = [(name, at) for name in names for at in range(len(left[name])) for _ in range(left[name][at] // cores)]
        replicas = one.roles[0].replicas
        if len(seats) < replicas:
            continue
        counts: dict[str, int] = {}
        for name, at in seats[:replicas]:
            left[name][at] -= cores
            counts[name] = counts.get(name, 0) + 1
        age_s = draw(st.sampled_from((30.0, 650.0, 3600.0)))
        served.append(one)
        holdings += [Holding(one.name, "", name, count, 0, age_s) for name, count in counts.items()]
    served += [draw(coming(number)) for number in range(draw(st.integers(1, 3)))]
    members = []
    for name in names:
        cores = nodes[name][0]
        free = [(amounts(one), 1) for one in left[name]]
        members.append(cluster(name, flavors=(flavor("standard", len(free), amounts(cores), free=free),)))
    tiers = draw(st.sampled_from(((Tier("all"),), (Tier("first", ("a",)), Tier("rest", ("*",))))))
    policy = Policy(
        "p",
        tiers=tiers,
        preempt=draw(st.sampled_from(PREEMPT)),
        stay=Stay(min_run_s=draw(st.sampled_from((0.0, 60.0)))),
    )
    quota = st.sampled_from((None, amounts(4), amounts(8)))
    queues = [
        Queue("atlas", cohort="lhc", quota=draw(quota), weight=draw(st.sampled_from((1, 2)))),
        Queue("cms", cohort="lhc", quota=draw(quota)),
        Queue("lone", priority=draw(st.integers(0, 1))),
    ]
    return Snapshot(
        at_s=10_000.0,
        clusters=tuple(members),
        workloads=tuple(served),
        holdings=tuple(holdings),
        policies=(policy,),
        queues=tuple(queues),
        cohorts=(Cohort("lhc", quota=draw(st.sampled_from((None, amounts(6))))),),
        planning=Planning(
            order=draw(st.sampled_from(("fifo", "fair", "fit"))),
            backfilling=draw(st.sampled_from(("none", "none", "easy"))),
            blocked_head=draw(st.sampled_from(("pass", "pass", "wait"))),
        ),
        displacements=tuple(
            Displacement(one.name, other.name, 100.0, draw(st.integers(0, 3)), draw(st.sampled_from((0, 0, 3))))
            for one in served
            for other in served
            if one is not other and draw(st.integers(0, 15)) == 0
        ),
    )
