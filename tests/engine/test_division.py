"""Shares in closed form are the shares that giving replicas one by one would give."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.engine import division
from federator.engine.division import WEIGHT_MAX, divide
from tests.interpreted import interpreted


@dataclass(frozen=True)
class Problem:
    total: int
    weights: list[int]
    given: list[int]
    minima: list[int]
    caps: list[int]

    def solve(self) -> list[int]:
        columns = (self.weights, self.given, self.minima, self.caps)
        return divide(self.total, *(np.array(column, dtype=np.int64) for column in columns)).tolist()


def one_by_one(problem: Problem) -> list[int]:
    """The rule as it is written down."""
    shares = [min(given, cap) for given, cap in zip(problem.given, problem.caps, strict=True)]
    left = problem.total - sum(shares)
    clusters = range(len(shares))
    for at in sorted(clusters, key=lambda at: (-problem.weights[at], at)):
        lacking = min(problem.minima[at], problem.caps[at]) - shares[at]
        granted = max(0, min(left, lacking))
        shares[at] += granted
        left -= granted
    while left > 0:
        open_ = [at for at in clusters if problem.weights[at] > 0 and shares[at] < problem.caps[at]]
        if not open_:
            break
        best = max(open_, key=lambda at: (Fraction(problem.weights[at], 2 * shares[at] + 1), -shares[at], -at))
        shares[best] += 1
        left -= 1
    return shares


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    clusters = draw(st.integers(1, 7))

    def column(values: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(values, min_size=clusters, max_size=clusters))

    weight = st.one_of(st.integers(0, 4), st.integers(0, 100), st.integers(0, WEIGHT_MAX))
    some = st.one_of(st.just(0), st.integers(0, 20))
    caps = st.one_of(st.integers(0, 30), st.just(2**40))
    return Problem(draw(st.integers(0, 150)), column(weight), column(some), column(some), column(caps))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_the_closed_form_gives_what_one_by_one_gives(problem: Problem) -> None:
    assert problem.solve() == one_by_one(problem)


def test_a_closed_form_that_compares_too_coarsely_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: two heights that differ only in their last bits are taken for equal."""
    close = Problem(1, [WEIGHT_MAX - 1, WEIGHT_MAX], [0, 0], [0, 0], [2**28, 2**28])
    assert close.solve() == one_by_one(close) == [0, 1]
    interpreted(monkeypatch, division)
    assert close.solve() == [0, 1]

    def coarsely(one: int, other: int, shares: list[int], weights: list[int]) -> bool:
        return (2 * shares[one] + 1) / (weights[one] >> 10) < (2 * shares[other] + 1) / (weights[other] >> 10)

    monkeypatch.setattr(division, "_comes_before", coarsely)
    assert close.solve() != one_by_one(close)


def test_millions_of_replicas_over_the_largest_weights_stay_exact() -> None:
    """Twice the replicas over weights 2:1 give exactly 2:1, without overflow, and within a moment."""
    shares = Problem(3_000_000, [WEIGHT_MAX, WEIGHT_MAX // 2], [0, 0], [0, 0], [2**40, 2**40]).solve()
    assert shares == [2_000_000, 1_000_000]


def test_a_heavy_cluster_that_is_full_leaves_the_rest_to_the_light_ones() -> None:
    shares = Problem(1_000_000, [WEIGHT_MAX, 1, 1], [0, 0, 0], [0, 0, 0], [10, 2**40, 2**40]).solve()
    assert shares == [10, 499_995, 499_995]


def test_ties_go_to_fewer_given_then_to_the_first_name() -> None:
    assert Problem(1, [3, 1], [1, 0], [0, 0], [9, 9]).solve() == [1, 0]  # nothing left to give
    assert Problem(2, [3, 1], [1, 0], [0, 0], [9, 9]).solve() == [1, 1]  # 3/3 = 1/1: fewer given
    assert Problem(3, [1, 1], [0, 0], [0, 0], [9, 9]).solve() == [2, 1]


def test_weights_beyond_the_limit_are_refused() -> None:
    with pytest.raises(ValueError, match="weights go up to"):
        Problem(3, [WEIGHT_MAX + 1, 1], [0, 0], [0, 0], [9, 9]).solve()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 200))
def test_weights_by_room_never_need_their_caps(room: list[int], total: int) -> None:
    """When weights are the room and all fit, no cluster is offered more than it has."""
    total = min(total, sum(room))
    nothing = [0] * len(room)
    uncapped = Problem(total, room, nothing, nothing, [2**40] * len(room)).solve()
    assert all(share <= has for share, has in zip(uncapped, room, strict=True))
