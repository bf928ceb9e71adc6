"""Preemption by shares, in examples: those by which Kueue explains its rules, trees of cohorts, and what is spared."""

from __future__ import annotations

import pytest

from federator.engine.quotas import Quotas
from federator.engine.victims import Candidate, Rule, Taker, victims
from federator.model.policy import Cohort, Queue
from federator.model.resources import Resources


def cpu(amount: int) -> Resources:
    return Resources.of({"cpu": amount})


THREE = tuple(Queue(name, cohort="all", quota=cpu(3)) for name in "abc")


def gives_way(
    wanted: Taker,
    *running: Candidate,
    queues: tuple[Queue, ...] = THREE,
    cohorts: tuple[Cohort, ...] = (),
    rules: tuple[Rule, ...] = (Rule.FINAL, Rule.INITIAL),
) -> list[str] | None:
    """The names of what gives way."""
    quotas = Quotas.of(queues, cohorts)
    for one in running:
        quotas.take(one.queue, one.amounts)
    found = victims(quotas, wanted, running, rules)
    return None if found is None else [victim.candidate.name for victim in found]


def ones(queue: str, count: int) -> list[Candidate]:
    return [Candidate(f"{queue}{number}", queue, cpu(1)) for number in range(1, count + 1)]


def test_what_only_turns_the_imbalance_round_is_refused() -> None:
    assert gives_way(Taker("w", "a", cpu(1)), *ones("a", 3), *ones("b", 5), *ones("c", 1)) == ["b1"]
    assert gives_way(Taker("w", "a", cpu(2)), *ones("a", 3), *ones("b", 5), *ones("c", 1)) is None


def test_where_room_is_left_nothing_gives_way() -> None:
    assert gives_way(Taker("w", "a", cpu(1)), *ones("b", 5)) == []


def test_the_least_lost_work_gives_way_among_equals_then_the_youngest() -> None:
    lost = [Candidate(f"b{n}", "b", cpu(1), lost_s=s) for n, s in ((1, 900.0), (2, 60.0), (3, 600.0), (4, 600.0))]
    assert gives_way(Taker("w", "a", cpu(1)), *ones("a", 2), *ones("c", 3), *lost) == ["b2"]
    young = [Candidate(f"b{n}", "b", cpu(1), ran_s=s) for n, s in ((1, 900.0), (2, 60.0), (3, 600.0), (4, 600.0))]
    assert gives_way(Taker("w", "a", cpu(1)), *ones("a", 2), *ones("c", 3), *young) == ["b2"]
    urgent = [Candidate(f"b{n}", "b", cpu(1), n, lost_s=9.0 - n) for n in (1, 2, 3, 4)]
    assert gives_way(Taker("w", "a", cpu(1)), *ones("a", 2), *ones("c", 3), *urgent) == ["b1"]


def test_a_gang_gives_way_whole_and_what_it_made_needless_is_given_back() -> None:
    """b's single pieces go first, as they lose less; the gang then frees enough alone."""
    running = [*ones("b", 3), Candidate("gang", "b", cpu(6), lost_s=60.0)]
    assert gives_way(Taker("w", "a", cpu(3)), *running, rules=(Rule.FINAL,)) == ["b1", "b2", "b3"]
    assert gives_way(Taker("w", "a", cpu(3)), *running[1:], *ones("c", 1)) == ["gang"]


def test_what_has_not_run_long_enough_or_displaced_the_taker_is_spared() -> None:
    others = [*ones("a", 2), *ones("c", 3)]
    young = [Candidate(f"b{n}", "b", cpu(1), ran_s=60.0, min_run_s=300.0) for n in (1, 2, 3, 4)]
    assert gives_way(Taker("w", "a", cpu(1)), *others, *young) is None
    winners = [Candidate(f"b{n}", "b", cpu(1), displaced=frozenset({"w"})) for n in (1, 2, 3, 4)]
    assert gives_way(Taker("w", "a", cpu(1)), *others, *winners) is None
    assert gives_way(Taker("x", "a", cpu(1)), *others, *winners) == ["b1"]


@pytest.mark.parametrize(("quota", "expected"), [(2, ["c1"]), (6, ["d1"])])
def test_one_that_borrows_in_a_cohort_that_does_not_is_spared(quota: int, expected: list[str]) -> None:
    """a wants its own back. d borrows from its cohort y; only where y borrows too does anybody in y give way."""
    queues = (
        Queue("a", cohort="all", quota=cpu(4)),
        Queue("c", cohort="all", quota=cpu(0)),
        Queue("d", cohort="y", quota=cpu(0)),
        Queue("e", cohort="y", quota=cpu(4)),
    )
    cohorts = (Cohort("y", "all"),)
    borrowed = {2: 3, 6: 6}[quota]
    running = [Candidate("c1", "c", cpu(8 - borrowed)), *(Candidate(f"d{n + 1}", "d", cpu(1)) for n in range(borrowed))]
    assert gives_way(Taker("w", "a", cpu(1)), *running, queues=queues, cohorts=cohorts) == expected


def test_shares_are_compared_where_the_ways_part() -> None:
    """b and c are of cohort x, which has as much as y: by what they have together, neither gives way to d."""
    queues = (Queue("b", cohort="x"), Queue("c", cohort="x"), Queue("d", cohort="y"))
    cohorts = (Cohort("x", "all"), Cohort("y", "all"), Cohort("all", quota=cpu(8)))
    even = [*ones("b", 2), *ones("c", 2), *ones("d", 4)]
    assert gives_way(Taker("w", "d", cpu(1)), *even, queues=queues, cohorts=cohorts) is None
    more = [*ones("b", 3), *ones("c", 3), *ones("d", 2)]
    assert gives_way(Taker("w", "d", cpu(2)), *more, queues=queues, cohorts=cohorts) == ["b1", "c1"]
    assert gives_way(Taker("w", "c", cpu(1)), *ones("b", 7), *ones("d", 1), queues=queues, cohorts=cohorts) == ["b1"]


def test_another_tree_is_left_alone() -> None:
    queues = (Queue("a", quota=cpu(3)), Queue("b", quota=cpu(1)))
    assert gives_way(Taker("w", "a", cpu(4)), *ones("b", 5), queues=queues) is None
