"""The planner in simulated time, compared with a naive simulator, job by job; and plans left out, with plans made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.model.cluster import Binding
from federator.simulator.run import simulate
from tests.engine.build import cluster
from tests.simulator.oracle import ORDERS, Job, starts
from tests.simulator.stories import PLAIN, arrival, batch, journal, story

PROCESSORS = 8


@st.composite
def jobs(draw: st.DrawFn, most: int = 12) -> list[Job]:
    """Jobs of whole seconds, so that many things happen at one moment; users expect too much, or too little."""
    times = st.integers(0, 20)
    found = []
    for number in range(draw(st.integers(1, most))):
        run_s, expected_s = float(draw(times)), float(draw(st.integers(1, 30)))
        found.append(Job(number, float(draw(times)), run_s, expected_s, draw(st.integers(1, PROCESSORS))))
    return found


def _compare(drawn: list[Job], order: str, backfilling: str, nodes: int, blocked_head: str) -> None:
    """``easy`` takes the place of the head's rule, so a head does not stay under it."""
    stay = blocked_head == "stay" and backfilling != "easy"
    planning = replace(PLAIN, order=order, backfilling=backfilling, blocked_head="stay" if stay else "wait")
    pool = cluster("pool", nodes=nodes, cpu=PROCESSORS // nodes, binding=Binding.PACK)
    run = simulate(story([pool], batch(drawn), planning))
    expected = starts(drawn, PROCESSORS, order, backfilling, stay=stay)
    assert {int(one.name[1:]): one.started_s for one in run.measures.workloads} == expected


@pytest.mark.parametrize("backfilling", ["none", "easy", "once"])
@pytest.mark.parametrize("order", sorted(ORDERS))
@settings(max_examples=8, deadline=None)
@given(jobs(), st.sampled_from([1, 8]), st.sampled_from(["wait", "stay"]))
def test_every_job_starts_when_a_naive_simulator_starts_it(
    order: str, backfilling: str, drawn: list[Job], nodes: int, blocked_head: str
) -> None:
    _compare(drawn, order, backfilling, nodes, blocked_head)


@pytest.mark.thorough
@pytest.mark.parametrize("backfilling", ["none", "easy", "once"])
@pytest.mark.parametrize("order", sorted(ORDERS))
@settings(max_examples=20, deadline=None)
@given(jobs(most=24), st.sampled_from([1, 2, 8]), st.sampled_from(["wait", "stay"]))
def test_of_many_jobs_every_one_starts_when_a_naive_simulator_starts_it(
    order: str, backfilling: str, drawn: list[Job], nodes: int, blocked_head: str
) -> None:
    _compare(drawn, order, backfilling, nodes, blocked_head)


@settings(max_examples=10, deadline=None)
@given(
    jobs(),
    st.sampled_from(["pass", "wait", "stay"]),
    st.sampled_from(["none", "easy", "conservative", "once"]),
    st.booleans(),
)
@pytest.mark.thorough
def test_leaving_out_needless_plans_changes_nothing(
    drawn: list[Job], blocked_head: str, backfilling: str, together: bool
) -> None:
    """Two clusters of unlike nodes, gangs and loose replicas, two queues: told with and without all plans."""
    planning = replace(PLAIN, blocked_head=blocked_head, backfilling=backfilling)
    sites = [cluster("north", nodes=2, cpu=3), cluster("south", nodes=1, cpu=4, binding=Binding.PACK)]
    loose = [
        arrival(f"j{one.number:04}", one.submit_s, one.run_s, one.processors, queue=f"q{one.number % 2}")
        for one in sorted(drawn, key=lambda one: one.submit_s)
    ]
    # A gang that no cluster can ever hold waits for ever: until then.
    one = story(sites, batch(drawn) if together else loose, planning, lasts_s=500.0)
    with_all, without = simulate(one, skips=False), simulate(one)
    assert journal(without) == journal(with_all)
    assert len(without.plan_s) <= len(with_all.plan_s)
