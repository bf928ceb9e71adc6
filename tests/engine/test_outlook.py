"""``weightBy: foresight``: work leaves room for those who come after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine import planner
from federator.engine.arrays import Array
from federator.engine.checks import violations
from federator.engine.division import WEIGHT_MAX, divide
from federator.engine.foresight import aimed, drawn, served
from federator.engine.ground import Ground
from federator.engine.outlook import outlook
from federator.engine.planner import plan
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Bounds, Policy, Rebalance, Stay, Tier
from federator.model.selectors import Constraint, Requirement, Selector
from tests.engine.build import cluster, placed, snapshot, workload

POLICY = Policy("p", tiers=(Tier("all", weight_by="foresight"),))
ONLY_NORTH = Constraint(Selector((Requirement("site", "In", ("north",)),)))


def two_sites(policy: Policy = POLICY, **more: object) -> Snapshot:
    """16 cores in the north, 16 in the south; who comes first may run anywhere, who comes second in the north only."""
    members = [cluster(name, 2, 8, 64, labels={"site": name}) for name in ("north", "south")]
    anywhere, bound = workload("anywhere", 16, 1, submitted_at_s=1.0), workload("bound", 16, 1, submitted_at_s=2.0)
    return snapshot(members, [anywhere, replace(bound, clusters=ONLY_NORTH)], policies=(policy,), **more)


def total(made: Plan) -> int:
    return sum(placement.replicas for placement in made.placements)


def test_who_may_run_anywhere_leaves_room_to_who_may_not() -> None:
    made = plan(two_sites())
    assert violations(two_sites(), made) == ()
    assert placed(made, "anywhere") == {"south": 16}
    assert placed(made, "bound") == {"north": 16}


def test_without_foresight_half_of_it_would_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would show nothing."""
    monkeypatch.setattr(planner, "outlook", lambda *_: None)
    assert total(plan(two_sites())) < 32


def test_nobody_is_kept_waiting_for_those_behind_him() -> None:
    """Who comes first gets all that fits at his turn, though those behind him fit nowhere else."""
    crowd = two_sites()
    first = workload("anywhere", 24, 1, submitted_at_s=1.0)
    made = plan(replace(crowd, workloads=(first, *crowd.workloads[1:])))
    assert placed(made, "anywhere") == {"north": 8, "south": 16}
    assert placed(made, "bound") == {"north": 8}


def test_what_runs_does_not_move_for_it() -> None:
    """Though tiers are divided afresh, and it would be placed otherwise today."""
    always = replace(POLICY, stay=Stay(Rebalance.ALWAYS))
    held = (Holding("anywhere", "", "north", 16),)
    made = plan(two_sites(always, holdings=held))
    assert placed(made, "anywhere") == {"north": 16}
    assert made.moves == ()


def test_a_maximum_holds() -> None:
    policy = replace(POLICY, bounds={"south": Bounds(0, 10)})
    made = plan(two_sites(policy))
    assert violations(two_sites(policy), made) == ()
    assert placed(made, "anywhere") == {"north": 6, "south": 10}


def test_an_explanation_changes_nothing() -> None:
    """Refusals that are known without asking draw aims down, too."""
    crowd = [workload(f"w{at:02}", 5, 1 + at % 3, submitted_at_s=float(at)) for at in range(20)]
    members = [cluster(name, 3, 8, 64) for name in ("a", "b", "c")]
    full = snapshot(members, crowd, policies=(POLICY,))
    assert plan(full, explain=[one.name for one in crowd]).placements == plan(full).placements


def test_when_all_have_had_their_turn_nothing_is_aimed_at() -> None:
    made = planner._Planner(two_sites(), Ground(), frozenset())
    ahead = outlook(two_sites(), made.federation, made.kinds, made.queue)
    assert ahead is not None
    assert ahead.aims.sum(axis=1).tolist() == [16, 16]
    for name in ("anywhere", "bound", "bound"):
        ahead.draw(name)
    assert not ahead.aims.any()
    assert not ahead.crowd.left.any()
    assert np.allclose(ahead.later, 0)


def test_those_who_are_served_fill_one_large_cluster() -> None:
    """Ten cores: 4 of the first line, 2 of the second, which take two each, and of the first what still fits: 2 of 3.

    If only one of the second can be placed at all, all 3."""
    asks = np.array([[1.0], [2.0]])
    reach, lines = np.array([9, 9]), np.array([0, 1, 0])
    assert served(asks, reach, lines, np.array([4, 2, 3]), np.array([10.0])).tolist() == [6, 2]
    assert served(asks, np.array([9, 1]), lines, np.array([4, 2, 3]), np.array([10.0])).tolist() == [7, 1]


amounts = st.lists(st.integers(0, 50), min_size=1, max_size=6)


@given(amounts, st.integers(0, 40), st.data())
def test_a_part_of_the_aims_is_a_part_of_each(aims: list[int], part: int, data: st.DataObject) -> None:
    of = part + data.draw(st.integers(0, 20))
    found = drawn(np.array(aims, dtype=np.int64), part, of)
    assert (found <= aims).all()
    assert found.sum() == sum(aims) * part // max(1, of)


@given(amounts, st.data())
def test_as_many_as_are_aimed_at_go_there(aims: list[int], data: st.DataObject) -> None:
    others = [data.draw(st.integers(0, WEIGHT_MAX)) for _ in aims]
    assert shared(aims, others, [1000] * len(aims)) == aims


def test_what_finds_no_room_goes_by_the_other_weights() -> None:
    assert shared([10, 0, 0], [1, 300, 100], [6, 100, 100]) == [6, 3, 1]


def shared(aims: list[int], others: list[int], caps: list[int]) -> list[int]:
    """The division of as many replicas as are aimed at."""
    weights: Array = aimed(np.array(aims, dtype=np.int64), np.array(others, dtype=np.int64))
    nothing = np.zeros(len(aims), dtype=np.int64)
    found: list[int] = divide(sum(aims), weights, nothing, nothing, np.array(caps, dtype=np.int64)).tolist()
    return found
