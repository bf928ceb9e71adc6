"""Reservations with answers worked out by hand: when room can exist, and what may pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from federator.engine.answer import explanation_document, plan_document
from federator.engine.planner import plan
from federator.model.cluster import Cluster, NodeGroup, Running
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Planning, Policy, Tier
from federator.model.workload import Gang, Lifetime, Workload
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload

EASY = Planning(backfilling="easy")


def used(name: str, *free: float, cpu: float = 8, **more: Any) -> Cluster:
    """A cluster of nodes with so many cores each, of which so many are free on each node."""
    groups = [(amounts(one, 64), 1) for one in free]
    return cluster(name, flavors=(flavor("standard", len(free), amounts(cpu, 64), free=groups),), **more)


def federation(
    clusters: list[Cluster], running: dict[tuple[str, str], tuple[int, float]], waiting: list[Workload], **more: Any
) -> Snapshot:
    """``running``: by (workload, cluster) how many replicas, and their age; those of ``waiting`` come in this order."""
    served = [replace(one, submitted_at_s=float(at)) for at, one in enumerate(waiting)]
    held = tuple(Holding(w, "", c, n, age_s=age_s) for (w, c), (n, age_s) in running.items())
    return snapshot(clusters, served, holdings=held, planning=more.pop("planning", EASY), **more)


def reserved(made: Plan) -> list[tuple[str, str, float, int]]:
    return [(one.workload, one.cluster, one.at_s, one.replicas) for one in made.reservations]


def classic(*passing: Workload, free: float = 2) -> Plan:
    """Ten processors on one node, so many free. ``runs`` has the others for another 100 s; the head wants 8."""
    one = used("a", free, cpu=10)
    runs, head = workload("runs", 1, 10 - free, duration_s=150.0), workload("head", 1, 8, duration_s=60.0)
    return plan(federation([one], {("runs", "a"): (1, 50.0)}, [runs, head, *passing]), explain=["head"])


def test_the_classic_picture_of_easy() -> None:
    """At 100 s all 10 are free, the head takes 8: 2 are spare. What ends by 100 s may use all that is free now; what
    runs longer only the spare ones."""
    assert reserved(classic(free=4)) == [("head", "a", 100.0, 1)]
    short, long = workload("short", 4, 1, duration_s=100.0), workload("long", 4, 1, duration_s=101.0)
    assert placed(classic(short, free=4), "short") == {"a": 4}
    assert placed(classic(long, free=4), "long") == {"a": 2}
    both = classic(long, short, free=4)
    assert placed(both, "long") == {"a": 2}
    assert placed(both, "short") == {"a": 2}


def test_who_is_held_back_reads_for_whom_and_when() -> None:
    made = classic(workload("long", 4, 1, duration_s=101.0), free=4)
    (verdict,) = (refusal.reasons["a"] for refusal in made.refusals if refusal.workload == "long")
    assert verdict.reason == "ReservedForAnother"
    assert verdict.message == (
        "a is reserved for head in 100 s, and it would run until after that; 2 of the 4 that fit now delay nothing"
    )


def test_the_reserved_is_told_when_it_starts() -> None:
    made = classic()
    assert explanation_document(made.explanations["head"])["expected_start_s"] == 100.0
    assert plan_document(made)["reservations"] == [{"workload": "head", "cluster": "a", "at_s": 100.0, "replicas": 1}]


def test_it_waits_for_the_second_end_where_the_first_is_not_enough() -> None:
    nodes = used("a", 0, 0, 8)
    running = [workload("r1", 1, 8, duration_s=100.0), workload("r2", 1, 8, duration_s=300.0)]
    held = {("r1", "a"): (1, 40.0), ("r2", "a"): (1, 40.0)}
    for wide, at_s in ((2, 60.0), (3, 260.0)):
        head = workload("head", wide, 8, gang=Gang())
        assert reserved(plan(federation([nodes], held, [*running, head]))) == [("head", "a", at_s, wide)]


def test_what_the_plan_itself_places_counts() -> None:
    """The first takes the empty node for 70 s, so the second can have it then."""
    made = plan(federation([used("a", 8)], {}, [workload("v", 1, 8, duration_s=70.0), workload("w", 1, 8)]))
    assert reserved(made) == [("w", "a", 70.0, 1)]


def test_the_cluster_where_it_starts_first_is_reserved_among_those_it_may_use() -> None:
    running = [workload(f"r{at}", 1, 8, duration_s=at * 100.0) for at in (1, 2, 3)]
    held = {("r3", "a"): (1, 0.0), ("r2", "b"): (1, 0.0), ("r1", "c"): (1, 0.0)}
    three = [used("a", 0), used("b", 0), used("c", 0)]
    two = (Policy("p", tiers=(Tier("t", ("a", "b")),)),)
    head = workload("head", 1, 8)
    assert reserved(plan(federation(three, held, [*running, head]))) == [("head", "c", 100.0, 1)]
    assert reserved(plan(federation(three, held, [*running, head], policies=two))) == [("head", "b", 200.0, 1)]


def test_of_two_at_the_same_time_the_earlier_tier_then_the_first_name_is_taken() -> None:
    running = [workload("r", 3, 8, duration_s=100.0)]
    held = {("r", name): (1, 0.0) for name in "abc"}
    three = [used("a", 0), used("b", 0), used("c", 0)]
    late_a = (Policy("p", tiers=(Tier("t", ("b", "c")), Tier("u", ("a",)))),)
    head = workload("head", 1, 8)
    assert reserved(plan(federation(three, held, [*running, head]))) == [("head", "a", 100.0, 1)]
    assert reserved(plan(federation(three, held, [*running, head], policies=late_a))) == [("head", "b", 100.0, 1)]


def test_a_tier_that_opens_sooner_than_room_comes_is_reserved() -> None:
    tiers = (Tier("home", ("a",)), Tier("cloud", ("b",), open_after_s=30.0))
    made = plan(
        federation(
            [used("a", 0), used("b", 8)],
            {("r", "a"): (1, 0.0)},
            [workload("r", 1, 8, duration_s=100.0), workload("head", 1, 8)],
            policies=(Policy("p", tiers=tiers),),
        )
    )
    ((name, where, at_s, _),) = reserved(made)
    assert (name, where) == ("head", "b")
    assert 30.0 <= at_s <= 30.002


def test_only_what_is_needed_to_start_is_reserved() -> None:
    """Of nine that start one by one, three at least: where the planner would place them, as far as they are needed."""
    running = [workload("r", 2, 8, duration_s=100.0)]
    head = workload("head", 9, 2, min_replicas=3)
    made = plan(federation([used("a", 0, 0)], {("r", "a"): (2, 0.0)}, [*running, head]))
    assert reserved(made) == [("head", "a", 100.0, 3)]


def test_what_runs_in_part_and_waits_for_more_is_the_first_that_waits() -> None:
    """Else the gang behind it would be told a time that the rest of it, which goes first, would not let it keep."""
    served = [workload("some", 5, 4, duration_s=100.0), workload("gang", 2, 8, gang=Gang())]
    made = plan(federation([used("a", 8, 8)], {}, served))
    assert placed(made, "some") == {"a": 4}
    assert reserved(made) == [("some", "a", 100.0, 1)]


def test_all_roles_of_a_gang_are_reserved_in_one_cluster() -> None:
    roles = (
        replace(workload("x", 1, 2).roles[0], name="launcher"),
        replace(workload("x", 2, 8).roles[0], name="worker"),
    )
    running = [workload("r", 3, 8, duration_s=100.0)]
    made = plan(
        federation(
            [used("a", 0, 0, 0)], {("r", "a"): (3, 0.0)}, [*running, workload("mpi", 1, roles=roles, gang=Gang())]
        )
    )
    assert reserved(made) == [("mpi", "a", 100.0, 3)]


def test_who_can_never_start_is_passed_over() -> None:
    """Nothing that ends makes room for it, so the next is the first that waits."""
    running = [workload("r", 1, 8, duration_s=100.0)]
    never, head = workload("never", 3, 8, gang=Gang()), workload("head", 2, 8, gang=Gang())
    made = plan(federation([used("a", 0, 8)], {("r", "a"): (1, 0.0)}, [*running, never, head]))
    assert reserved(made) == [("head", "a", 100.0, 2)]


def test_services_end_never_and_unknown_durations_are_assumed() -> None:
    service, batch = workload("r", 1, 8, lifetime=Lifetime.SERVICE, duration_s=5.0), workload("r", 1, 8)
    head = workload("head", 1, 8)
    hour = replace(EASY, unknown_duration_s=3600.0)
    for runs, found in ((service, []), (batch, [("head", "a", 3000.0, 1)])):
        made = plan(federation([used("a", 0)], {("r", "a"): (1, 600.0)}, [runs, head], planning=hour))
        assert reserved(made) == found


def test_what_overran_its_duration_ends_in_a_second() -> None:
    made = plan(
        federation(
            [used("a", 0)], {("r", "a"): (1, 500.0)}, [workload("r", 1, 8, duration_s=100.0), workload("h", 1, 8)]
        )
    )
    assert reserved(made) == [("h", "a", 1.0, 1)]


def test_a_snapshot_may_tell_where_replicas_run() -> None:
    """Two nodes, half used: by one that ends soon and one that ends late. Which is where decides nothing in what is
    free, but when a whole node is."""
    served = [
        workload("soon", 2, 2, duration_s=100.0),
        workload("late", 2, 2, duration_s=900.0),
        workload("head", 1, 8),
    ]
    held = {("soon", "a"): (2, 0.0), ("late", "a"): (2, 0.0)}

    def told(*runs: tuple[str, ...]) -> Cluster:
        groups = tuple(NodeGroup(amounts(4, 64), 1, tuple(Running(name, "", 1, 0.0) for name in one)) for one in runs)
        return Cluster("a", flavors=(replace(used("a", 4, 4).flavors[0], nodes=groups),))  # type: ignore[index]

    apart = plan(federation([told(("soon", "soon"), ("late", "late"))], held, served))
    mixed = plan(federation([told(("soon", "late"), ("soon", "late"))], held, served))
    assert reserved(apart) == [("head", "a", 100.0, 1)]
    assert reserved(mixed) == [("head", "a", 900.0, 1)]


def test_conservative_reserves_for_all_that_wait_up_to_a_number() -> None:
    """Two nodes until 100 s. ``w`` needs both, then ``x`` one, then ``y`` one: they follow each other."""
    running = [workload("r", 2, 8, duration_s=100.0)]
    waiting = [
        workload("w", 2, 8, gang=Gang(), duration_s=50.0),
        workload("x", 1, 8, duration_s=50.0),
        workload("y", 2, 8, gang=Gang(), duration_s=50.0),
        workload("z", 1, 8, duration_s=50.0),
    ]
    all_ = [("w", "a", 100.0, 2), ("x", "a", 150.0, 1), ("y", "a", 200.0, 2), ("z", "a", 150.0, 1)]
    for most in (1, 3, 10):
        planning = Planning(backfilling="conservative", max_reservations=most)
        made = plan(federation([used("a", 0, 0)], {("r", "a"): (2, 0.0)}, [*running, *waiting], planning=planning))
        assert reserved(made) == sorted(all_[:most])


def test_a_quota_that_is_freed_counts_and_is_kept() -> None:
    """The quota leaves 4 cores, the node has room for more: the head of 8 waits for the quota that ``r`` gives back,
    and what passes may not spend it."""
    one = replace(used("a", 16, cpu=20), limits=amounts(4))
    served = [workload("r", 1, 4, duration_s=100.0), workload("head", 1, 8), workload("long", 4, 1, duration_s=200.0)]
    made = plan(federation([one], {("r", "a"): (1, 0.0)}, served))
    assert reserved(made) == [("head", "a", 100.0, 1)]
    assert reasons(made, "long") == {"a": "ReservedForAnother"}


def test_nothing_waits_behind_a_blocked_head_but_for_a_reservation() -> None:
    """blockedHead: wait gives way to backfilling: that says who may pass."""
    patient = replace(EASY, blocked_head="wait")
    served = [workload("r", 1, 8, duration_s=100.0), workload("head", 2, 8, gang=Gang())]
    passing = [workload("short", 1, 8, duration_s=90.0)]
    held = {("r", "a"): (1, 0.0)}
    assert placed(plan(federation([used("a", 0, 8)], held, [*served, *passing], planning=patient)), "short") == {"a": 1}


def test_what_a_lost_node_left_of_a_gang_goes_before_anything_is_reserved_for_it() -> None:
    """Three of five still run, and five fit no more: those three stop. To keep room for two would be in vain."""
    gang = workload("gang", 5, 2, gang=Gang(), duration_s=60.0)
    made = plan(federation([used("a", 0, 2, cpu=4)], {("gang", "a"): (3, 0.0)}, [gang]))
    assert (placed(made, "gang"), reserved(made)) == ({}, [])
