"""``order: fit``: among equals nobody is first, and more of what is free is put to use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federator.engine.arrays import Array
from federator.engine.checks import violations
from federator.engine.foresight import Numbers
from federator.engine.matching import length_of, match, most_alike
from federator.engine.open_service import OpenService
from federator.engine.planner import plan
from federator.model.plan import Snapshot
from federator.model.policy import Planning, Policy, Queue, Tier
from tests.engine.build import cluster, placed, snapshot, workload

AHEAD = Policy("ahead", tiers=(Tier("all", weight_by="foresight"),))
FIT = Planning(order="fit")
NOWHERE_UNKNOWN = np.zeros(2, dtype=np.bool_)


def one_cluster(planning: Planning = FIT, **more: object) -> Snapshot:
    """16 cores and 64 GiB; who comes first asks for cores alone, who comes second for the memory."""
    lean = workload("lean", 16, 1, 1, submitted_at_s=1.0)
    rich = workload("rich", 8, 1, 7, submitted_at_s=2.0)
    return snapshot([cluster("c", 1, 16, 64)], [lean, rich], policies=(AHEAD,), planning=planning, **more)


def test_who_comes_first_does_not_use_up_the_cores_while_memory_is_left() -> None:
    made = plan(one_cluster())
    assert violations(one_cluster(), made) == ()
    assert placed(made, "rich") == {"c": 8}
    assert placed(made, "lean") == {"c": 8}


def test_first_come_first_served_would_leave_the_memory_idle() -> None:
    """Else the test above would show nothing."""
    made = plan(one_cluster(Planning()))
    assert placed(made, "lean") == {"c": 16}
    assert placed(made, "rich") == {}


def test_what_is_urgent_has_all_it_wants_before_others_are_matched() -> None:
    crowd = one_cluster()
    lean, rich = crowd.workloads
    made = plan(replace(crowd, workloads=(replace(lean, priority=1), rich)))
    assert placed(made, "lean") == {"c": 16}
    queues = (Queue("urgent", priority=1), Queue("other"))
    lines = (replace(lean, queue="urgent"), replace(rich, queue="other"))
    assert placed(plan(replace(crowd, workloads=lines, queues=queues)), "lean") == {"c": 16}


def test_nothing_waits_for_what_there_is_room_for() -> None:
    """What was not matched gets what the others left at the second turn."""
    made = plan(replace(one_cluster(), workloads=(workload("lean", 30, 1, 1),)))
    assert placed(made, "lean") == {"c": 16}
    assert [refusal.replicas for refusal in made.refusals] == [14]


def side_by_side() -> Snapshot:
    """Three large ones are matched with six cores, of which nodes have room for two of them, and four small ones with
    the other cluster, where the third large one would find room as well."""
    members = [cluster("lean", 2, 3, 2), cluster("rich", 1, 2, 8)]
    large, small = workload("large", 3, 2, 1, submitted_at_s=1.0), workload("small", 4, 0.5, 2, submitted_at_s=2.0)
    return snapshot(members, [large, small], policies=(AHEAD,), planning=FIT)


def test_nobody_takes_the_room_that_another_was_matched_with() -> None:
    made = plan(side_by_side())
    assert placed(made, "large") == {"lean": 2}
    assert placed(made, "small") == {"rich": 4}


def test_who_took_all_that_he_was_matched_with_anywhere_would_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: nodes are not asked."""
    monkeypatch.setattr(OpenService, "_portion", lambda self, server, workload, share: share.matched)
    made = plan(side_by_side())
    assert placed(made, "large") == {"lean": 2, "rich": 1}
    assert placed(made, "small") == {}


def test_a_workload_starts_with_its_min_replicas_or_not_at_all() -> None:
    crowd = one_cluster()
    lean, rich = crowd.workloads
    enough = plan(replace(crowd, workloads=(replace(lean, min_replicas=8), rich)))
    assert placed(enough, "lean") == {"c": 8}
    too_many = plan(replace(crowd, workloads=(replace(lean, min_replicas=12), rich)))
    assert placed(too_many, "lean") == {}
    assert placed(too_many, "rich") == {"c": 8}
    alone = plan(replace(crowd, workloads=(replace(lean, min_replicas=12), replace(rich, priority=-1))))
    assert placed(alone, "lean") == {"c": 16}


def test_what_runs_stays_and_grows_by_what_fits() -> None:
    crowd = one_cluster(held={("lean", "c"): 4})
    made = plan(crowd)
    assert violations(crowd, made) == ()
    assert placed(made, "lean")["c"] >= 4
    assert placed(made, "rich") == {"c": 8}


def test_who_is_divided_otherwise_is_served_the_largest_first() -> None:
    by_room = Policy("room", tiers=(Tier("all"),))
    small, large = workload("small", 16, 1, submitted_at_s=1.0), workload("large", 2, 8, submitted_at_s=2.0)
    crowd = snapshot([cluster("c", 1, 16, 64)], [small, large], policies=(by_room,), planning=FIT)
    made = plan(crowd)
    assert placed(made, "large") == {"c": 2}
    assert placed(made, "small") == {}


def test_the_order_of_the_lists_changes_nothing() -> None:
    crowd = one_cluster()
    assert plan(replace(crowd, workloads=crowd.workloads[::-1])) == plan(crowd)


# The loop


def alike(asks: Numbers, free: Numbers, room: int = 100) -> tuple[int, float]:
    clusters = len(free)
    may: Array = np.ones(clusters, dtype=np.int64)
    lengths = np.array([length_of(each, np.ones(2)) for each in free])
    return most_alike(asks, may, may * room, may * 0, free, np.ones(2), lengths, NOWHERE_UNKNOWN)


def test_the_most_alike_is_by_direction_not_by_size() -> None:
    free = np.array([[100.0, 10.0], [4.0, 4.0]])
    assert alike(np.array([1.0, 1.0]), free) == (1, 1.0)
    assert alike(np.array([2.0, 0.2]), free)[0] == 0
    assert alike(np.array([5.0, 5.0]), free)[0] == 0  # the other has no room for one
    assert alike(np.array([1.0, 1.0]), free, room=0) == (-1, 0.0)


def test_matching_promises_no_more_than_there_is() -> None:
    random = np.random.default_rng(7)
    asks = random.integers(1, 9, (30, 3)).astype(np.float64)
    free = random.integers(20, 200, (5, 3)).astype(np.float64)
    may = random.integers(0, 2, (30, 5))
    most, wanted = np.full((30, 5), 6), np.full(30, 20)
    squares = free.sum(axis=0) ** -2.0
    aims = match(
        asks, may, most, wanted.copy(), np.full(30, 2), free.copy(), squares, np.zeros(5, dtype=np.bool_)
    )  # fmt: skip
    assert aims.sum() > 0
    assert (aims.sum(axis=1) <= wanted).all()
    assert (aims <= most * may).all()
    assert (aims.T @ asks <= free).all()
