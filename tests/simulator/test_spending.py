"""Budgets run on in a simulation, by the rule of the daemon."""

from __future__ import annotations

from dataclasses import replace

from federator.model.budget import Budget
from federator.model.cluster import Cluster, Flavor
from federator.model.plan import Snapshot
from federator.model.policy import Planning, Queue
from federator.model.resources import CPU
from federator.model.workload import Gang
from federator.simulator.run import simulate
from federator.simulator.story import Fault
from tests.engine.build import amounts, cluster
from tests.simulator.stories import arrival, story, told

HOUR_S = 3600.0


def _priced(price: float = 36.0) -> Cluster:
    """Four cores at so much an hour each: at 36 it is one for each 100 s."""
    return replace(cluster("cloud", nodes=1, cpu=4), price={CPU: round(price * 1e6)})


def _poor(money: float, period_s: float = HOUR_S) -> tuple[Queue, ...]:
    return (Queue("students", budget=Budget(period_s, money_micro=round(money * 1e6))),)


def test_a_budget_that_is_spent_keeps_work_waiting_until_its_next_period() -> None:
    """Each workload costs 4. Of a budget of 10 an hour there is enough for two; the third starts with the next hour,
    although the cluster stands idle since 600 s."""
    arrivals = [arrival(f"w{at}", at * 200.0, 100, 4, queue="students", gang=Gang()) for at in range(3)]
    run = simulate(story([_priced()], arrivals, Planning(), queues=_poor(10)))
    assert [told(run, f"w{at}").started_s for at in range(3)] == [0, 200, HOUR_S]
    assert sum(run.measures.cost.values()) == 12
    rich = simulate(story([_priced()], arrivals, Planning(), queues=_poor(12)))
    assert told(rich, "w2").started_s == 400, "the budget stopped nothing, so this test shows nothing"


def test_what_was_spent_is_what_really_ran_not_what_was_expected() -> None:
    """Users expect ten times what it takes: of a budget of 10 what is left when the first has ended is 6, not none."""
    arrivals = [arrival(f"w{at}", at * 200.0, 100, 1, queue="students", duration_s=600.0) for at in range(3)]
    seen: list[float] = []

    def watch(snapshot: Snapshot, _: object) -> None:
        seen.extend(one.cost.money_micro / 1e6 for one in snapshot.spent)

    run = simulate(story([_priced()], arrivals, Planning(), queues=_poor(10)), watch=watch, skips=False)
    assert [told(run, f"w{at}").started_s for at in range(3)] == [0, 200, 400]
    assert seen == sorted(seen)
    assert seen[-1] == 3


def test_a_run_ends_though_work_waits_for_money_that_never_comes() -> None:
    dear = arrival("dear", 10, 500, 4, queue="students", gang=Gang())
    run = simulate(story([_priced()], [dear], Planning(), queues=_poor(10)))
    assert (run.waiting, told(run, "dear").started_s) == (1, None)
    assert run.ended_s <= 2 * HOUR_S


def test_nodes_that_boot_first_cost_as_much_as_those_that_are_there() -> None:
    """Each workload costs 12, all that the budget has for a period. While its nodes boot it waits for them, then it
    runs and is paid for: no more starts."""
    whole = amounts(4)
    grows = Flavor("vm", 0, whole, (), max_count=10, boot_time_s=1.0)
    cloud = replace(_priced(), flavors=(grows,))
    coming = [arrival(f"w{at}", at * 20.0, 300, 4, queue="students") for at in range(20)]
    run = simulate(story([cloud], coming, Planning(), queues=_poor(12, 1000.0), lasts_s=3999.0))
    assert round(sum(run.measures.cost.values()), 6) == 4 * 12
    assert sum(one.started_s is not None for one in run.measures.workloads) >= 4


def test_two_copies_in_an_outage_cost_twice() -> None:
    """Two of four replicas run in the north, which is silent from 50 s on; at 150 s they are placed in the south too.
    Until then four are paid, then the two that were always in the south to their end at 400 s, and the copies."""
    north, south = replace(_priced(), name="north"), replace(_priced(), name="south")
    one = story(
        [north, south], [arrival("w", 0, 400, 4, queue="students")], Planning(outage_grace_s=100.0),
        queues=_poor(100), faults=(Fault("north", 50.0, None),), lasts_s=2000.0,
    )  # fmt: skip
    spent: list[tuple[float, float]] = []

    def watch(snapshot: Snapshot, _: object) -> None:
        spent.extend((snapshot.at_s, item.cost.money_micro / 1e6) for item in snapshot.spent)

    run = simulate(one, watch=watch, skips=False)
    assert run.measures.use["south"][CPU] > 0, "nothing was placed again, so this test shows nothing"
    assert spent[-1][0] == told(run, "w").ended_s
    assert spent[-1][1] == (4 * 150 + 2 * 250 + 2 * 400) / 100
