"""Clusters that lack a workload's inputs weigh less, by as much as its policy says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine import kinds
from federator.engine.answer import explanation_document
from federator.engine.nearness import ALL_THERE, nearness, weighed_down
from federator.engine.planner import plan
from federator.model.policy import Bounds, Policy, Tier
from federator.model.workload import Gang, Input, Workload
from tests.engine.build import cluster, placed, snapshot, workload

GIB = 2**30
THREE = [cluster(name, nodes=10) for name in ("cern", "desy", "fnal")]
NEAR = Policy("p", half_weight_bytes=100 * GIB)


def reading(replicas: int, *inputs: Input, **more: object) -> Workload:
    return workload("w", replicas, inputs=inputs, **more)


def shares(one: Workload, policy: Policy = NEAR) -> dict[str, int]:
    return placed(plan(snapshot(THREE, [one], policies=[policy])), "w")


BOTH = (Input("dataset", 200 * GIB, ("cern",)), Input("calibration", 100 * GIB, ("cern", "desy")))


def test_what_is_lacking_divides_the_weight() -> None:
    """1 at cern, 1/3 at desy that lacks twice the half, 1/4 at fnal that lacks three times as much."""
    assert shares(reading(38, *BOTH)) == {"cern": 24, "desy": 8, "fnal": 6}


def test_without_such_a_policy_inputs_do_not_count() -> None:
    assert shares(reading(30, *BOTH), Policy("p")) == {"cern": 10, "desy": 10, "fnal": 10}


def test_weights_that_are_written_are_left_alone() -> None:
    for written in (
        replace(NEAR, bounds={"*": Bounds(weight=1)}),
        replace(NEAR, tiers=(Tier("t", weights={"*": 1}),)),
    ):
        assert shares(reading(30, *BOTH), written) == {"cern": 10, "desy": 10, "fnal": 10}


@pytest.mark.parametrize("weight_by", ["price", "carbon", "7", "1000000000"])
def test_it_counts_whatever_the_rule_is(weight_by: str) -> None:
    rule = replace(NEAR, tiers=(Tier("t", weight_by=weight_by),))
    assert shares(reading(38, *BOTH), rule) == {"cern": 24, "desy": 8, "fnal": 6}


def test_a_full_cluster_is_passed_however_near_it_is() -> None:
    assert shares(reading(150, *BOTH)) == {"cern": 80, "desy": 40, "fnal": 30}


def test_a_gang_goes_where_its_data_is() -> None:
    only = Input("dataset", 200 * GIB, ("fnal",))
    assert shares(reading(5, only, gang=Gang())) == {"fnal": 5}
    assert shares(reading(5, only, gang=Gang()), Policy("p")) == {"cern": 5}


def test_what_no_cluster_has_changes_nothing() -> None:
    assert shares(reading(30, Input("elsewhere", 500 * GIB))) == {"cern": 10, "desy": 10, "fnal": 10}


def test_explain_tells_what_is_lacking_and_what_it_costs() -> None:
    made = plan(snapshot(THREE, [reading(38, *BOTH)], policies=[NEAR]), explain=["w"])
    told = {one["cluster"]: one for one in explanation_document(made.explanations["w"])["clusters"]}
    assert "lacks" not in told["cern"]
    assert (told["desy"]["lacks"], told["desy"]["nearness"]) == (200 * GIB, 0.333)
    assert (told["fnal"]["lacks"], told["fnal"]["nearness"]) == (300 * GIB, 0.25)
    assert told["desy"]["weight"] / told["cern"]["weight"] == pytest.approx(1 / 3, abs=0.001)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 2**50)), min_size=1, max_size=8), st.integers(1, 2**45))
def test_weights_stay_exact_enough_and_in_their_limits(rows: list[tuple[int, int]], half: int) -> None:
    weights = np.array([weight for weight, _ in rows], dtype=np.int64)
    lacks = np.array([lack for _, lack in rows], dtype=np.int64)
    near = nearness(lacks, half)
    found = weighed_down(weights, near)
    assert (found <= 10**9).all()
    assert ((found == 0) == (weights == 0)).all()
    assert ((near >= 1) & (near <= ALL_THERE)).all()
    for at, (weight, lack) in enumerate(rows):
        for other, (weight_there, lack_there) in enumerate(rows):
            if weight == weight_there and lack <= lack_there:
                assert found[at] >= found[other], "of equals, the nearer one weighs no less"


def test_a_planner_that_gives_all_workloads_the_data_of_the_first_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: alike workloads share what was laid out for them, though they read other data."""
    near_cern = replace(reading(12, Input("d", 300 * GIB, ("cern",))), name="a")
    near_desy = replace(reading(12, Input("d", 300 * GIB, ("desy",))), name="b")
    one = snapshot(THREE, [near_cern, near_desy], policies=[NEAR])
    assert placed(plan(one), "b") == {"cern": 2, "desy": 8, "fnal": 2}
    monkeypatch.setattr(kinds, "lacking", lambda *_: np.array([0, 300 * GIB, 300 * GIB]))
    assert placed(plan(one), "b") != {"cern": 2, "desy": 8, "fnal": 2}
