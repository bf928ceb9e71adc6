"""Backfill fills last and yields first, whatever the federation looks like; and the checks would see it if not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federator.engine import fillers, planner
from federator.engine.answer import plan_document
from federator.engine.checks import violations
from federator.engine.ground import Ground
from federator.engine.planner import plan
from federator.model.backfill import Filled, Filler
from federator.model.plan import Plan, Snapshot
from tests.engine.build import cluster, snapshot, workload
from tests.properties.backfilled import backfilled, filled_out, without_fillers
from tests.properties.test_guarantees import shuffled

few = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def holds(federation: Snapshot) -> None:
    """Guarantee 6, of one plan: production has what it has without fillers, and they have no more than it leaves."""
    made = plan(federation)
    assert violations(federation, made) == ()
    assert plan_document(replace(made, backfill=())) == plan_document(plan(without_fillers(federation)))


@few
@given(backfilled())
def test_production_sees_nothing_of_backfill(federation: Snapshot) -> None:
    holds(federation)


@pytest.mark.thorough
@many
@given(backfilled())
def test_production_sees_nothing_of_backfill_in_many_federations(federation: Snapshot) -> None:
    holds(federation)


@pytest.mark.thorough
@few
@given(backfilled(), st.randoms(use_true_random=False))
def test_the_order_of_the_lists_changes_nothing(federation: Snapshot, random: Random) -> None:
    other = shuffled(federation, random)
    fills = list(other.fillers)
    random.shuffle(fills)
    assert plan(replace(other, fillers=tuple(fills))).backfill == plan(federation).backfill


@pytest.mark.thorough
@few
@given(backfilled())
def test_fillers_come_to_rest(federation: Snapshot) -> None:
    """Guarantee 7: with production as it is, what the plan wants of fillers is what it wants once they have it."""
    made = plan(federation)
    assert plan(filled_out(federation, made)).backfill == made.backfill


def filler(replicas: int = 1000, cpu: float = 1, **more: Any) -> Filler:
    work = workload("backfill-f", replicas, cpu, needs=frozenset({"backfill"}), backfill=True)
    return Filler(work, **more)


CROWDED = snapshot([cluster("a", nodes=2, cpu=4)], [workload("w", 3, cpu=2)], fillers=[filler()])


def spoil(change: Callable[[Filled], Filled]) -> tuple[str, ...]:
    made: Plan = plan(CROWDED)
    assert violations(CROWDED, made) == ()
    return violations(CROWDED, replace(made, backfill=tuple(map(change, made.backfill))))


def test_one_replica_too_many_is_seen() -> None:
    seen = spoil(lambda one: one._replace(replicas={"a": 3}))
    assert "fillers on a do not fit beside production" in seen[0]


def test_a_cluster_without_a_reason_is_seen() -> None:
    assert spoil(lambda one: one._replace(why={})) == ("backfill-f is told no reason for a",)


@pytest.mark.thorough
def test_a_planner_that_fills_before_production_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: fillers are given what was free before production was planned."""

    def too_early(federation: object, seen: Snapshot, *rest: object) -> tuple[Filled, ...]:
        empty = replace(seen, workloads=())
        fresh = planner._Planner(empty, Ground(), frozenset())
        return fillers.fill_holes(fresh.federation, empty, fresh.began, ())

    monkeypatch.setattr(planner, "fill_holes", too_early)
    seen = violations(CROWDED, plan(CROWDED))
    assert any("do not fit beside production" in sentence for sentence in seen)
