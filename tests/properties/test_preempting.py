"""What gives way, in crowded federations: legal, enough, not in vain, and it comes to rest; and that mistakes show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from federator.engine import giving_way, pieces, preempting
from federator.engine.answer import plan_document
from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Policy
from federator.model.workload import Workload
from tests.engine.build import amounts, cluster, flavor, workload
from tests.properties.crowded import crowded
from tests.properties.test_guarantees import shuffled, unrest
from tests.properties.test_shortcuts import crowded as repeated
from tests.properties.test_shortcuts import equal

pytestmark = pytest.mark.thorough

many = settings(max_examples=150, suppress_health_check=list(HealthCheck))


@many
@given(crowded())
def test_every_plan_is_legal_and_somebody_gains_by_all_that_gives_way(federation: Snapshot) -> None:
    made = plan(federation)
    event(f"gives way: {sorted({one.reason for one in made.preemptions})}")
    assert violations(federation, made) == ()


@many
@given(crowded())
def test_it_comes_to_rest(federation: Snapshot) -> None:
    """Guarantee 7. Until what leaves is gone nothing more has to give way, nor does what gave way take its place."""
    assert unrest(federation, plan) is None


@many
@given(crowded(), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_changes_nothing(federation: Snapshot, random: Random) -> None:
    assert plan_document(plan(shuffled(federation, random))) == plan_document(plan(federation))


@many
@given(crowded(), st.integers(1, 3))
def test_shortcuts_change_nothing_where_something_gives_way(federation: Snapshot, copies: int) -> None:
    """Without memory of names: what is alike but for its name is answered once."""
    assert equal(replace(repeated(federation, copies), displacements=()))


@st.composite
def one_pool(draw: st.DrawFn) -> tuple[Snapshot, list[tuple[int, int]], int]:
    """Nodes of one core, work of one core: then only numbers count. With (priority, replicas) of what runs, and what is
    free."""
    running = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=6))
    free, wanted = draw(st.integers(0, 3)), draw(st.integers(1, 20))
    cores = sum(count for _, count in running) + free
    nodes = [(amounts(1), free), (amounts(0), cores - free)]
    served = [workload(f"r{at}", count, priority=priority) for at, (priority, count) in enumerate(running)]
    holdings = tuple(Holding(one.name, "", "a", one.roles[0].replicas, age_s=60.0) for one in served)
    members = (cluster("a", flavors=(flavor("one", cores, amounts(1), free=[n for n in nodes if n[1]]),)),)
    taker = workload("taker", wanted, priority=3)
    rules = (Policy("p", preempt="lowerPriority"),)
    return Snapshot(1000.0, members, (*served, taker), holdings, rules), running, free


def by_hand(running: list[tuple[int, int]], missing: int) -> dict[str, int]:
    """The least urgent first, by name among equals, until nothing is missing or nobody is less urgent."""
    gone: dict[str, int] = {}
    for priority, name, count in sorted((priority, f"r{at}", count) for at, (priority, count) in enumerate(running)):
        taken = min(missing, count) if priority < 3 else 0
        missing -= taken
        if taken:
            gone[name] = taken
    return gone


@many
@given(one_pool())
def test_where_only_numbers_count_it_is_what_one_counts_by_hand(
    pool: tuple[Snapshot, list[tuple[int, int]], int],
) -> None:
    federation, running, free = pool
    wanted = federation.workloads[-1].roles[0].replicas
    gone: dict[str, int] = {}
    for one in plan(federation).preemptions:
        gone[one.workload] = gone.get(one.workload, 0) + one.replicas
    assert gone == by_hand(running, max(0, wanted - free))


@many
@given(crowded())
def test_one_less_that_gives_way_would_not_do(federation: Snapshot) -> None:
    """Of all that gives way for one that takes alone, the last is needed: without it fewer replicas find a place."""
    made = plan(federation)
    takers = {one.by for one in made.preemptions}
    if len(takers) != 1 or federation.displacements:
        return
    event("one takes")
    for spared in made.preemptions:
        if _whole(federation, spared.workload):
            continue
        fewer = [replace(one, replicas=one.replicas - 1) if one is spared else one for one in made.preemptions]
        then = giving_way.giving_way(federation, [one for one in fewer if one.replicas])
        again = _once(then)
        kept = sum(one.replicas for one in again.reservations if one.workload == spared.by)
        placed = sum(one.replicas for one in again.placements if one.workload == spared.by)
        assert placed + kept < spared.gains, spared


def _whole(federation: Snapshot, name: str) -> bool:
    return next(one for one in federation.workloads if one.name == name).gang is not None


def _once(federation: Snapshot) -> Plan:
    """The plan in which nothing more has to give way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("federator.engine.planner.may_preempt", lambda snapshot: False)
        return plan(federation)


def takes_equals(self: Any, workload: Workload, allows: str, one: Workload) -> Any:
    return preempting.Cause.LOWER_PRIORITY


def gives_nothing_back(self: Any, chosen: Any, target: int) -> Any:
    return chosen


def forgets_who_waits(snapshot: Snapshot, at_once: object) -> Mapping[str, int]:
    return {}


def takes_gangs_apart(self: Any, workload: Workload) -> Any:
    return [pieces.Unit(replace(workload, gang=None), (piece,)) for piece in self._all[0].get(workload.name, [])]


MISTAKES = [
    (preempting.Preempting, "_why", takes_equals, test_every_plan_is_legal_and_somebody_gains_by_all_that_gives_way),
    (pieces.Pieces, "_of", takes_gangs_apart, test_every_plan_is_legal_and_somebody_gains_by_all_that_gives_way),
    (preempting._Trial, "_spared", gives_nothing_back, test_one_less_that_gives_way_would_not_do),
    (
        "federator.engine.planner",
        "waiting",
        forgets_who_waits,
        test_where_only_numbers_count_it_is_what_one_counts_by_hand,
    ),
]
DRAWN = {test_where_only_numbers_count_it_is_what_one_counts_by_hand: one_pool()}
"""What claims are made of that are not made of all federations."""


@pytest.mark.parametrize(
    ("place", "name", "mistake", "claim"), MISTAKES, ids=lambda value: getattr(value, "__name__", None)
)
def test_the_claim_fails_with_the_mistake(
    place: Any, name: str, mistake: object, claim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(place, str):
        monkeypatch.setattr(f"{place}.{name}", mistake)
    else:
        monkeypatch.setattr(place, name, mistake)
    quick = settings(
        max_examples=400,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError):
        quick(given(DRAWN.get(claim, crowded()))(claim.hypothesis.inner_test))()
