"""What must hold of preemption, whatever the tree of cohorts; judged by the slow answers of ``lines``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from federator.engine.quotas import Quotas
from federator.engine.victims import Candidate, Cause, Rule, Taker, Victim, victims
from tests.properties.lines import RESOURCES, Lines, added, lines

pytestmark = pytest.mark.thorough

Scene = tuple[Lines, tuple[Candidate, ...], Taker]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Queues of one tree that hold what they may, in up to twelve pieces, and one that wants more."""
    drawn = draw(lines(contended=True))
    names = st.sampled_from([queue.name for queue in drawn.queues])
    quotas, running = Quotas.of(drawn.queues, drawn.cohorts), []
    for number in range(draw(st.integers(4, 12))):
        one = Candidate(
            name=f"w{number}",
            queue=draw(names),
            amounts={"cpu": draw(st.integers(1, 5)), "gpu": draw(st.integers(0, 1))},
            priority=draw(st.integers(0, 2)),
            ran_s=draw(st.sampled_from([600.0, 600.0, 60.0])),
            min_run_s=draw(st.sampled_from([0.0, 0.0, 300.0])),
            lost_s=draw(st.sampled_from([0.0, 60.0])),
            displaced=draw(st.sampled_from([frozenset(), frozenset(), frozenset(), frozenset({"new"})])),
        )
        if quotas.more(one.queue, one.amounts) != 0:
            quotas.take(one.queue, one.amounts)
            running.append(one)
    taker = Taker("new", draw(names), {"cpu": draw(st.integers(1, 4)), "gpu": 1}, draw(st.integers(0, 2)))
    return drawn, tuple(running), taker


def quotas_of(drawn: Lines, running: Sequence[Candidate]) -> Quotas:
    quotas = Quotas.of(drawn.queues, drawn.cohorts)
    for one in running:
        quotas.take(one.queue, one.amounts)
    return quotas


def may_start(drawn: Lines, running: Sequence[Candidate], taker: Taker) -> bool:
    """Whether the taker's queue may have what it wants beside these, by the slow count."""
    use: dict[str, dict[str, int]] = {}
    for one in running:
        use = added(use, one.queue, one.amounts)
    return all(amount <= drawn.allowed(taker.queue, r, use) for r, amount in taker.amounts.items())


def without(running: Sequence[Candidate], gone: Sequence[Victim]) -> list[Candidate]:
    return [one for one in running if one.name not in {victim.candidate.name for victim in gone}]


@given(scenes())
def test_those_who_give_way_are_enough_and_none_of_them_is_spared_in_vain(scene: Scene) -> None:
    drawn, running, taker = scene
    found = victims(quotas_of(drawn, running), taker, running)
    if found is None:
        assert not may_start(drawn, running, taker)
        return
    assert may_start(drawn, without(running, found), taker)
    for victim in found:
        others = [other for other in found if other is not victim]
        assert not may_start(drawn, without(running, others), taker), f"{victim.candidate.name} need not give way"


@given(scenes())
def test_nobody_gives_way_that_is_protected_or_borrows_nothing(scene: Scene) -> None:
    drawn, running, taker = scene
    found = victims(quotas_of(drawn, running), taker, running)
    use: dict[str, dict[str, int]] = {}
    for one in running:
        use = added(use, one.queue, one.amounts)
    for victim in found or ():
        one = victim.candidate
        assert one.ran_s >= one.min_run_s
        assert "new" not in one.displaced
        if one.queue == taker.queue:
            assert (victim.cause, one.priority < taker.priority) == (Cause.LOWER_PRIORITY, True)
        else:
            line = drawn.path(one.queue)[0]
            assert any(drawn.used(line, r, use) > drawn.claim(line, r) for r in RESOURCES)


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_candidates_changes_nothing(scene: Scene, random: Random) -> None:
    drawn, running, taker = scene
    shuffled = list(running)
    random.shuffle(shuffled)
    quotas = quotas_of(drawn, running)
    before = {resource: list(ledger.used) for resource, ledger in quotas.ledgers.items()}
    assert victims(quotas, taker, shuffled) == victims(quotas, taker, running)
    assert {resource: list(ledger.used) for resource, ledger in quotas.ledgers.items()} == before


@given(scenes())
def test_who_stays_within_its_claim_gets_it(scene: Scene) -> None:
    """Where nothing is protected, what runs was let in by the limits, and only one resource counts."""
    drawn, pieces, taker = scene
    use: dict[str, dict[str, int]] = {}
    running = []
    for one in pieces:
        wanted = one.amounts.get("cpu", 0)
        if wanted <= drawn.allowed(one.queue, "cpu", use):
            running.append(Candidate(one.name, one.queue, {"cpu": wanted}))
            use = added(use, one.queue, {"cpu": wanted})
    path = drawn.path(taker.queue)
    wanted = min((drawn.claim(one, "cpu") - drawn.used(one, "cpu", use) for one in path[:-1]), default=0)
    if wanted > 0:
        found = victims(quotas_of(drawn, running), replace(taker, amounts={"cpu": wanted}), running)
        assert found is not None
        event(f"{len(found)} give way")
        assert {victim.cause for victim in found} <= {Cause.RECLAIM}


@given(scenes(), st.sampled_from([(Rule.FINAL,), (Rule.FINAL, Rule.INITIAL)]))
def test_what_gave_way_does_not_at_once_displace_what_displaced_it(scene: Scene, rules: tuple[Rule, ...]) -> None:
    drawn, running, taker = scene
    found = victims(quotas_of(drawn, running), taker, running, rules)
    if not found:
        return
    gave_way = frozenset(victim.candidate.name for victim in found)
    winner = Candidate(taker.name, taker.queue, taker.amounts, taker.priority, displaced=gave_way)
    now = [*without(running, found), winner]
    for victim in found:
        one = victim.candidate
        back = Taker(one.name, one.queue, one.amounts, one.priority)
        again = victims(quotas_of(drawn, now), back, now, rules) or ()
        assert taker.name not in {other.candidate.name for other in again}


@given(scenes(), st.sets(st.integers(0, 9)))
def test_room_on_clusters_counts_as_well_as_quota(scene: Scene, useful: set[int]) -> None:
    """Room appears once all of some pieces are gone: those give way, or nothing does."""
    drawn, running, taker = scene
    needed = {f"w{number}" for number in useful if number < len(running)}
    found = victims(
        quotas_of(drawn, running), taker, running, fits=lambda gone: needed <= {candidate.name for candidate in gone}
    )
    assert found is None or needed <= {victim.candidate.name for victim in found}
