"""Budgets of queues, of money and of CO2: what is spent, what runs, what is expected, and where work may still go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine.budgets import Budgets, _cost, _first
from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.budget import Budget, Cost, Spent
from federator.model.cluster import Cluster
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import FlavorChoice, FlavorOrder, Policy, Queue, Tier
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload

DAY = 86400.0
UNIT = 1_000_000


def priced(name: str, price: float, nodes: int = 10, **more: Any) -> Cluster:
    """A cluster on which a core costs so much for an hour."""
    return cluster(name, nodes=nodes, price={"cpu": price * UNIT}, **more)


CHEAP, DEAR = priced("cheap", 1), priced("dear", 4)


def an_hour(name: str, replicas: int, **more: Any) -> Workload:
    """Replicas of one core that run for an hour."""
    return workload(name, replicas, queue="q", duration_s=3600.0, **more)


def federation(members: list[Cluster], served: list[Workload], money: float, **more: Any) -> Snapshot:
    queue = Queue("q", budget=Budget(30 * DAY, int(money * UNIT)))
    return snapshot(members, served, queues=(queue,), **more)


def legal(one: Snapshot) -> Plan:
    """The plan, which the checks find nothing wrong with."""
    made = plan(one)
    assert violations(one, made) == ()
    return made


def message(made: Plan, on: str) -> str:
    return made.refusals[0].reasons[on].message


def test_no_more_starts_than_the_budget_pays_for() -> None:
    made = legal(federation([CHEAP], [an_hour("w", 9)], 5.5))
    assert placed(made, "w") == {"cheap": 5}
    expected = "the budget of queue q leaves 0.5 of money in its period of 30d; it is expected to cost 1 here"
    assert message(made, "cheap") == expected


def test_where_it_would_cost_too_much_the_cheaper_clusters_take_it() -> None:
    even = Policy("p", tiers=(Tier("t", weights={"*": 1}),))
    expected = {50: {"cheap": 10, "dear": 10}, 30: {"cheap": 17, "dear": 3}, 20: {"cheap": 20}}
    for money, there in expected.items():
        made = legal(federation([CHEAP, DEAR], [an_hour("w", 20)], money, policies=[even]))
        assert placed(made, "w") == there


def test_a_dear_cluster_is_refused_while_cheaper_ones_stay_open() -> None:
    made = legal(federation([priced("cheap", 1, nodes=1), DEAR], [an_hour("w", 20)], 18))
    assert placed(made, "w") == {"cheap": 8, "dear": 2}
    assert reasons(made, "w") == {"cheap": "NoRoom", "dear": "OverBudget"}
    dear_first = [Policy("p", tiers=(Tier("a", ("dear",)), Tier("b")))]
    assert placed(legal(federation([DEAR, CHEAP], [an_hour("w", 20)], 3, policies=dear_first)), "w") == {"cheap": 3}


def test_what_costs_nothing_may_start_when_the_budget_is_spent() -> None:
    made = legal(federation([CHEAP, cluster("own")], [an_hour("w", 9)], 0))
    assert placed(made, "w") == {"own": 8}
    assert reasons(made, "w") == {"cheap": "OverBudget", "own": "NoRoom"}


def test_what_was_spent_counts_and_so_does_what_runs_has_still_to_cost() -> None:
    """4 of 10 are spent; two replicas run for half an hour and have still 1 to cost; 5 are left."""
    one = federation([CHEAP], [an_hour("runs", 2), an_hour("w", 9)], 10, spent=(Spent("q", Cost(4 * UNIT)),))
    made = legal(replace(one, holdings=(Holding("runs", "", "cheap", 2, age_s=1800.0),)))
    assert placed(made, "w") == {"cheap": 5}


def test_work_of_unknown_length_is_expected_to_run_as_long_as_planning_says() -> None:
    endless = workload("w", 9, queue="q")
    assert placed(legal(federation([CHEAP], [endless], 50)), "w") == {"cheap": 2}


def test_workloads_of_one_queue_spend_together_and_others_do_not() -> None:
    served = [an_hour("a", 4), an_hour("b", 4), replace(an_hour("c", 4), queue="other")]
    made = legal(federation([CHEAP], served, 6))
    assert [placed(made, name) for name in "abc"] == [{"cheap": 4}, {"cheap": 2}, {"cheap": 4}]


def test_co2_has_a_budget_of_its_own() -> None:
    """100 W for an hour at 300 g/kWh are 30 g; hydro is ten times as clean."""
    power = {"cpu": 100.0}
    clean, dirty = (cluster(name, 10, carbon_g_per_kwh=g, power_w=power) for name, g in (("clean", 30), ("dirty", 300)))
    queue = Queue("q", budget=Budget(DAY, None, 200_000))
    made = legal(snapshot([clean, dirty], [an_hour("w", 40)], queues=(queue,)))
    assert placed(made, "w") == {"clean": 38, "dirty": 2}, "38 * 3 + 2 * 30 = 174, one more at dirty would be 201"


def test_both_budgets_hold_together() -> None:
    dirty = priced("dirty", 1, carbon_g_per_kwh=300, power_w={"cpu": 100.0})
    queue = Queue("q", budget=Budget(DAY, 20 * UNIT, 100_000))
    made = legal(snapshot([dirty, DEAR], [an_hour("w", 40)], queues=(queue,)))
    assert placed(made, "w") == {"dear": 4, "dirty": 3}


def test_a_gang_is_paid_for_whole_or_goes_elsewhere() -> None:
    gang = an_hour("w", 6, gang=Gang())
    tiers = [Policy("p", tiers=(Tier("a", ("dear",)), Tier("b")))]
    assert placed(legal(federation([CHEAP, DEAR], [gang], 10, policies=tiers)), "w") == {"cheap": 6}
    made = legal(federation([CHEAP, DEAR], [gang], 5))
    assert reasons(made, "w") == {"cheap": "OverBudget", "dear": "OverBudget"}
    assert "leaves 5 of money in its period of 30d; it is expected to cost 24 here" in message(made, "dear")


def test_roles_of_a_gang_over_several_clusters_are_paid_for_together() -> None:
    roles = tuple(Role(name, 3, amounts(1)) for name in ("x", "y"))
    gang = workload("w", 0, roles=roles, queue="q", duration_s=3600.0, gang=Gang("federation"))
    assert legal(federation([CHEAP], [gang], 5)).placements == ()
    assert legal(federation([CHEAP], [gang], 6)).refusals == ()


def test_the_price_is_that_of_the_nodes_that_are_used_first() -> None:
    flavors = (replace(flavor("fast", 5, amounts(8, 8)), price={"cpu": 5.0 * UNIT}), flavor("slow", 5, amounts(8, 8)))
    member = Cluster("c", flavors=flavors, price={"cpu": 1.0 * UNIT})
    for first, count in (("slow", 20), ("fast", 4)):
        rule = Policy("p", flavors=FlavorOrder((FlavorChoice((first,)),)))
        assert placed(legal(federation([member], [an_hour("w", 30)], 20, policies=[rule])), "w") == {"c": count}


def test_alike_work_that_runs_for_less_is_not_refused_with_the_other() -> None:
    long = replace(an_hour("a", 1), duration_s=7200.0)
    made = legal(federation([CHEAP], [long, an_hour("b", 1)], 1))
    assert (placed(made, "a"), placed(made, "b")) == ({}, {"cheap": 1})


def test_what_would_let_it_start_is_told() -> None:
    made = plan(federation([CHEAP], [an_hour("w", 9)], 5.5), explain=["w"])
    assert made.explanations["w"].cures == ("3.5 more money in the budget of queue q",)


@given(st.integers(0, 2**40), st.floats(0, 100 * 366 * DAY))
def test_costs_are_never_too_low_and_fit_64_bits(rate: int, duration_s: float) -> None:
    cost = int(_cost(np.array([rate]), duration_s)[0])
    assert cost >= 0
    if duration_s < 2**22:
        assert cost * 3600 >= rate * int(duration_s)
    else:
        assert cost * 60 >= rate * min(int(duration_s) // 60, 2**22)


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_the_first_number_for_which_it_holds_is_found(high: int, answer: int) -> None:
    assert _first(0, high, lambda one: one >= answer) == min(high, max(1, answer))


def test_a_planner_that_forgets_what_it_has_spent_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: the same money is spent twice in one plan."""
    one = federation([CHEAP], [an_hour("a", 3), an_hour("b", 3)], 4)
    legal(one)
    monkeypatch.setattr(Budgets, "take", lambda *_: None)
    assert any("starts anew costs 6 of money, 4 are left" in sentence for sentence in violations(one, plan(one)))


def test_a_planner_that_looks_at_each_cluster_by_itself_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: each cluster stays within the budget, all of them together do not."""
    one = federation([CHEAP, DEAR], [an_hour("w", 20)], 18)
    legal(one)
    monkeypatch.setattr(Budgets, "within", lambda self, turn, fill: fill())
    assert any("of money, 18 are left" in sentence for sentence in violations(one, plan(one)))


def test_a_budget_that_is_blamed_though_it_pays_for_more_is_seen() -> None:
    one = federation([priced("cheap", 1, nodes=1)], [an_hour("w", 9)], 50)
    made = legal(one)
    facts = {"queue": "q", "what": "money", "period": "30d", "left": "0", "needed": "1"}
    lie = replace(made.refusals[0], reasons={"cheap": Verdict(Reason.OVER_BUDGET, facts)})
    assert any("pays for more" in sentence for sentence in violations(one, replace(made, refusals=(lie,))))
