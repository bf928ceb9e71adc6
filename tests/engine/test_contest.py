"""Gangs that compete for the same clusters: what the order of service wastes, and what the search may not do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.cluster import Cluster
from federator.model.plan import Snapshot
from federator.model.policy import Bounds, GangSearch, Planning, Policy, Queue, Tier
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, placed, snapshot, workload

ALONE = Planning(gang_search=GangSearch(budget=0.0))


def gang(name: str, replicas: int, at: float, **more: object) -> Workload:
    """Replicas of one core; ``at`` says who comes first."""
    return workload(name, replicas, gang=Gang(), submitted_at_s=at, **more)


def cores(name: str, count: int) -> Cluster:
    return cluster(name, nodes=count, cpu=1)


def homes(federation: Snapshot, planning: Planning | None = None) -> dict[str, str]:
    made = plan(federation if planning is None else replace(federation, planning=planning))
    assert violations(federation, made) == ()
    return {one.workload: one.cluster for one in made.placements}


def test_a_small_gang_leaves_the_large_cluster_to_a_large_one() -> None:
    federation = snapshot([cores("a", 8), cores("b", 4)], [gang("small", 4, 1), gang("large", 8, 2)])
    assert homes(federation, ALONE) == {"small": "a"}, "in order of service the most room comes first"
    assert homes(federation) == {"small": "b", "large": "a"}


def test_four_gangs_fill_three_clusters_to_the_last_core() -> None:
    clusters = [cores("a", 10), cores("b", 7), cores("c", 5)]
    gangs = [gang(f"w{at}", size, at) for at, size in enumerate((5, 3, 4, 10))]
    assert homes(snapshot(clusters, gangs), ALONE) == {"w0": "a", "w1": "b", "w2": "a"}
    assert homes(snapshot(clusters, gangs)) == {"w0": "c", "w1": "b", "w2": "b", "w3": "a"}


def test_roles_are_placed_together() -> None:
    roles = (Role("launcher", 1, amounts(1)), Role("worker", 3, amounts(1)))
    federation = snapshot([cores("a", 8), cores("b", 4)], [gang("mpi", 0, 1, roles=roles), gang("large", 8, 2)])
    assert homes(federation) == {"mpi": "b", "large": "a"}


def test_the_first_keeps_its_place_though_two_others_would_fill_the_cluster_better() -> None:
    federation = snapshot([cores("a", 10)], [gang("old", 6, 1), gang("mid", 5, 2), gang("new", 5, 3)])
    assert homes(federation) == {"old": "a"}


TIERS = (Tier("near", ("a", "b")), Tier("far", ("c",)))


def test_nobody_is_sent_to_a_later_tier_to_make_room() -> None:
    """If first went far, second could start near; but first has a place near."""
    rules = (Policy("p", tiers=TIERS),)
    federation = snapshot(
        [cores("a", 8), cores("b", 2), cores("c", 6)], [gang("first", 6, 1), gang("second", 8, 2)], policies=rules
    )
    assert homes(federation) == {"first": "a"}


def test_a_gang_comes_to_an_earlier_tier_where_the_others_leave_room() -> None:
    rules = (Policy("p", tiers=TIERS),)
    federation = snapshot(
        [cores("a", 8), cores("b", 4), cores("c", 8)], [gang("first", 4, 1), gang("second", 8, 2)], policies=rules
    )
    assert homes(federation, ALONE) == {"first": "a", "second": "c"}
    assert homes(federation) == {"first": "b", "second": "a"}


def test_a_tier_takes_no_more_than_its_fill_to() -> None:
    """Half of sixteen cores: the second and third together would be more, and both have room far away."""
    tiers = (Tier("near", ("a", "b"), fill_to_ppm=500_000), Tier("far", ("c",)))
    federation = snapshot(
        [cores("a", 10), cores("b", 6), cores("c", 10)],
        [gang("first", 6, 1), gang("second", 9, 2), gang("third", 10, 3)],
        policies=(Policy("p", tiers=tiers),),
    )
    assert homes(federation) == homes(federation, ALONE)


def test_a_maximum_counts() -> None:
    rules = (Policy("p", bounds={"b": Bounds(maximum=3)}),)
    federation = snapshot([cores("a", 8), cores("b", 4)], [gang("small", 4, 1), gang("large", 8, 2)], policies=rules)
    assert homes(federation) == {"small": "a"}


def test_a_quota_of_a_cluster_counts() -> None:
    b = replace(cores("b", 4), limits=amounts(3))
    assert homes(snapshot([cores("a", 8), b], [gang("small", 4, 1), gang("large", 8, 2)])) == {"small": "a"}


@pytest.mark.parametrize("large", [{"priority": 1}, {"queue": "urgent"}])
def test_only_those_of_equal_priority_compete(large: dict[str, object]) -> None:
    """The urgent one is served first; the other takes what it leaves, as ever."""
    queues = (Queue("urgent", priority=1),)
    gangs = [gang("small", 4, 1), gang("large", 7, 2, **large), gang("last", 5, 3)]
    assert homes(snapshot([cores("a", 8), cores("b", 9)], gangs, queues=queues)) == {"large": "b", "small": "a"}


def test_behind_a_blocked_head_nobody_starts() -> None:
    federation = snapshot(
        [cores("a", 8), cores("b", 4)],
        [gang("first", 4, 1), gang("huge", 9, 2), gang("third", 8, 3)],
        planning=Planning(blocked_head="wait"),
    )
    assert homes(federation) == {"first": "a"}
    assert homes(federation, Planning()) == {"first": "b", "third": "a"}


@pytest.mark.parametrize("backfilling", ["easy", "conservative"])
def test_where_reservations_are_made_all_start_or_the_order_stands(backfilling: str) -> None:
    """The third would have a reservation; who is placed before it out of turn might delay it."""
    planning = Planning(backfilling=backfilling)
    gangs = [gang(name, size, at, duration_s=100.0) for at, (name, size) in enumerate((("small", 4), ("large", 8)))]
    both = snapshot([cores("a", 8), cores("b", 4)], gangs, planning=planning)
    assert homes(both) == {"small": "b", "large": "a"}
    three = replace(both, workloads=(*both.workloads, gang("third", 4, 9, duration_s=100.0)))
    assert homes(three) == homes(three, replace(planning, gang_search=GangSearch(budget=0.0)))


def test_what_runs_between_two_that_compete_stays_and_does_not_part_them() -> None:
    gangs = [gang("small", 4, 1), gang("runs", 2, 2), gang("large", 8, 3)]
    federation = snapshot([cores("a", 8), cores("b", 6)], gangs, held={("runs", "b"): 2})
    assert homes(federation) == {"small": "b", "runs": "b", "large": "a"}


def test_a_workload_that_is_no_gang_parts_those_that_compete() -> None:
    gangs = [gang("small", 4, 1), workload("single", 1, submitted_at_s=2.0), gang("large", 8, 3)]
    assert placed(plan(snapshot([cores("a", 8), cores("b", 4)], gangs)), "large") == {}


@pytest.mark.thorough
def test_the_solver_is_loaded_only_where_gangs_compete() -> None:
    code = (
        "import sys; from federator.engine.planner import plan\n"
        "from tests.engine.test_contest import cores, gang; from tests.engine.build import snapshot\n"
        "plan(snapshot([cores('a', 8), cores('b', 4)], [gang('w', 4, 1), gang('x', 4, 2), gang('y', 4, 3)]))\n"
        "assert 'ortools' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_quota_of_the_queue_counts_in_the_trial() -> None:
    """Both fit, but the queue may have ten cores: the second waits, and the first goes where it would anyhow."""
    queues = (Queue("default", quota=amounts(10)),)
    gangs = [gang("small", 4, 1), gang("large", 8, 2)]
    assert homes(snapshot([cores("a", 8), cores("b", 4)], gangs, queues=queues)) == {"small": "a"}


def test_what_a_trial_counted_for_quotas_is_given_back() -> None:
    """Twelve cores are just enough for both; a trial that kept what it took would leave nothing for the turn."""
    queues = (Queue("default", quota=amounts(12), cluster_quota={"*": amounts(12)}),)
    gangs = [gang("small", 4, 1), gang("large", 8, 2)]
    assert homes(snapshot([cores("a", 8), cores("b", 4)], gangs, queues=queues)) == {"small": "b", "large": "a"}


def test_the_fair_order_is_left_alone() -> None:
    federation = snapshot(
        [cores("a", 8), cores("b", 4)], [gang("small", 4, 1), gang("large", 8, 2)], planning=Planning(order="fair")
    )
    assert homes(federation) == {"small": "a"}
