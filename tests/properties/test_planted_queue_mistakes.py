"""Each property of quotas, order and preemption fails once its mistake is planted: the tests can fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from federator.engine import shares, victims
from federator.engine.ledger import Ledger
from federator.engine.quotas import Quotas
from tests.properties import test_fair_order as of_order
from tests.properties import test_quotas as of_quotas
from tests.properties import test_victims as of_victims
from tests.properties.lines import lines_in_use

pytestmark = pytest.mark.thorough

Binding = tuple[int | None, int, bool]
QUICK = settings(
    max_examples=600,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
SHUFFLES = st.randoms(use_true_random=False)


def one_too_many(self: Ledger, queue: int, right: Callable[[Ledger, int], Binding] = Ledger.binding) -> Binding:
    left, node, borrows = right(self, queue)
    return (left + 1 if left else left), node, borrows


def forgets_what_is_kept(self: Ledger, queue: int, amount: int) -> None:
    for node in self.forest.paths[queue]:
        self.total[node] += amount
        self.used[node] += amount


def gives_nothing_back(self: Any) -> tuple[victims.Victim, ...]:
    return tuple(self.found)


def spares_nobody(one: victims.Candidate, taker: victims.Taker, contested: set[str]) -> bool:
    return one.name != taker.name


def nobody_borrows(self: Quotas, node: int, amounts: object) -> bool:
    return False


MISTAKES = [
    (
        Ledger,
        "binding",
        one_too_many,
        of_quotas.test_what_is_available_is_the_most_that_breaks_no_limit,
        [lines_in_use()],
    ),
    (
        Ledger,
        "add",
        forgets_what_is_kept,
        of_quotas.test_what_is_available_is_the_most_that_breaks_no_limit,
        [lines_in_use()],
    ),
    (
        victims._Search,
        "_needed",
        gives_nothing_back,
        of_victims.test_those_who_give_way_are_enough_and_none_of_them_is_spared_in_vain,
        [of_victims.scenes()],
    ),
    (
        victims,
        "_may_give",
        spares_nobody,
        of_victims.test_nobody_gives_way_that_is_protected_or_borrows_nothing,
        [of_victims.scenes()],
    ),
    (
        victims,
        "_may_give",
        spares_nobody,
        of_victims.test_what_gave_way_does_not_at_once_displace_what_displaced_it,
        [of_victims.scenes(), st.just((victims.Rule.FINAL, victims.Rule.INITIAL))],
    ),
    (
        Quotas,
        "borrows",
        nobody_borrows,
        of_order.test_the_head_that_the_slow_count_says_is_served_each_time,
        [of_order.scenes(), SHUFFLES],
    ),
    (
        shares,
        "EMPHASIS",
        7,
        of_order.test_the_head_that_the_slow_count_says_is_served_each_time,
        [of_order.scenes(), SHUFFLES],
    ),
]


@pytest.mark.parametrize(
    ("place", "name", "mistake", "claim", "drawn"), MISTAKES, ids=lambda value: getattr(value, "__name__", None)
)
def test_the_claim_fails_with_the_mistake(
    place: object, name: str, mistake: object, claim: Any, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, mistake)
    fails = QUICK(given(*drawn)(claim.hypothesis.inner_test))
    with pytest.raises(AssertionError):
        fails()
