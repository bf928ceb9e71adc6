"""Backfill in simulated time: it fills what is idle, gives way at once, and keeps what it has saved."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from federator.model.backfill import Filler
from federator.model.cluster import Cluster
from federator.model.plan import Plan, Snapshot
from federator.model.workload import Workload
from federator.simulator.answer import run_document
from federator.simulator.run import Run, simulate
from federator.simulator.story import Arrival, Story
from tests.engine.build import cluster, snapshot, workload


def filler(run_s: float, every_s: float | None = None, grace_s: float = 30.0, cpu: float = 1, **more: Any) -> Filler:
    work = workload(
        "backfill-f", more.pop("replicas", 1_000_000), cpu, needs=frozenset({"backfill"}), backfill=True,
        duration_s=run_s, checkpoint_every_s=every_s,
    )  # fmt: skip
    return Filler(work, grace_s=grace_s, **{"most_lost": 1_000_000, **more})


def story(members: list[Cluster], fillers: list[Filler], *arrivals: Arrival, lasts_s: float | None = 3600.0) -> Story:
    return Story(snapshot(members, [], fillers=fillers), lambda: iter(arrivals), lasts_s=lasts_s)


def arrival(at_s: float, run_s: float, replicas: int, cpu: float = 1, name: str = "w") -> Arrival:
    one: Workload = workload(name, replicas, cpu, submitted_at_s=at_s, duration_s=run_s)
    return Arrival(at_s, one, run_s)


def test_an_idle_cluster_is_filled_and_all_of_it_is_useful() -> None:
    figures = run_document(simulate(story([cluster("a", cpu=8)], [filler(600.0)])))
    assert figures["utilization"]["a"]["cpu"] == 1.0
    assert figures["backfill"] == {"cpu_s_useful": 8 * 3600.0, "cpu_s_lost": 0.0, "evictions": 0}
    assert figures["jobs"]["submitted"] == 0, "a filler is no job"


def test_production_on_a_full_cluster_starts_after_the_grace_and_costs_what_was_not_saved() -> None:
    """8 cores full of hour-long tasks with checkpoints every 10 minutes; after 25 minutes 3 cores are needed for 5.
    Three tasks lose 5 minutes each, and go on from their 20th when there is room again."""
    told = story([cluster("a", cpu=8)], [filler(3600.0, 600.0)], arrival(1500.0, 300.0, 3))
    run = simulate(told)
    (job,) = run.measures.workloads
    assert job.started_s == 1530.0
    assert job.ended_s == 1830.0
    figures = run_document(run)["backfill"]
    assert figures["evictions"] == 3
    assert figures["cpu_s_lost"] == 3 * 300.0
    assert figures["cpu_s_useful"] == 8 * 3600.0 - 3 * (1830.0 - 1500.0) - 3 * 300.0


def test_what_production_comes_for_again_and_again_is_left_to_it() -> None:
    """Three of eight cores are wanted for two minutes in every ten: soon it finds them free."""
    waves = [arrival(330.0 + at * 600.0, 120.0, 3, name=f"w{at}") for at in range(12)]
    every = [filler(3600.0, 600.0, most_lost=most) for most in (1_000_000, 1000)]
    fills, heeds = (simulate(story([cluster("a", cpu=8)], [one], *waves, lasts_s=7200.0)) for one in every)
    assert fills.measures.evictions == 36
    assert heeds.measures.evictions == 6
    assert [one.wait_s for one in heeds.measures.workloads] == [30.0] * 2 + [0.0] * 10
    assert sum(heeds.measures.backfill_lost_s.values()) < sum(fills.measures.backfill_lost_s.values()) / 5


def test_production_that_finds_room_beside_backfill_evicts_nothing() -> None:
    keeps = filler(3600.0, keep_free={"*": {"*": 250_000}})
    run = simulate(story([cluster("a", cpu=8)], [keeps], arrival(100.0, 300.0, 2)))
    assert run.measures.evictions == 0
    assert run.measures.workloads[0].started_s == 100.0


def test_what_gave_way_is_what_loses_least() -> None:
    """Half the tasks began 5 minutes later: after 12 minutes they would lose 7 minutes, the others 2."""
    small = replace(filler(7200.0, 600.0), max_share=500_000)
    late = replace(small, workload=replace(small.workload, name="backfill-g"))
    early = story([cluster("a", cpu=8)], [small, late], arrival(0.0, 300.0, 4, name="first"), arrival(720.0, 60.0, 4))
    run = simulate(early)
    assert run.measures.evictions == 4
    assert sum(run.measures.backfill_lost_s.values()) == 4 * 120.0


def test_production_is_bound_to_the_node_where_backfill_loses_least() -> None:
    """Four nodes are filled, one of them ten minutes after the others, when what had all of it has ended: it saves at
    other times. All that comes when it has just saved goes there, though by habit it would be spread."""
    small = filler(7200.0, 900.0)
    keeps, comes = arrival(0.0, 600.0, 1, cpu=4, name="first"), arrival(1560.0, 60.0, 4)
    run = simulate(story([cluster("a", nodes=4, cpu=4)], [small], keeps, comes))
    assert run.measures.evictions == 4
    assert sum(run.measures.backfill_lost_s.values()) == 4 * 60.0


def test_a_finite_bag_is_done_once_however_often_it_gave_way() -> None:
    """20 tasks of 10 minutes on 4 cores, driven out every 7 minutes: each counts once, and their work adds up."""
    waves = [arrival(at * 420.0, 30.0, 4, name=f"w{at}") for at in range(1, 20)]
    run = simulate(story([cluster("a", cpu=4)], [filler(600.0, 60.0, replicas=20)], *waves, lasts_s=9000.0))
    assert run.measures.evictions > 0
    assert sum(run.measures.backfill_useful_s.values()) == pytest.approx(20 * 600.0)


@pytest.mark.thorough
def test_production_waits_no_longer_than_the_grace_for_backfill() -> None:
    """Guarantee 6 in simulation: the same work with and without backfill, start by start."""
    jobs = [arrival(37.0 * at, 100.0 + 13 * at % 400, 1 + at % 5, cpu=1 + at % 2, name=f"w{at:02}") for at in range(40)]
    members = [cluster("a", nodes=2, cpu=4), cluster("b", cpu=8)]
    alone = simulate(story(members, [], *jobs, lasts_s=None))
    beside = simulate(story(members, [filler(900.0, 300.0, grace_s=20.0)], *jobs, lasts_s=None))
    assert beside.measures.evictions > 10, "nothing gave way, so this test shows nothing"
    waited = {one.name: one.wait_s for one in alone.measures.workloads}
    first = [one for one in beside.measures.workloads if one.submitted_s < 200.0]
    assert all(one.wait_s <= waited[one.name] + 20.0 for one in first)


def test_a_run_with_backfill_is_told_alike_each_time() -> None:
    seen: list[tuple[Snapshot, Plan]] = []
    jobs = [arrival(50.0 * at, 300.0, 3, name=f"w{at}") for at in range(10)]
    told = story([cluster("a", cpu=8)], [filler(700.0, 100.0)], *jobs)
    first, second = (run_document(simulate(told, watch=lambda *one: seen.append(one))) for _ in range(2))
    assert {**first, "engine": None} == {**second, "engine": None}


def test_a_filler_that_saves_when_it_is_told_to_end_loses_nothing_and_makes_room_sooner() -> None:
    told = story([cluster("a", cpu=8)], [filler(3600.0, 600.0, stops_s=5.0)], arrival(1500.0, 300.0, 3))
    run = simulate(told)
    assert run.measures.workloads[0].started_s == 1505.0
    assert sum(run.measures.backfill_lost_s.values()) == 0.0
    assert sum(run.measures.backfill_useful_s.values()) == 8 * 3600.0 - 3 * 305.0


def test_what_production_used_within_the_time_is_left_to_it() -> None:
    """Four cores are used until 600 s. Work that comes two minutes later finds them free; five minutes after the last
    use they are filled, by time alone, and what comes then waits for the grace."""
    idle = filler(3600.0, 600.0, idle_for_s=300.0)
    waves = [arrival(0.0, 600.0, 4, name="a"), arrival(720.0, 60.0, 4, name="b"), arrival(1200.0, 60.0, 4, name="c")]
    run = simulate(story([cluster("a", cpu=8)], [idle], *waves))
    assert [one.wait_s for one in run.measures.workloads] == [0.0, 0.0, 30.0]
    assert run.measures.evictions == 4
    useful_s = sum(run.measures.backfill_useful_s.values()) + sum(run.measures.backfill_lost_s.values())
    assert useful_s == 4 * 3600.0 + 4 * (1200.0 - 1080.0) + 4 * (3600.0 - 1590.0)


DAY_S = 86_400.0


def days(count: int, seed: int) -> list[Arrival]:
    """Every two hours from 8 to 16 o'clock, or some minutes later, a third of 64 cores is wanted for half an hour."""
    random, coming = Random(seed), []
    for day in range(count):
        for hour in range(8, 18, 2):
            at_s, run_s = day * DAY_S + hour * 3600.0 + random.uniform(0.0, 1200.0), random.uniform(1200.0, 2400.0)
            coming.append(arrival(at_s, run_s, random.randint(16, 24), name=f"day{day}-{hour:02}"))
    return coming


def lost_by_day(run: Run, count: int) -> list[float]:
    """Core-hours of backfill that were lost on each day."""
    history, lost = run.measures.history, [0.0] * count
    means = history.means("backfill lost", "a", run.ended_s).tolist()
    for start_s, cores in zip(history.starts_s(run.ended_s).tolist(), means, strict=True):
        lost[min(count - 1, int((start_s + history.span_s / 2) // DAY_S))] += cores * history.span_s / 3600.0
    return lost


@pytest.mark.thorough
def test_what_the_day_brings_is_learnt_and_costs_less_on_the_days_that_follow() -> None:
    """Tasks of two and a half hours that save every hour. Of the first day whoever heeds what it learns knows the last
    hours only, and that is much; then also when the first production of the day comes. Days differ by chance, so those
    of three seeds are taken together."""

    def lost(seed: int, most_lost: int) -> list[float]:
        told = story(
            [cluster("a", nodes=16, cpu=4)], [filler(9000.0, 3600.0, most_lost=most_lost)], *days(3, seed),
            lasts_s=3 * DAY_S,
        )  # fmt: skip
        return lost_by_day(simulate(told), 3)

    first, second, third = map(sum, zip(*(lost(seed, 20_000) for seed in (1, 2, 3)), strict=True))
    assert (second + third) / 2 < 0.85 * first
    assert sum(lost(1, 20_000)) < 0.6 * sum(lost(1, 1_000_000))
