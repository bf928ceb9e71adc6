"""Queues in plans: quotas bound what starts, cohorts lend, and the fair order divides what all ask for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.plan import Plan, QueueUsage, Snapshot
from federator.model.policy import Planning, Queue
from federator.model.resources import Resources
from federator.model.workload import Gang, Workload
from tests.engine.build import amounts, cluster, placed, reasons, snapshot, workload

FAIR = Planning(order="fair")


def legal(federation: Snapshot, explain: tuple[str, ...] = ()) -> Plan:
    made = plan(federation, explain=explain)
    assert violations(federation, made) == ()
    return made


def of_queue(made: Plan, queue: str) -> int:
    """How many replicas the queue's workloads (named after it) have."""
    return sum(placement.replicas for placement in made.placements if placement.workload.startswith(queue))


@pytest.mark.parametrize(
    ("own", "other", "has"),
    [
        ({}, {}, 21),
        ({"borrowing_limit": amounts(cpu=1)}, {}, 10),
        ({}, {"lending_limit": amounts(cpu=1)}, 10),
        ({}, {"cohort": ""}, 9),
    ],
)
def test_a_queue_alone_may_use_what_its_cohort_lends(
    own: dict[str, object], other: dict[str, object], has: int
) -> None:
    """Kueue's own example: nominal 9 and 12 in one cohort."""
    queues = [
        Queue("a", **{"cohort": "team", "quota": amounts(cpu=9), **own}),  # type: ignore[arg-type]
        Queue("b", **{"cohort": "team", "quota": amounts(cpu=12), **other}),  # type: ignore[arg-type]
    ]
    made = legal(snapshot([cluster("big", cpu=100)], [workload("a1", 40, queue="a")], queues=queues))
    assert of_queue(made, "a") == has


def test_what_is_over_a_quota_says_whose_and_how_much_is_left_and_what_would_help() -> None:
    queues = [Queue("a", quota=amounts(cpu=5))]
    federation = snapshot(
        [cluster("big", cpu=100), cluster("full", cpu=0.5)], [workload("a1", 4, 2, queue="a")], queues=queues
    )
    made = legal(federation, ("a1",))
    words = {name: verdict.message for name, verdict in made.refusals[0].reasons.items()}
    assert words["big"] == "queue a may have no more: the quota of a leaves 1 cpu, 2 is needed"
    assert reasons(made, "a1")["full"] == "TooBig"
    assert "a quota of 3 more cpu for a" in made.explanations["a1"].cures


def test_what_runs_counts_before_anybody_is_asked() -> None:
    """The later of two workloads runs already; the earlier gets what that leaves."""
    work = [workload("a1", 5, queue="a", submitted_at_s=1.0), workload("a2", 3, queue="a", submitted_at_s=2.0)]
    federation = snapshot(
        [cluster("big", cpu=100)], work, held={("a2", "big"): 3}, queues=[Queue("a", quota=amounts(cpu=5))]
    )
    made = legal(federation)
    assert (placed(made, "a1"), placed(made, "a2")) == ({"big": 2}, {"big": 3})


def test_limits_on_clusters_are_of_all_that_match_together() -> None:
    queue = Queue("a", cluster_quota={"cloud-*": amounts(cpu=6)})
    clouds = [cluster(name, cpu=50) for name in ("cern", "cloud-1", "cloud-2")]
    made = legal(snapshot(clouds, [workload("a1", 90, queue="a")], queues=[queue]))
    assert placed(made, "a1") == {"cern": 50, "cloud-1": 3, "cloud-2": 3}
    assert reasons(made, "a1") == {"cern": "NoRoom", "cloud-1": "OverClusterQuota", "cloud-2": "OverClusterQuota"}


def test_a_gang_is_admitted_whole_or_not_at_all() -> None:
    queues = [Queue("a", quota=amounts(cpu=5))]
    six = workload("a1", 6, queue="a", gang=Gang())
    one = workload("a2", 1, queue="a", submitted_at_s=1.0)
    made = legal(snapshot([cluster("big", cpu=100)], [six, one], queues=queues))
    assert (placed(made, "a1"), placed(made, "a2")) == ({}, {"big": 1})
    assert reasons(made, "a1") == {"big": "OverQuota"}
    five = replace(six, roles=workload("a1", 5).roles)
    assert placed(legal(snapshot([cluster("big", cpu=100)], [five, one], queues=queues)), "a1") == {"big": 5}


def lines(*weights: int) -> tuple[list[Queue], list[Workload]]:
    """Queues q0, q1, ... of these weights, each with five workloads of 60 replicas, handed in by turns."""
    queues = [Queue(f"q{at}", weight=weight) for at, weight in enumerate(weights)]
    work = [
        workload(f"{queue.name}-{at}", 60, queue=queue.name, submitted_at_s=float(at))
        for at in range(5)
        for queue in queues
    ]
    return queues, work


TWO = [cluster("a", nodes=10, cpu=10), cluster("b", nodes=10, cpu=10)]


@pytest.mark.parametrize("weights", [(1, 3), (1, 1), (2, 1, 1)])
def test_the_fair_order_divides_by_weight_what_all_ask_for(weights: tuple[int, ...]) -> None:
    """200 cores, and far more asked for: every queue has its part, to a hundredth of the federation."""
    queues, work = lines(*weights)
    made = legal(snapshot(TWO, work, queues=queues, planning=FAIR))
    for queue in queues:
        assert abs(of_queue(made, queue.name) - 200 * queue.weight / sum(weights)) <= 2


def test_what_one_does_not_ask_for_goes_to_the_others() -> None:
    queues, work = lines(1, 3)
    few = [one for one in work if one.queue == "q0" or one.name == "q1-0"]
    made = legal(snapshot(TWO, few, queues=queues, planning=FAIR))
    assert (of_queue(made, "q0"), of_queue(made, "q1")) == (140, 60)


def test_a_queue_that_had_much_lately_yields_but_keeps_half_of_its_part() -> None:
    queues, work = lines(1, 1)
    much = QueueUsage("q0", Resources.of({"cpu": 200_000 * 10**6}))
    made = legal(snapshot(TWO, work, queues=queues, planning=FAIR, usage=[much]))
    assert 48 <= of_queue(made, "q0") <= 52


def test_one_large_workload_does_not_take_the_turns_of_others() -> None:
    """First come would give it all."""
    queues, work = lines(1, 1)
    large = workload("q0-large", 1000, queue="q0")
    made = legal(snapshot(TWO, [large, *work], queues=queues, planning=FAIR))
    assert of_queue(made, "q1") == 100


def test_what_runs_keeps_its_place_under_the_fair_order() -> None:
    queues, work = lines(1, 1)
    federation = snapshot(TWO, work, queues=queues, planning=FAIR, held={("q0-0", "a"): 60})
    made = legal(federation)
    assert placed(made, "q0-0")["a"] == 60


@pytest.mark.parametrize(("order", "first"), [("fifo", "long"), ("shortest", "short"), ("-workload.replicas", "wide")])
def test_the_order_of_service_is_a_setting(order: str, first: str) -> None:
    work = [
        workload("long", 4, duration_s=100.0, submitted_at_s=1.0),
        workload("short", 4, duration_s=10.0, submitted_at_s=2.0),
        workload("wide", 5, duration_s=50.0, submitted_at_s=3.0),
    ]
    made = legal(snapshot([cluster("a", cpu=4)], work, planning=Planning(order=order)))
    assert {placement.workload for placement in made.placements} == {first}


def test_f1_serves_the_smallest_of_run_time_times_cores_and_age() -> None:
    """log10(run time) x cores + 870 x log10(submit time): 3 x 4 + 870 x 1 = 882 before 1 x 4 + 870 x 2 = 1744."""
    work = [
        workload("late", 4, duration_s=10.0, submitted_at_s=100.0),
        workload("early", 4, duration_s=1000.0, submitted_at_s=10.0),
    ]
    made = legal(snapshot([cluster("a", cpu=4)], work, planning=Planning(order="f1")))
    assert {placement.workload for placement in made.placements} == {"early"}
