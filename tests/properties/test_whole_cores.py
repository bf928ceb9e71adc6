"""Clusters that give whole cores: what is planned there fits by rounded amounts, and equals what rounded requests get.

The twin of a federation is the same one in which everybody asks for the cores that he would take. Where all clusters
give whole cores, both have the same plan, as far as only room decides: how full a tier is goes by what is asked for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federator.engine import federation as laid_out
from federator.engine.answer import plan_document
from federator.engine.checks import violations
from federator.engine.checks.facts import Facts
from federator.engine.planner import plan
from federator.engine.shapes import STEP
from federator.model.backfill import Filler
from federator.model.cluster import Binding, Cluster, NodeGroup, Running
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Planning, Policy, Stay, Tier
from federator.model.resources import Resources
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload

modest = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
CPUS = (0, 0.001, 0.5, 1, 1.5, 2, 2.25)


def whole(name: str, nodes: int = 1, cpu: float = 4, **more: object) -> Cluster:
    """A cluster that gives whole cores."""
    return replace(cluster(name, nodes, cpu, **more), whole_cores=True)  # type: ignore[arg-type]


def rounded(federation: Snapshot) -> Snapshot:
    """Its twin."""

    def asks(one: Workload) -> Workload:
        roles = tuple(
            replace(
                role, requests=Resources.of({**role.requests, "cpu": max(1, -(-role.requests["cpu"] // 1000)) * 1000})
            )
            for role in one.roles
        )
        return replace(one, roles=roles)

    fillers = tuple(replace(one, workload=asks(one.workload)) for one in federation.fillers)
    return replace(federation, workloads=tuple(map(asks, federation.workloads)), fillers=fillers)


@st.composite
def members(draw: st.DrawFn, name: str, role: Role, tells: bool) -> tuple[Cluster, int]:
    """Nodes of which whole cores are free, as such clusters report, and how many replicas of a role run on them."""
    cores, memory = draw(st.integers(1, 6)), 8
    takes, needs = max(1, -(-role.requests["cpu"] // 1000)), role.requests["memory"] // 2**30
    groups, running = [], 0
    for _ in range(draw(st.integers(1, 2))):
        most = min(cores // takes, memory // needs if needs else cores)
        runs, nodes = draw(st.integers(0, most)), draw(st.integers(1, 3))
        told = (Running("w0", role.name, runs, 60.0),) if runs else ()
        free = amounts(cores - runs * takes, memory - runs * needs)
        groups.append(NodeGroup(free, nodes, told if tells else None))
        running += runs * nodes
    count = sum(group.count for group in groups)
    most = count + draw(st.sampled_from((0, 0, 2)))
    standard = replace(flavor("standard", count, amounts(cores, memory), max_count=most), nodes=tuple(groups))
    return Cluster(name, flavors=(standard,), binding=draw(st.sampled_from(Binding))), running


@st.composite
def waiting(draw: st.DrawFn, at: int) -> Workload:
    """One role or two, some of them together."""
    several = draw(st.integers(0, 5)) == 0
    roles = tuple(
        Role(name, draw(st.integers(1, 9)), amounts(draw(st.sampled_from(CPUS)), draw(st.integers(0, 2))))
        for name in (("launcher", "worker") if several else ("",))
    )
    return Workload(
        f"w{at}",
        roles,
        priority=draw(st.integers(0, 1)),
        submitted_at_s=float(at),
        gang=draw(st.sampled_from((None, None, Gang(), Gang("federation")))),
        duration_s=draw(st.sampled_from((None, 600.0, 3600.0))),
    )


@st.composite
def federations(draw: st.DrawFn) -> Snapshot:
    """Only room decides: tiers that are filled to the brim, reservations, what gives way, what is on its way."""
    served = tuple(draw(waiting(at)) for at in range(draw(st.integers(1, 4))))
    role, tells = served[0].roles[0], draw(st.booleans())
    seen = [draw(members(name, role, tells)) for name in ("a", "b", "c")[: draw(st.integers(1, 3))]]
    there, held = tuple(one for one, _ in seen), []
    for one, running in seen:
        coming = draw(st.sampled_from((0, 0, 2)))
        if running + coming:
            held.append(Holding("w0", role.name, one.name, running + coming, unbound=coming, age_s=60.0))
    tiers = draw(st.sampled_from(((Tier("all", ("*",)),), (Tier("first", ("a",)), Tier("then", ("*",))))))
    rules = (
        Policy("p", tiers=tiers, stay=Stay(min_run_s=0.0), preempt=draw(st.sampled_from(("never", "lowerPriority")))),
    )
    work = Workload("filler", (Role("", 99, amounts(draw(st.sampled_from(CPUS)), 1)),), backfill=True)
    keep = draw(st.sampled_from(({}, {"*": {"*": 250_000}})))
    fillers = (Filler(work, keep_free=keep),) if draw(st.booleans()) else ()
    backfilling = draw(st.sampled_from(("none", "easy", "conservative")))
    planning = Planning(backfilling=backfilling, blocked_head="wait" if backfilling != "none" else "pass")
    return Snapshot(10_000.0, there, served, tuple(held), rules, planning=planning, fillers=fillers)


def shown(made: Plan) -> dict[str, object]:
    """What is placed where and when, and how many are refused for which reasons; not the words, which tell what was
    asked for."""
    told = plan_document(made)
    refused = [(r.workload, r.role, r.replicas, {n: v.reason for n, v in r.reasons.items()}) for r in made.refusals]
    filled = [(one.workload, one.replicas) for one in made.backfill]
    return {
        **{key: told[key] for key in ("placements", "preemptions", "moves", "reservations")},
        "refused": refused,
        "filled": filled,
    }


@pytest.mark.thorough
@modest
@given(federations())
def test_where_all_clusters_give_whole_cores_the_plan_is_that_of_rounded_requests(federation: Snapshot) -> None:
    batch = replace(federation, clusters=tuple(replace(one, whole_cores=True) for one in federation.clusters))
    assert shown(plan(batch)) == shown(plan(rounded(federation)))


@pytest.mark.thorough
@modest
@given(federations(), st.lists(st.booleans(), min_size=3, max_size=3))
def test_every_plan_fits_by_what_each_cluster_gives(federation: Snapshot, gives: list[bool]) -> None:
    there = tuple(replace(one, whole_cores=it) for one, it in zip(federation.clusters, gives, strict=False))
    mixed = replace(federation, clusters=there)
    assert violations(mixed, plan(mixed)) == ()


@pytest.mark.thorough
@modest
@given(federations())
def test_whole_cores_of_one_cluster_change_nothing_for_the_others(federation: Snapshot) -> None:
    """A cluster that gives whole cores and takes no work makes them count, and changes nobody's plan."""
    stranger = replace(whole("z"), cordoned=True)
    beside = replace(federation, clusters=(*federation.clusters, stranger))
    alone = replace(federation, clusters=(*federation.clusters, replace(stranger, whole_cores=False)))
    assert shown(plan(beside)) == shown(plan(alone))


PARTS = snapshot(
    [whole("batch", nodes=2), cluster("pods", cpu=4)],
    [workload("half", 30, cpu=0.5), workload("after", 30, submitted_at_s=1.0)],
)


def test_a_part_of_a_core_takes_all_of_it_where_whole_ones_are_given_and_no_more_elsewhere() -> None:
    """Eight cores of the one hold eight jobs, four of the other eight; nothing is left for who comes after."""
    made = plan(PARTS)
    assert violations(PARTS, made) == ()
    assert (placed(made, "half"), placed(made, "after")) == ({"batch": 8, "pods": 8}, {})
    assert reasons(made, "after") == {"batch": "NoRoom", "pods": "NoRoom"}


NO_CPU = snapshot(
    [whole("batch", nodes=2), cluster("pods", cpu=4, memory=4)],
    [workload("idle", 30, cpu=0, memory=1), workload("after", 30, submitted_at_s=1.0)],
)


def test_who_asks_for_no_cpu_takes_a_core_where_whole_ones_are_given_and_none_elsewhere() -> None:
    """Eight cores of the one hold eight jobs; four gibibytes of the other hold four, and its cores are free after."""
    made = plan(NO_CPU, explain=["idle"])
    assert violations(NO_CPU, made) == ()
    assert (placed(made, "idle"), placed(made, "after")) == ({"batch": 8, "pods": 4}, {"pods": 4})
    refusal = next(one for one in made.refusals if one.workload == "idle")
    assert "needs 1 cpu, 1Gi memory; 0 cpu" in refusal.reasons["batch"].message
    assert "needs 1Gi memory" in refusal.reasons["pods"].message
    told = {one.cluster: one.whole_cores for one in made.explanations["idle"].shares}
    assert told["batch"] is not None
    assert (told["batch"].asked_millicores, told["batch"].takes, told["batch"].most, told["pods"]) == (0, 1, 8, None)


def test_what_ends_where_it_took_no_core_is_found_by_what_else_it_takes() -> None:
    """Four without cpu fill the memory of pods for a minute more; what is reserved there begins then."""
    nodes = (NodeGroup(amounts(4, 0), 1),)
    pods = cluster("pods", flavors=(replace(flavor("f", 1, amounts(4, 4)), nodes=nodes),))
    work = [
        workload("idle", 4, cpu=0, memory=1, duration_s=600.0),
        workload("big", 1, cpu=4, memory=4, duration_s=600.0),
    ]
    held = (Holding("idle", "", "pods", 4, age_s=540.0),)
    planning = Planning(backfilling="easy", blocked_head="wait")
    federation = snapshot([whole("batch", cpu=1), pods], work, holdings=held, planning=planning)
    made = plan(federation)
    assert [(one.workload, one.cluster, one.at_s) for one in made.reservations] == [("big", "pods", 60.0)]
    assert violations(federation, made) == ()


def test_what_is_told_of_such_a_cluster_is_in_whole_cores() -> None:
    made = plan(PARTS, explain=["half"])
    refusal = next(one for one in made.refusals if one.workload == "half")
    assert "needs 1 cpu; 0 cpu is free" in refusal.reasons["batch"].message
    assert "needs 500m cpu; 0 cpu is free" in refusal.reasons["pods"].message
    assert made.explanations["half"].cures == ("14 more cpu on batch", "7 more cpu on pods")


def test_a_node_with_less_than_a_core_free_holds_nothing_and_a_job_larger_than_its_cores_is_too_big() -> None:
    """Three and a half cores are free on the one node, and three jobs of a half core fit; of 3.2 none ever will."""
    left = flavor("odd", 1, amounts(3.5, 64))
    batch = whole("batch", flavors=(left,))
    made = plan(snapshot([batch], [workload("half", 9, cpu=0.5)]))
    assert placed(made, "half") == {"batch": 3}
    made = plan(snapshot([batch], [workload("most", 1, cpu=3.2)]))
    assert "4 cpu" in next(iter(made.refusals[0].reasons.values())).message
    assert reasons(made, "most") == {"batch": "TooBig"}


def test_what_ends_gives_its_whole_core_back() -> None:
    """Four jobs of a half core fill four cores for a minute more; then all four are there for what is reserved."""
    nodes = (NodeGroup(Resources(), 1, (Running("half", "", 4, 540.0),)),)
    batch = whole("batch", flavors=(replace(flavor("f", 1, amounts(4, 64)), nodes=nodes),))
    work = [workload("half", 4, cpu=0.5, duration_s=600.0), workload("big", 1, cpu=4, duration_s=600.0)]
    held = (Holding("half", "", "batch", 4, age_s=540.0),)
    federation = snapshot([batch], work, holdings=held, planning=Planning(backfilling="easy", blocked_head="wait"))
    made = plan(federation)
    assert [(one.workload, one.at_s) for one in made.reservations] == [("big", 60.0)]
    assert violations(federation, made) == ()


def test_what_ends_beside_such_a_cluster_gives_room_for_as_many_parts_as_fit() -> None:
    """Two jobs of two cores end in a minute: then there is room for eight of a half, together."""
    nodes = (NodeGroup(Resources(), 1, (Running("two", "", 2, 540.0),)),)
    pods = cluster("pods", flavors=(replace(flavor("f", 1, amounts(4, 64)), nodes=nodes),))
    work = [workload("two", 2, cpu=2, duration_s=600.0), workload("halves", 8, cpu=0.5, gang=Gang())]
    held = (Holding("two", "", "pods", 2, age_s=540.0),)
    planning = Planning(backfilling="easy", blocked_head="wait")
    made = plan(snapshot([whole("batch"), pods], work, holdings=held, planning=planning))
    assert [(one.cluster, one.replicas, one.at_s) for one in made.reservations] == [("pods", 8, 60.0)]


def test_a_replica_raises_the_use_of_a_node_by_the_cores_that_it_takes() -> None:
    nodes = laid_out.Federation(PARTS).nodes
    everywhere, first = np.ones(2, dtype=bool), np.zeros(2, dtype=np.int64)
    (batch, pods), (all_of_it, twice) = (
        nodes.shape(amounts(cpu), everywhere, first).terms[:, STEP].tolist() for cpu in (0.5, 1)
    )
    assert (batch, 2 * pods) == (all_of_it, twice)


def test_a_planner_that_counts_parts_of_cores_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: the planner forgets that such clusters are there. The checks round by themselves."""
    monkeypatch.setattr(laid_out, "are_counted", lambda clusters, requests: False)
    assert any("batch is promised more than its nodes have" in one for one in violations(PARTS, plan(PARTS)))


def test_a_planner_that_counts_no_core_for_who_asks_for_none_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: cores are counted for parts of them alone."""
    monkeypatch.setattr(laid_out, "are_counted", lambda clusters, requests: any(one["cpu"] % 1000 for one in requests))
    assert any("batch is promised more than its nodes have" in one for one in violations(NO_CPU, plan(NO_CPU)))


def test_checks_that_count_parts_of_cores_would_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails if the checks round as the planner does not: they are what sees it."""
    monkeypatch.setattr(laid_out, "are_counted", lambda clusters, requests: False)
    monkeypatch.setattr(Facts, "takes", lambda self, role, cluster: role.requests)
    assert violations(PARTS, plan(PARTS)) == ()
