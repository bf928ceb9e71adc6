"""What must hold of quotas, whatever the tree of cohorts; the slow answers are in ``lines``."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine.quotas import Quotas
from federator.model.policy import Queue
from federator.model.resources import Resources
from tests.properties.lines import MANY, RESOURCES, Lines, added, amounts, lines, lines_in_use

pytestmark = pytest.mark.thorough

InUse = tuple[Lines, dict[str, dict[str, int]]]


def quotas_of(drawn: Lines, use: dict[str, dict[str, int]]) -> Quotas:
    return Quotas.of(drawn.queues, drawn.cohorts, use)


def state(quotas: Quotas) -> dict[str, tuple[list[int], list[int]]]:
    """All that counting changes."""
    return {r: (ledger.used, ledger.total) for r, ledger in quotas.ledgers.items() if any(ledger.total)}


@given(lines_in_use())
def test_what_is_available_is_the_most_that_breaks_no_limit(in_use: InUse) -> None:
    drawn, use = in_use
    quotas = quotas_of(drawn, use)
    for queue in drawn.queues:
        for resource in RESOURCES:
            left = quotas.available(queue.name, resource)
            assert min(MANY, MANY if left is None else left) == drawn.allowed(queue.name, resource, use)


@given(lines(), st.lists(st.tuples(st.integers(0, 4), amounts(6)), max_size=12))
def test_no_limit_is_broken_anywhere_by_taking_what_is_available(
    drawn: Lines, asked: list[tuple[int, Resources]]
) -> None:
    quotas = quotas_of(drawn, {})
    use: dict[str, dict[str, int]] = {}
    for number, wanted in asked:
        queue = drawn.queues[number % len(drawn.queues)].name
        left = {r: quotas.available(queue, r) for r in wanted}
        taken = {r: min(wanted[r], wanted[r] if (most := left[r]) is None else most) for r in wanted}
        quotas.take(queue, taken)
        use = added(use, queue, taken)
    for one in (*drawn.queues, *drawn.cohorts):
        for resource in RESOURCES:
            assert drawn.excess(one, resource, use) <= 0, f"{one.name}: {resource}"


@given(lines_in_use(), st.integers(0, 4), amounts(12))
def test_giving_back_restores_everything(in_use: InUse, number: int, taken: Resources) -> None:
    drawn, use = in_use
    queue = drawn.queues[number % len(drawn.queues)].name
    quotas, same = quotas_of(drawn, use), quotas_of(drawn, use)
    quotas.take(queue, taken)
    copied = quotas.copy()
    quotas.give_back(queue, taken)
    assert state(quotas) == state(same)
    assert state(copied) == state(quotas_of(drawn, added(use, queue, taken))), "a copy is a copy"


@given(lines_in_use(), st.randoms(use_true_random=False))
def test_the_order_of_queues_and_cohorts_changes_no_quota(in_use: InUse, random: Random) -> None:
    drawn, use = in_use
    queues, cohorts, names = list(drawn.queues), list(drawn.cohorts), list(use)
    for one in (queues, cohorts, names):
        random.shuffle(one)
    shuffled = quotas_of(Lines(tuple(queues), tuple(cohorts)), {name: use[name] for name in names})
    quotas = quotas_of(drawn, use)
    assert state(shuffled) == state(quotas)
    for queue in drawn.queues:
        wanted = {"cpu": 2, "gpu": 1}
        assert shuffled.shortage(queue.name, wanted) == quotas.shortage(queue.name, wanted)


@given(lines_in_use(), st.integers(0, 4), amounts(4))
def test_as_many_more_fit_as_is_said_and_the_shortage_tells_why_not_one_beyond(
    in_use: InUse, number: int, requests: Resources
) -> None:
    drawn, use = in_use
    queue = drawn.queues[number % len(drawn.queues)].name
    quotas = quotas_of(drawn, use)
    more, shortage = quotas.more(queue, requests), quotas.shortage(queue, requests)
    assert (more is None) == (shortage is None)
    if more is None or shortage is None:
        return
    assert all(requests[r] * more <= drawn.allowed(queue, r, use) for r in requests)
    assert any(requests[r] * (more + 1) > drawn.allowed(queue, r, use) for r in requests)
    assert (shortage.needed, more) == (requests[shortage.resource], shortage.left // shortage.needed)


def test_a_resource_without_a_quota_in_the_tree_has_no_limit_but_elsewhere_it_may() -> None:
    quotas = Quotas.of([Queue("a", quota=Resources.of({"cpu": 4})), Queue("b")])
    assert (quotas.available("a", "cpu"), quotas.available("a", "gpu"), quotas.available("b", "cpu")) == (4, None, None)


def test_more_than_was_taken_cannot_be_given_back() -> None:
    quotas = Quotas.of([Queue("a")], usage={"a": {"cpu": 3}})
    with pytest.raises(ValueError, match="gives back 4 cpu, it has 3"):
        quotas.give_back("a", {"cpu": 4})


def test_a_limit_of_clusters_counts_all_that_its_name_or_glob_matches_together() -> None:
    caps = {"cloud-*": Resources.of({"cpu": 10}), "cloud-1": Resources.of({"cpu": 4}), "cern": Resources()}
    quotas = Quotas.of([Queue("a", cluster_quota=caps), Queue("b")])
    one = {"cpu": 1, "gpu": 1}
    assert [quotas.more_on("a", one, name) for name in ("cloud-1", "cloud-2", "cern")] == [4, 10, None]
    quotas.take("a", {"cpu": 3}, "cloud-1")
    quotas.take("a", {"cpu": 5}, "cloud-2")
    quotas.take("b", {"cpu": 9}, "cloud-2")
    assert [quotas.more_on("a", one, name) for name in ("cloud-1", "cloud-2", "cern")] == [1, 2, None]
    quotas.give_back("a", {"cpu": 5}, "cloud-2")
    assert {cap.pattern: cap.more(one) for cap in quotas.caps["a"]} == {"cern": None, "cloud-*": 7, "cloud-1": 1}
