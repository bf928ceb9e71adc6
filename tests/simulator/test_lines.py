"""Plans of those alone that may start tell what whole plans tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.engine import families
from federator.model.cluster import Binding, Cluster
from federator.model.plan import Placement
from federator.model.policy import Bounds, Match, Planning, Policy, Queue, Tier
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Gang
from federator.simulator import lines
from federator.simulator.looks import Looks
from federator.simulator.run import simulate, simulate_quickly
from federator.simulator.starters import only_room_decides
from federator.simulator.story import Arrival, Fault, Story
from federator.simulator.world import Live
from tests.engine.build import amounts, cluster, flavor
from tests.simulator.stories import arrival, journal, story

SITES = ("east", "north", "south")


@st.composite
def sites(draw: st.DrawFn) -> list[Cluster]:
    """Up to three clusters of one or two flavors, with every habit of binding."""
    made = []
    for name in SITES[: draw(st.integers(1, 3))]:
        small = flavor("small", draw(st.integers(1, 3)), amounts(draw(st.integers(2, 4)), draw(st.integers(4, 8))))
        large = flavor("large", draw(st.integers(0, 2)), amounts(6, 8))
        habit = draw(st.sampled_from(list(Binding)))
        whole = draw(st.sampled_from((False, False, True)))
        made.append(cluster(name, labels={"site": name}, binding=habit, flavors=(small, large), whole_cores=whole))
    return made


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, ...]:
    """None, or one for some queues: tiers that are filled to a part, weights, minima and maxima."""
    if draw(st.booleans()):
        return ()
    weights = draw(st.sampled_from([None, {"east": 2, "south": 1}, {"north": 0, "*": 1}]))
    first = Tier("first", ("north", "e*"), fill_to_ppm=draw(st.sampled_from([1_000_000, 500_000])), weights=weights)
    rest = Tier("rest", weight_by=draw(st.sampled_from(["room", "carbon", "fit"])))
    bounds = draw(
        st.sampled_from([{}, {"*": Bounds(maximum=2)}, {"south": Bounds(minimum=1), "east": Bounds(maximum=1)}])
    )
    return (Policy("p", match=Match(("a",)), tiers=(first, rest), bounds=bounds),)


@st.composite
def arrivals(draw: st.DrawFn, most: int, gangs: bool) -> list[Arrival]:
    """Jobs of few kinds at whole seconds, so that much happens at one moment and many are alike."""
    found = []
    for number in range(draw(st.integers(1, most))):
        only = draw(st.sampled_from((*SITES, "", "", "", "")))
        where = Constraint(Selector((Requirement("site", "In", (only,)),))) if only else Constraint()
        replicas = draw(st.sampled_from([1, 1, 1, 2, 4]))
        found.append(
            arrival(
                f"j{number:03}", float(draw(st.integers(0, 15))), float(draw(st.integers(0, 12))), replicas,
                cpu=draw(st.sampled_from([1, 1, 2, 3, 0.5])), memory=draw(st.sampled_from([0, 0, 1, 3])),
                queue=draw(st.sampled_from("ab")), priority=draw(st.sampled_from([0, 0, 1])), clusters=where,
                min_replicas=draw(st.sampled_from([1, replicas])),
                gang=Gang() if gangs and replicas > 1 and draw(st.booleans()) else None,
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: one.at_s)


@st.composite
def stories(draw: st.DrawFn, most: int = 14) -> Story:
    """What only the room decides."""
    order = draw(st.sampled_from(["fifo", "shortest", "f1", "-workload.requests.cpu"]))
    queues = draw(st.sampled_from([(), (Queue("b", priority=1),)]))
    coming = draw(arrivals(most, draw(st.booleans())))
    return story(
        draw(sites()), coming, Planning(order=order), queues=queues, policies=draw(policies()), lasts_s=80.0,
        one_by_one=draw(st.booleans()),
    )  # fmt: skip


def _compare(one: Story) -> None:
    assert journal(simulate(one, lines=True)) == journal(simulate(one, skips=False))


@settings(max_examples=10, deadline=None)
@given(stories())
def test_plans_of_those_that_may_start_tell_what_whole_plans_tell(one: Story) -> None:
    _compare(one)


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(stories(most=40))
def test_of_many_jobs_plans_of_those_that_may_start_tell_what_whole_plans_tell(one: Story) -> None:
    _compare(one)


def _crowd(*faults: Fault, **more: object) -> Story:
    """Sixty jobs of one core come to two clusters of eight, a few of them only to one of these."""
    two = [cluster(name, labels={"site": name}, nodes=2, cpu=4) for name in SITES[:2]]
    east = Constraint(Selector((Requirement("site", "In", ("east",)),)))
    coming = [
        arrival(f"j{at:02}", float(at), 25.0 + at % 7, **({} if at % 5 else {"clusters": east})) for at in range(60)
    ]
    return story(two, coming, Planning(), faults=faults, **more)


def test_only_those_that_may_start_are_asked() -> None:
    """Each starts once and few are refused: without lines all that wait are asked in every plan."""
    turns = 0

    take_turn = lines.Lines._turn

    def counting(self: lines.Lines[Live], line: lines.Line[Live], who: Live) -> list[Placement]:
        nonlocal turns
        turns += 1
        return take_turn(self, line, who)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines.Lines, "_turn", counting)
        run = simulate_quickly(_crowd())
    assert max(one.wait_s for one in run.measures.workloads) > 10, "nobody waited, so this test shows nothing"
    assert 60 <= turns < 120
    assert journal(run) == journal(simulate(_crowd(), skips=False))


def test_of_more_families_than_the_planner_lays_out_some_get_whole_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds, one family: those of the other kind get whole plans."""
    monkeypatch.setattr(families, "_MOST", 1)
    _compare(_crowd())


def test_whole_plans_are_made_where_somebody_looks_for_reasons() -> None:
    looks, all_looks = Looks(every_s=10.0), Looks(every_s=10.0)
    run = simulate_quickly(_crowd(), watch=looks)
    assert journal(run) == journal(simulate(_crowd(), skips=False, watch=all_looks))
    assert {reason for look in looks.looks for reason in look.by_reason} == {"NoRoom"}
    assert len(run.plan_s) > len(looks.looks), "all plans were whole, so this test shows nothing"


@pytest.mark.parametrize(
    "other",
    [
        _crowd(Fault("east", 5.0, 10.0)),
        replace(_crowd(), federation=replace(_crowd().federation, planning=Planning(order="fair"))),
        _crowd(queues=(Queue("default", quota=amounts(4)),)),
        _crowd(policies=(Policy("late", tiers=(Tier("east", ("east",)), Tier("rest", open_after_s=30.0))),)),
    ],
)
def test_where_more_than_room_decides_the_planner_makes_whole_plans(other: Story) -> None:
    assert not only_room_decides(other)


def test_a_planted_mistake_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that do not hear what has come free start late."""
    monkeypatch.setattr(lines.Lines, "_room_has_come", lambda self, line: False)
    with pytest.raises(AssertionError):
        _compare(_crowd(lasts_s=500.0))
