"""The least that was free lately: what a filler with ``idleFor`` may count on."""

from __future__ import annotations

from federator.engine.least_free import LeastFree
from federator.engine.planner import plan
from federator.model.resources import Resources
from federator.model.workload import Workload
from tests.engine.build import cluster, snapshot, workload
from tests.engine.test_fillers import filler

MINUTES_5 = 300.0


def cores(free: Resources) -> int:
    return free["cpu"] // 1000


def test_what_was_used_counts_until_it_has_been_free_for_all_of_the_time() -> None:
    least = LeastFree(MINUTES_5)
    told = [(0.0, 8), (100.0, 2), (900.0, 8), (1100.0, 6), (1199.0, 6), (1200.0, 6), (5000.0, 7)]
    seen = [cores(least.see(at_s, Resources.of({"cpu": 1000 * free}))) for at_s, free in told]
    assert seen == [8, 2, 2, 2, 2, 6, 6], "two cores were free until 900 s, so they are the least until 1,200 s"


def test_it_tells_when_time_alone_will_change_it() -> None:
    least = LeastFree(MINUTES_5)
    least.see(0.0, Resources.of({"cpu": 1000}))
    assert least.rises_s == float("inf")
    least.see(50.0, Resources.of({"cpu": 4000}))
    assert least.rises_s == 350.0
    assert cores(least.see(350.0, Resources.of({"cpu": 4000}))) == 4


def test_what_is_not_named_any_more_is_used_up() -> None:
    least = LeastFree(MINUTES_5)
    least.see(0.0, Resources.of({"cpu": 4000}))
    assert cores(least.see(1.0, Resources())) == 0


def filled(least: int | None, production: Workload | None = None, **more: object) -> int:
    """How much of a filler runs on eight free cores, of which so many were free all the while."""
    idle = {} if least is None else {MINUTES_5: Resources.of({"cpu": 1000 * least})}
    member = cluster("a", cpu=8, idle=idle)
    one = filler(idle_for_s=MINUTES_5, **more)
    (found,) = plan(snapshot([member], [production] if production else [], fillers=[one])).backfill
    return found.replicas.get("a", 0)


def test_what_others_used_lately_stays_free_up_to_the_bound() -> None:
    assert filled(None) == 8, "nothing is known of before"
    assert filled(8) == 8
    assert filled(3) == 3
    assert filled(3, idle_at_most=250_000) == 6
    assert filled(3, idle_at_most=250_000, keep_free={"*": {"*": 500_000}}) == 4


def test_production_takes_first_what_was_in_use_a_while_ago() -> None:
    assert filled(3, workload("w", 4, 1)) == 3
    assert filled(3, workload("w", 6, 1)) == 2


def test_it_tells_until_when_the_least_was_free() -> None:
    least = LeastFree(MINUTES_5)
    assert least.was_s("cpu") is None
    for at_s, free in ((0.0, 8), (100.0, 2), (200.0, 6), (300.0, 4)):
        least.see(at_s, Resources.of({"cpu": 1000 * free}))
    assert least.was_s("cpu") == 200.0
