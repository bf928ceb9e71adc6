"""The shortcut for single jobs on many clusters tells what the whole simulator tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from federator.model.policy import Planning, Policy, Tier
from federator.model.workload import Gang, Lifetime, Workload
from federator.simulator import run as running
from federator.simulator.grid import Grid
from federator.simulator.looks import Looks
from federator.simulator.run import Run, simulate, simulate_quickly
from federator.simulator.story import Arrival, Story
from tests.engine.build import cluster
from tests.simulator.stories import arrival, journal, story
from tests.simulator.test_lines import stories


def _single(one: Story) -> Story:
    """The same story with one replica of each job."""
    arrivals = [coming._replace(like=_alone(coming.workload)) for coming in one.arrivals()]
    return replace(one, arrivals=lambda: iter(arrivals))


def _alone(workload: Workload) -> Workload:
    (role,) = workload.roles
    return replace(workload, roles=(replace(role, replicas=1),), gang=None, min_replicas=1)


def _by_grid(one: Story) -> Run:
    """What comes of it, told by the shortcut."""
    told: list[Grid] = []

    class Watched(Grid):
        def tell(self) -> float:
            ended_s = super().tell()
            told.append(self)
            return ended_s

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "Grid", Watched)
        run = simulate_quickly(one)
    assert told, "the shortcut was not taken, so this test shows nothing"
    return run


def _history(run: Run) -> list[tuple[str, list[float]]]:
    kinds = ("production", "queue", "cost")
    known = run.measures.history
    return [
        (name, known.means(kind, name, run.ended_s).tolist()) for kind in kinds for name in sorted(known.names(kind))
    ]


def _compare(one: Story) -> None:
    quick = simulate_quickly(one)
    for whole in (simulate(one, lines=True), simulate(one, skips=False)):
        assert journal(quick) == journal(whole)
        assert _history(quick) == _history(whole)
        assert quick.measures.first_s == whole.measures.first_s


def test_the_shortcut_is_taken_where_jobs_wait_for_room() -> None:
    run = _by_grid(_two())
    assert max(one.wait_s for one in run.measures.workloads) > 10
    assert journal(run) == journal(simulate(_two(), skips=False))


@settings(max_examples=10, deadline=None)
@given(stories().map(_single))
def test_the_shortcut_tells_what_whole_plans_tell(one: Story) -> None:
    _compare(one)


@pytest.mark.thorough
@settings(max_examples=60, deadline=None)
@given(stories(most=40).map(_single))
def test_of_many_jobs_the_shortcut_tells_what_whole_plans_tell(one: Story) -> None:
    _compare(one)


@pytest.mark.parametrize(
    "other",
    [
        arrival("many", 3, 10, 2),
        arrival("gang", 3, 10, 2, gang=Gang()),
        arrival("service", 3, 10, lifetime=Lifetime.SERVICE),
    ],
    ids=lambda one: one.workload.name,
)
def test_what_is_no_single_job_is_told_by_the_whole_simulator(other: Arrival) -> None:
    """It comes in the middle of the story, which is begun anew."""
    one = story(
        [cluster("east", cpu=2), cluster("west", cpu=2)],
        [arrival("first", 0, 10), arrival("second", 1, 10, cpu=2), other, arrival("last", 20, 5)],
        Planning(), lasts_s=100.0,
    )  # fmt: skip
    assert journal(simulate_quickly(one)) == journal(simulate(one, skips=False))


def _two(**more: object) -> Story:
    return story(
        [cluster("east", cpu=2), cluster("west", cpu=2)], [arrival(f"j{at}", at, 9, cpu=2) for at in range(8)],
        Planning(), **more,
    )  # fmt: skip


LATE = Policy("late", tiers=(Tier("east", ("east",)), Tier("rest", open_after_s=30.0)))


@pytest.mark.parametrize(
    ("one", "watch"), [(_two(), Looks()), (_two(policies=(LATE,)), None)], ids=["watched", "clocks"]
)
def test_where_the_shortcut_is_not_for_it_is_not_taken(
    one: Story, watch: Looks | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "Grid", None)
    assert journal(simulate_quickly(one, watch=watch)) == journal(simulate(one, skips=False))


def test_a_planted_mistake_in_the_shortcut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends that the lines do not hear of leave jobs waiting."""
    end = Grid._end

    def deaf(self: Grid, now_s: float) -> None:
        end(self, now_s)
        self._heard.clear()

    monkeypatch.setattr(Grid, "_end", deaf)
    with pytest.raises(AssertionError):
        _compare(_two())
