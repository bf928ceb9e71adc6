"""Shares, what was had lately, and the order of service, in examples and in a small loop of admissions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import permutations
from random import Random

import pytest

from federator.engine.decay import ONE, kept_after, lately
from federator.engine.fair_order import FairOrder, Head
from federator.engine.quotas import Quotas
from federator.engine.shares import EMPHASIS, Shares
from federator.model.policy import Cohort, Queue
from federator.model.resources import Resources

DAY_S = 86_400.0
STEP_S = 900.0
STEPS_A_DAY = int(DAY_S / STEP_S)
SLOT = 1000
"""Millicores."""
Parts = dict[str, float]


def cpu(cores: float) -> Resources:
    return Resources.of({"cpu": round(cores * SLOT)})


def order_of(quotas: Quotas, cores: int, heads: list[Head]) -> FairOrder:
    return FairOrder(Shares(quotas, cpu(cores)), heads)


def served(quotas: Quotas, order: FairOrder, count: int) -> str:
    """The queues that are served (their names are one letter), each with ever the same head."""
    found = ""
    for _ in range(count):
        head = order.first()
        assert head is not None
        quotas.take(head.queue, head.amounts)
        order.put(head.queue, head)
        found += head.queue
    return found


def admissions(
    queues: tuple[Queue, ...], slots: int, days: int, had: Mapping[str, Resources], most_steps: int = 8
) -> Iterator[tuple[Parts, Parts]]:
    """Queues that never run dry, jobs of one slot and up to two hours: by step, the parts used and had lately."""
    random, quotas = Random(1), Quotas.of(queues)
    running: list[tuple[int, str]] = []
    had = {queue.name: had.get(queue.name, Resources()) for queue in queues}
    for step in range(days * STEPS_A_DAY):
        for queue in queues:
            use = {"cpu": quotas.used(queue.name, "cpu")}
            had[queue.name] = lately(had[queue.name], use, STEP_S, queue.half_life_s)
        for _, name in [job for job in running if job[0] <= step]:
            quotas.give_back(name, cpu(1))
        running = [job for job in running if job[0] > step]
        order = FairOrder(Shares(quotas, cpu(slots), had), [Head(queue.name, cpu(1)) for queue in queues])
        names = served(quotas, order, slots - len(running))
        running += [(step + random.randint(1, most_steps), name) for name in names]
        whole = sum(amounts["cpu"] for amounts in had.values()) or 1
        used = {queue.name: quotas.used(queue.name, "cpu") / (SLOT * slots) for queue in queues}
        yield used, {name: amounts["cpu"] / whole for name, amounts in had.items()}


def test_what_was_had_lately_nears_the_use_by_halves_and_the_number_of_steps_hardly_counts() -> None:
    once = lately({}, {"gpu": 8}, DAY_S, DAY_S)
    assert once == Resources.of({"gpu": 4_000_000_000})
    often = Resources()
    for _ in range(1440):
        often = lately(often, {"gpu": 8}, 60.0, DAY_S)
    assert abs(often["gpu"] - once["gpu"]) < 2000, "two millionths of a GPU"
    assert lately(once, {}, 2 * DAY_S, DAY_S) == Resources.of({"gpu": 1_000_000_000})
    assert lately(once, {}, 0, DAY_S) == once


def test_powers_of_one_half_are_right_to_the_last_bits() -> None:
    for ms in (1, 999, 60_000, 3_600_000, 86_399_999, 86_400_001, 10**9):
        assert kept_after(ms, 86_400_000) / ONE == pytest.approx(0.5 ** (ms / 86_400_000), rel=1e-12)
    assert kept_after(5, 0) == 0
    assert kept_after(-5, 10) == ONE


def test_the_lower_share_by_weight_is_served_first() -> None:
    quotas = Quotas.of([Queue("a", weight=1), Queue("b", weight=2)])
    assert served(quotas, order_of(quotas, 12, [Head("a", cpu(1)), Head("b", cpu(1))]), 12) == "babbabbabbab"


def test_dominant_resources_count() -> None:
    """Of 9 cores and 18 GiB, a asks for 1 core and 4 GiB, b for 3 cores and 1 GiB: three of a, two of b."""
    quotas = Quotas.of([Queue("a"), Queue("b")])
    shares = Shares(quotas, {"cpu": 9, "memory": 18})
    order = FairOrder(shares, [Head("a", {"cpu": 1, "memory": 4}), Head("b", {"cpu": 3, "memory": 1})])
    assert sorted(served(quotas, order, 5)) == list("aaabb")
    used = [shares.used(quotas.forest.queues[name]) for name in "ab"]
    assert used == [Fraction(2, 3), Fraction(2, 3)]


def test_who_stays_within_its_claim_is_served_before_who_borrows() -> None:
    lines = [Queue("a", cohort="all", quota=cpu(2), weight=9), Queue("b", cohort="all", quota=cpu(4))]
    quotas = Quotas.of(lines, usage={"a": cpu(2), "b": cpu(3)})
    order = order_of(quotas, 6, [Head("a", cpu(1)), Head("b", cpu(1))])
    assert served(quotas, order, 1) == "b"


def test_after_equal_shares_priority_then_age_then_name_count_and_a_queues_priority_before_all() -> None:
    def first(*heads: Head, lines: tuple[Queue, ...] = (Queue("a"), Queue("b"))) -> str:
        answers = set()
        for arranged in permutations(heads):
            head = order_of(Quotas.of(lines), 9, list(arranged)).first()
            answers.add(head.queue if head else "")
        (answer,) = answers
        return answer

    assert first(Head("a", cpu(1), 0), Head("b", cpu(1), 1)) == "b"
    assert first(Head("a", cpu(1), 0, 5.0), Head("b", cpu(1), 0, 4.0)) == "b"
    assert first(Head("a", cpu(1), name="y"), Head("b", cpu(1), name="x")) == "b"
    assert first(Head("a", cpu(1), 9), Head("b", cpu(5)), lines=(Queue("a"), Queue("b", priority=1))) == "b"
    assert first(Head("a", cpu(5)), Head("b", cpu(1)), lines=(Queue("a"), Queue("b", weight=0))) == "a"


def test_cohorts_share_with_each_other_first_and_their_queues_within() -> None:
    """Two cohorts of equal weight, one with three queues: each queue of it gets a sixth."""
    lines = [Queue("a", cohort="x"), Queue("b", cohort="x"), Queue("c", cohort="x"), Queue("d", cohort="y")]
    quotas = Quotas.of(lines, [Cohort("x"), Cohort("y")])
    names = served(quotas, order_of(quotas, 60, [Head(queue.name, cpu(1)) for queue in lines]), 60)
    assert {name: names.count(name) for name in "abcd"} == {"a": 10, "b": 10, "c": 10, "d": 30}


def test_as_many_are_served_in_one_stretch_as_one_by_one() -> None:
    lines = [Queue("a", weight=3), Queue("b", cohort="x", weight=2), Queue("c", cohort="x"), Queue("d")]
    usage = {"a": cpu(5), "b": cpu(17), "c": cpu(3), "d": cpu(40)}
    one = cpu(1)
    heads = [Head(queue.name, one) for queue in lines]
    single = Quotas.of(lines, usage=usage)
    names = served(single, order_of(single, 200, heads), 90)
    quotas = Quotas.of(lines, usage=usage)
    order, in_stretches = order_of(quotas, 200, heads), ""
    while len(in_stretches) < 90 and (head := order.first()):
        count = order.stretch(head.queue, 90 - len(in_stretches))
        quotas.take(head.queue, one * count)
        order.put(head.queue, head)
        in_stretches += head.queue * count
    assert in_stretches == names


def test_what_was_had_lately_tends_to_the_weights() -> None:
    """One had everything for long; after three half-lives all are within 2% of what their weights give."""
    queues = (Queue("a"), Queue("b", weight=2), Queue("c", weight=5))
    *_, (_, had) = admissions(queues, 100, 3, {"a": Resources.of({"cpu": 100 * 10**9})})
    assert had == pytest.approx({"a": 1 / 8, "b": 2 / 8, "c": 5 / 8}, abs=0.02)


def test_a_newcomer_gets_more_than_its_part_but_no_more_than_half_more_and_the_gap_halves_each_half_life() -> None:
    queues = (Queue("n"), Queue("o"))
    gaps, parts = [], []
    for used, had in admissions(queues, 100, 3, {"o": Resources.of({"cpu": 100 * 10**9})}):
        gaps.append(had["o"] - had["n"])
        parts.append(used["n"])
    assert max(parts) == 0.75
    assert min(parts[8:]) >= 0.48, "once its jobs run, it never falls below its own part"
    for day in (1, 2):
        at = day * STEPS_A_DAY
        assert gaps[at] <= max(gaps[at - STEPS_A_DAY] / 2, 0.01) + 0.01


def test_where_parts_are_smaller_than_a_job_all_take_turns() -> None:
    """One slot for weights 1 and 3: nobody starves; parts are right to a job divided by EMPHASIS."""
    queues = (Queue("a"), Queue("b", weight=3))
    *_, (_, had) = admissions(queues, 1, 8, {})
    assert had == pytest.approx({"a": 1 / 4, "b": 3 / 4}, abs=1 / EMPHASIS)
    assert had["a"] > 0.1


def test_one_that_asks_for_little_leaves_the_rest_to_the_weights_of_the_others() -> None:
    """What a had lately is all that it asks for, so b and c owe it nothing: they stand as their weights say."""
    lines = [Queue("a"), Queue("b", weight=2), Queue("c")]
    quotas = Quotas.of(lines)
    had = {"a": {"cpu": 10 * 10**9}, "b": {"cpu": 60 * 10**9}, "c": {"cpu": 30 * 10**9}}
    demand = {"a": cpu(10), "b": cpu(500), "c": cpu(500)}
    level = Shares(quotas, cpu(100), had, demand).levels[-1]
    assert set(level.owed.values()) == {0}
    assert {node: round(due / level.unit, 6) for node, due in level.due.items()} == {0: 0.1, 1: 0.6, 2: 0.3}
