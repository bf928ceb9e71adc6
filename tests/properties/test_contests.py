"""Gangs that compete: the search loses nobody, keeps every rule, and finds the best where it can be counted out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federator.engine import contest
from federator.engine.answer import plan_document
from federator.engine.checks import violations
from federator.model.plan import Snapshot
from federator.model.workload import Gang
from tests.engine.build import cluster, snapshot, workload
from tests.properties.contests import AMPLE, OFF, best, crowds, homes, losers, one_node_clusters, value, with_search
from tests.properties.test_guarantees import shuffled

pytestmark = pytest.mark.thorough

modest = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def gang(name: str, replicas: int, cpu: float = 1, age: float = 0.0) -> object:
    return workload(name, replicas, cpu, gang=Gang(), submitted_at_s=-age)


@modest
@given(one_node_clusters())
def test_it_finds_what_counting_out_all_ways_finds(federation: Snapshot) -> None:
    greedy = homes(federation, with_search(federation, OFF))
    found = homes(federation, with_search(federation, AMPLE))
    assert value(federation, found) == best(federation, greedy)


@modest
@given(crowds())
def test_nobody_who_would_have_started_loses_by_the_search(federation: Snapshot) -> None:
    greedy, made = with_search(federation, OFF), with_search(federation, AMPLE)
    tiers = [tier.name for policy in federation.policies for tier in policy.tiers] or ["all"]
    if "all" not in tiers:
        tiers.append("all")
    assert losers(federation, greedy, made, tiers) == []
    assert violations(federation, made) == ()


@modest
@given(crowds(), st.randoms(use_true_random=False))
def test_the_order_of_lists_changes_nothing(federation: Snapshot, random: Random) -> None:
    first, second = (plan_document(with_search(one, AMPLE)) for one in (federation, shuffled(federation, random)))
    assert first == second


@pytest.mark.parametrize("federations", [one_node_clusters(), crowds()], ids=["counted out", "crowds"])
def test_the_search_does_find_more_in_some_of_these(federations: st.SearchStrategy[Snapshot]) -> None:
    """Else the properties above would show little."""
    gained = []

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(federations)
    def count(federation: Snapshot) -> None:
        made, greedy = with_search(federation, AMPLE), with_search(federation, OFF)
        gained.append(len(homes(federation, made)) - len(homes(federation, greedy)))

    count()
    assert sum(one > 0 for one in gained) >= 2


HELD_BACK = snapshot(
    [cluster("a", nodes=10, cpu=1)], [gang("old", 6, age=3), gang("mid", 5, age=2), gang("new", 5, age=1)]
)


def test_the_planted_mistake_of_letting_the_first_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two younger gangs are worth more than the oldest; without the rule that nobody loses they would pass it."""
    assert homes(HELD_BACK, with_search(HELD_BACK, AMPLE)) == {"old": "a"}
    original = contest.contender

    def forgetful(federation, search, prospects, latest, behind):  # type: ignore[no-untyped-def]
        return original(federation, search, prospects, None, behind)

    monkeypatch.setattr(contest, "contender", forgetful)
    made = with_search(HELD_BACK, AMPLE)
    assert losers(HELD_BACK, with_search(HELD_BACK, OFF), made, ["all"]) == ["old"]


SPLINTERED = snapshot(
    [cluster("a", nodes=2, cpu=4), cluster("b", nodes=1, cpu=7)],
    [gang("x", 2, 3, age=4), gang("y", 1, 2, age=3), gang("z", 1, 5, age=2)],
)


def test_what_fits_in_sum_but_on_no_node_is_tried_and_given_up() -> None:
    """x leaves one core on each node of a: two in sum, none for y's replica of two."""
    made = with_search(SPLINTERED, AMPLE)
    assert homes(SPLINTERED, made) == {"x": "a", "y": "b", "z": "b"}
    assert violations(SPLINTERED, made) == ()


ONE_PLAN = """
import json
from federator.engine.answer import plan_document
from tests.properties.contests import AMPLE, with_search
from tests.properties.test_contests import WASTED
print(json.dumps(plan_document(with_search(WASTED, AMPLE))))
"""
WASTED = snapshot(
    [cluster(f"c{at}", nodes=size, cpu=1) for at, size in enumerate((8, 7, 6, 5, 4, 9))],
    [gang(f"w{at}", size, age=20 - at) for at, size in enumerate((3, 2, 4, 1, 5, 3, 4, 2, 6, 5, 4))],
)


def test_hash_seeds_change_nothing() -> None:
    """Guarantee 3 across processes, where the search finds more than the order of service."""
    root = Path(__file__).parents[2]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", ONE_PLAN],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            check=True,
            cwd=root,
            timeout=120,
        ).stdout
        for seed in ("0", "4242")
    ]
    assert outputs[0] == outputs[1]
    found = {one["workload"] for one in json.loads(outputs[0])["placements"]}
    assert found > set(homes(WASTED, with_search(WASTED, OFF))), "the search found no more, so this test shows little"


def test_without_a_budget_the_order_of_service_stands() -> None:
    tiny = replace(AMPLE, budget=1e-9)
    assert plan_document(with_search(WASTED, tiny)) == plan_document(with_search(WASTED, OFF))
