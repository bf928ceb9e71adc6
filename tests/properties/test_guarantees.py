"""What must hold for every plan, whatever the federation looks like; and that the checks would see it if it did not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federator.engine.answer import plan_document
from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.plan import Move, Placement, Plan, Snapshot
from federator.model.policy import Policy, Tier
from federator.model.workload import Gang
from tests.engine.build import cluster, snapshot, workload
from tests.properties.snapshots import carried_out, restless, snapshots

Planner = Callable[[Snapshot], Plan]

modest = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@modest
@given(snapshots())
def test_every_plan_is_legal(federation: Snapshot) -> None:
    """Guarantees 2, 4 and 5, as an independent checker sees them."""
    assert violations(federation, plan(federation)) == ()


@modest
@given(snapshots(fresh=True))
def test_plans_for_federations_that_hold_nothing_are_legal(federation: Snapshot) -> None:
    assert violations(federation, plan(federation)) == ()


@pytest.mark.thorough
@modest
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_changes_nothing(federation: Snapshot, random: Random) -> None:
    """Guarantee 3, with every list of the snapshot and of its clusters shuffled."""
    assert plan_document(plan(shuffled(federation, random))) == plan_document(plan(federation))


@pytest.mark.thorough
@modest
@given(snapshots())
def test_asking_for_an_explanation_changes_nothing(federation: Snapshot) -> None:
    named = [one.name for one in federation.workloads]
    explained = plan(federation, explain=named)
    assert replace(explained, explanations={}) == plan(federation)
    assert sorted(explained.explanations) == sorted(named)


@pytest.mark.thorough
@modest
@given(snapshots())
def test_planning_again_comes_to_rest_and_moves_no_replica_twice(federation: Snapshot) -> None:
    """Guarantee 7: the plan is carried out and planned again, with everything else as it was."""
    assert unrest(federation, plan) is None


@pytest.mark.thorough
@modest
@given(restless())
def test_where_everything_may_move_it_comes_to_rest_too(federation: Snapshot) -> None:
    assert violations(federation, plan(federation)) == ()
    assert unrest(federation, plan) is None


@pytest.mark.thorough
@modest
@given(snapshots())
def test_every_reason_can_be_read(federation: Snapshot) -> None:
    for refusal in plan(federation).refusals:
        for name, verdict in refusal.reasons.items():
            assert verdict.message, (name, verdict)
            assert "{" not in verdict.message


def shuffled(federation: Snapshot, random: Random) -> Snapshot:
    """The same federation, its lists in another order."""

    def mixed(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(values, len(values)))

    members = [
        one
        if one.flavors is None
        else replace(one, flavors=mixed(tuple(replace(flavor, nodes=mixed(flavor.nodes)) for flavor in one.flavors)))
        for one in federation.clusters
    ]
    return replace(
        federation,
        clusters=mixed(tuple(members)),
        workloads=mixed(federation.workloads),
        holdings=mixed(federation.holdings),
        policies=mixed(federation.policies),
        clocks=mixed(federation.clocks),
        exclusions=mixed(federation.exclusions),
        limits=mixed(federation.limits),
    )


def unrest(federation: Snapshot, planner_: Planner, steps: int = 15) -> str | None:
    """Why repeated planning does not come to rest without moving a replica twice; None if it does."""
    fresh: Counter[tuple[str, str, str]] = Counter()
    made = planner_(federation)
    for _ in range(steps):
        held = {(h.workload, h.role, h.cluster): h.replicas for h in federation.holdings}
        for move in made.moves:
            left = held.get((move.workload, move.role, move.source), 0) - fresh[move.workload, move.role, move.source]
            if move.replicas > left:
                return f"{move} takes replicas that have just come"
        for move in made.moves:
            fresh[move.workload, move.role, move.target] += move.replicas
        federation = carried_out(federation, made)
        again = planner_(federation)
        if again.placements == made.placements:
            return None
        made = again
    return f"no rest after {steps} plans"


def test_a_planner_that_moves_to_and_fro_is_seen() -> None:
    """The planted mistake for guarantee 7."""
    federation = snapshot([cluster("a"), cluster("b")], [workload("w", 4)])

    def flaps(now: Snapshot) -> Plan:
        source, target = ("a", "b") if any(h.cluster == "a" for h in now.holdings) else ("b", "a")
        return Plan(
            placements=(Placement("w", "", target, 4, "all", "default"),), moves=(Move("w", "", source, target, 4),)
        )

    assert "have just come" in (unrest(carried_out(federation, flaps(federation)), flaps) or "")


ONE_PLAN = """
import json
from federator.engine.answer import plan_document
from federator.engine.planner import plan
from tests.properties.test_guarantees import busy
made = plan(busy(), explain=["w3"])
print(json.dumps([plan_document(made), sorted(made.full_tiers), repr(made.explanations)]))
"""


def busy() -> Snapshot:
    """A federation in which everything is scarce, with tiers, bounds, weights, gangs and holdings."""
    members = [cluster(name, nodes=2, cpu=at + 3) for at, name in enumerate(("fnal", "cern", "desy", "kit"))]
    rules = (
        Policy("one", tiers=(Tier("x", ("cern", "desy"), fill_to_ppm=700_000), Tier("y", ("*",), weight_by="price"))),
    )
    served = [workload(f"w{at}", 5, cpu=at % 3 + 1, gang=Gang("federation") if at == 4 else None) for at in range(7)]
    return snapshot(members, served, policies=rules, held={("w0", "fnal"): 3, ("w1", "cern"): 2})


@pytest.mark.thorough
def test_hash_seeds_change_nothing() -> None:
    """Guarantee 3, across processes: byte for byte the same JSON."""
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
    assert json.loads(outputs[0])[0]["refusals"], "nothing was refused, so this test shows little"
