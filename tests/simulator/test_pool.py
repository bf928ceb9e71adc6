"""The shortcut for rigid jobs on one pool tells what the planner tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.model.cluster import Binding
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Planning, Policy
from federator.simulator import run as running
from federator.simulator.looks import Looks
from federator.simulator.run import simulate, simulate_quickly
from federator.simulator.story import Arrival, Story
from tests.engine.build import cluster
from tests.simulator.oracle import Job
from tests.simulator.stories import arrival, batch, journal, story
from tests.simulator.test_against_oracle import PROCESSORS, jobs

RULES = [("none", "pass"), ("none", "wait"), ("none", "stay"), ("easy", "pass"), ("once", "wait")]


def _story(drawn: list[Job], rule: tuple[str, str], order: str, nodes: int, one_by_one: bool, lasts: bool) -> Story:
    planning = Planning(order=order, backfilling=rule[0], blocked_head=rule[1])
    pool = cluster("pool", nodes=nodes, cpu=PROCESSORS // nodes, binding=Binding.PACK, price={"cpu": 1e6})
    arrivals = batch(drawn) if nodes > 1 else [_as_cores(one) for one in batch(drawn)]
    return story([pool], arrivals, planning, one_by_one=one_by_one, lasts_s=25.0 if lasts else None)


def _as_cores(one: Arrival) -> Arrival:
    """The same job as one replica that asks for all its cores, of some priority."""
    (role,) = one.workload.roles
    whole = replace(role, replicas=1, requests=role.requests * role.replicas)
    return one._replace(like=replace(one.workload, roles=(whole,), gang=None, priority=role.replicas % 2))


def _compare(one: Story) -> None:
    quick = simulate_quickly(one)
    assert not quick.plan_s, "it asked the planner, so this test shows nothing"
    assert journal(quick) == journal(simulate(one))


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=8, deadline=None)
@given(jobs(), st.sampled_from(["fifo", "shortest", "f1"]), st.sampled_from([1, 4]), st.booleans(), st.booleans())
def test_the_shortcut_tells_what_the_planner_tells(
    rule: tuple[str, str], drawn: list[Job], order: str, nodes: int, one_by_one: bool, lasts: bool
) -> None:
    _compare(_story(drawn, rule, order, nodes, one_by_one, lasts))


@pytest.mark.thorough
@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=20, deadline=None)
@given(
    jobs(most=24), st.sampled_from(["fifo", "shortest", "f1"]), st.sampled_from([1, 4]), st.booleans(), st.booleans()
)
def test_of_many_jobs_the_shortcut_tells_what_the_planner_tells(
    rule: tuple[str, str], drawn: list[Job], order: str, nodes: int, one_by_one: bool, lasts: bool
) -> None:
    _compare(_story(drawn, rule, order, nodes, one_by_one, lasts))


@pytest.mark.parametrize(
    "other",
    [
        story([cluster("pool", nodes=2, cpu=4)], [arrival("loose", 0, 10, 3)]),
        story([cluster("pool", nodes=2, cpu=4)], [arrival("wide", 0, 10, cpu=3)]),
        story([cluster("pool", nodes=2, cpu=4)], [arrival("a", 0, 1, queue="a"), arrival("b", 0, 1, queue="b")]),
        story([cluster("pool", cpu=4)], [arrival("large", 0, 10, memory=1)]),
        story([cluster("pool", cpu=4)], [arrival("a", 0, 10)], policies=(Policy("any"),)),
        story([cluster("pool", cpu=4), cluster("other")], [arrival("a", 0, 10)]),
        story([cluster("pool", cpu=4, cordoned=True), cluster("other")], [arrival("a", 0, 10)]),
        story([cluster("pool", cpu=4, whole_cores=True)], [arrival("half", 0, 10, cpu=0.5)]),
    ],
)
def test_what_is_no_such_story_is_told_by_the_planner(other: Story) -> None:
    assert simulate_quickly(other).plan_s


def test_a_planted_mistake_in_the_shortcut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backfilling that forgets the head delays it."""
    monkeypatch.setattr(running.Pool, "serve_easy", running.Pool.serve_all)
    drawn = [Job(0, 0, 10, 10, 6), Job(1, 1, 10, 10, 8), Job(2, 2, 30, 30, 2)]
    one = _story(drawn, ("easy", "pass"), "fifo", 1, False, False)
    with pytest.raises(AssertionError):
        _compare(one)


def _refused(one: Story, *, quickly: bool) -> dict[float, Counter[str]]:
    """Replicas refused by the reason that counts, at each moment at which the shortcut looked."""
    found: dict[float, Counter[str]] = {}
    if quickly:
        looks = Looks(every_s=0.0)
        assert not simulate_quickly(one, watch=looks).plan_s
        return {look.at_s: look.by_reason for look in looks.looks}

    def watch(seen: Snapshot, made: Plan) -> None:
        looks = Looks()
        looks(seen, made)
        found[seen.at_s] = looks.looks[0].by_reason

    simulate(one, skips=False, watch=watch)
    return found


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=3, deadline=None)
@given(jobs(), st.sampled_from(["fifo", "shortest"]), st.sampled_from([1, 4]))
def test_what_waits_for_a_pool_is_refused_for_the_reasons_of_the_planner(
    rule: tuple[str, str], drawn: list[Job], order: str, nodes: int
) -> None:
    told = _story(drawn, rule, order, nodes, one_by_one=False, lasts=False)
    assert _refused(told, quickly=True) == _refused(told, quickly=False)
