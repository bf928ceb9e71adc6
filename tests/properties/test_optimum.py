"""On small federations the plan is the best of all that could be made, where what is best can be counted out.

Gangs that compete have their own count in ``test_contests``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from federator.engine.planner import plan
from federator.model.plan import Plan, Snapshot
from federator.model.policy import Policy
from tests.properties.optimum import small, still_fits, worse_than_best

modest = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@modest
@given(small())
def test_every_workload_is_where_it_is_best_beside_those_before_it(federation: Snapshot) -> None:
    assert worse_than_best(federation, plan(federation)) == []


@modest
@given(small(gangs=True))
def test_nothing_that_is_refused_would_fit_in_what_the_plan_leaves(federation: Snapshot) -> None:
    assert still_fits(federation, plan(federation)) == []


@pytest.mark.thorough
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(small())
def test_so_it_is_in_many_federations(federation: Snapshot) -> None:
    made = plan(federation)
    assert worse_than_best(federation, made) == []
    assert still_fits(federation, made) == []


def changed(change: Callable[[Policy], Policy]) -> Callable[[Snapshot], Plan]:
    """A planner that reads policies wrongly."""
    return lambda seen: plan(replace(seen, policies=tuple(map(change, seen.policies))))


def forgets_weights(policy: Policy) -> Policy:
    return replace(policy, tiers=tuple(replace(tier, weights=dict.fromkeys(tier.clusters, 1)) for tier in policy.tiers))


def forgets_minima(policy: Policy) -> Policy:
    return replace(policy, bounds={name: replace(one, minimum=0) for name, one in policy.bounds.items()})


def forgets_fill(policy: Policy) -> Policy:
    return replace(policy, tiers=tuple(replace(tier, fill_to_ppm=1_000_000) for tier in policy.tiers))


def turns_tiers_round(policy: Policy) -> Policy:
    return replace(policy, tiers=policy.tiers[::-1])


@pytest.mark.parametrize("mistake", [forgets_weights, forgets_minima, forgets_fill, turns_tiers_round])
def test_a_planner_with_a_mistake_is_seen(mistake: Callable[[Policy], Policy]) -> None:
    planner = changed(mistake)

    @settings(max_examples=200, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(small())
    def claim(federation: Snapshot) -> None:
        assert worse_than_best(federation, planner(federation)) == []

    with pytest.raises(AssertionError):
        claim()


def test_a_planner_that_gives_up_too_soon_is_seen() -> None:
    @settings(max_examples=200, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(small(gangs=True))
    def claim(federation: Snapshot) -> None:
        made = plan(federation)
        assert still_fits(federation, replace(made, placements=tuple(made.placements)[:-1])) == []

    with pytest.raises(AssertionError):
        claim()
