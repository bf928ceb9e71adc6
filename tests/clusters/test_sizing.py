"""How many pilots a site is sent: as many as what waits needs, no more, and none into a fire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from federator.clusters.sizing import CLOSED_AFTER, Decision, End, Limits, Look, decide
from federator.model.resources import CPU, MEMORY, Resources

GIB = 1 << 30
SIZE = Resources.of({CPU: 8000, MEMORY: 16 * GIB})
ONE = Resources.of({CPU: 1000, MEMORY: GIB})
LIMITS = Limits(SIZE, most=50, waiting=10, first=4, backoff_s=60.0, backoff_max_s=600.0)
WIDE = replace(LIMITS, most=1000, waiting=1000, first=1000)
NOW = 10_000.0


def shape(cpu: int) -> Resources:
    return Resources.of({CPU: cpu * 1000})


def look(*demand: tuple[Resources, int], **more: Any) -> Look:
    return replace(Look(NOW, demand), **more)


def bad(*ages: float) -> tuple[End, ...]:
    return tuple(End(NOW - age, well=False) for age in ages)


def test_no_pilot_is_sent_where_nothing_waits() -> None:
    assert decide(look(), LIMITS).submit == 0


def test_as_many_are_sent_as_what_waits_fills() -> None:
    assert decide(look((ONE, 17)), WIDE).submit == 3, "8 fit one pilot"
    assert decide(look((shape(5), 4)), WIDE).submit == 4, "two of 5 cores do not share 8"
    assert decide(look((shape(5), 4), (shape(3), 4)), WIDE).submit == 4, "the small ones fill what the large ones leave"


def test_what_pilots_that_live_have_free_is_used_first() -> None:
    assert decide(look((ONE, 17), free=(SIZE, ONE * 3), live=2), WIDE).submit == 1


def test_pilots_on_their_way_count() -> None:
    assert decide(look((ONE, 33), waiting_s=(5.0, 5.0), starting=1), WIDE).submit == 2
    assert decide(look((ONE, 33), waiting_s=(5.0,) * 4, starting=1), WIDE) == Decision(needed=5, to_come=5 + 995 - 0)


def test_pilots_nobody_needs_any_more_are_taken_back_after_a_while_and_not_before() -> None:
    told = decide(look((ONE, 1), waiting_s=(5.0, 70.0, 80.0, 90.0)), LIMITS)
    assert (told.submit, told.withdraw) == (0, 3)
    assert decide(look((ONE, 1), waiting_s=(5.0, 5.0)), LIMITS).withdraw == 0


def test_every_cut_says_its_numbers() -> None:
    told = decide(look((ONE, 800), live=3, waiting_s=(1.0,)), LIMITS)
    assert told.submit == 5
    assert told.reasons == (
        "99 wanted, 46 sent: 4 of at most 50 are there or on their way",
        "46 wanted, 9 sent: 1 of at most 10 wait in the site's queue",
        "9 wanted, 5 sent: 3 live, so at most 6 are on their way at once; 1 are",
    )


def test_a_site_that_has_not_shown_itself_is_tried_with_few_and_trusted_as_they_come() -> None:
    wide = replace(LIMITS, most=1000, waiting=1000)
    sent = [decide(look((ONE, 8000), live=live), wide).submit for live in (0, 4, 12)]
    assert sent == [4, 8, 24]


def test_what_is_larger_than_a_pilot_is_no_reason_for_one() -> None:
    told = decide(look((shape(9), 2)), LIMITS)
    assert told.submit == 0
    assert told.reasons == ("2 replicas are larger than a pilot",)


def test_a_site_where_pilots_wait_too_long_is_full_and_is_not_counted_on() -> None:
    told = decide(look((ONE, 80), starting=1, waiting_s=(5.0, 700.0, 800.0)), LIMITS)
    assert (told.submit, told.to_come) == (0, 2)
    assert told.reasons == ("6 wanted, 0 sent: the site is full: 2 have waited longer than 600 s",)


def test_after_pilots_that_end_badly_it_waits_ever_longer_and_then_tries_one() -> None:
    """Two ended badly: a minute, doubled. Before that time none, then one, and none while that one is on its way."""
    waits = decide(look((ONE, 80), ends=bad(100.0, 90.0)), LIMITS)
    assert waits.submit == 0
    assert waits.again_s == NOW - 90.0 + 120.0
    assert waits.reasons == ("10 wanted, 0 sent: 2 in a row ended badly, the next is tried in 30 s",)
    assert not waits.closed
    assert decide(look((ONE, 80), ends=bad(200.0, 190.0)), LIMITS).submit == 1
    assert decide(look((ONE, 80), ends=bad(200.0, 190.0), starting=1), LIMITS).submit == 0


def test_a_site_is_closed_after_a_stated_number_and_offers_no_room_until_it_may_be_tried() -> None:
    told = decide(look((ONE, 80), ends=bad(*(10.0 + n for n in range(CLOSED_AFTER)))), LIMITS)
    assert told.closed
    assert told.to_come == 0
    assert "the site is closed: 3 in a row ended badly" in told.reasons[0]


def test_one_pilot_that_comes_opens_the_site_again() -> None:
    ends = bad(*(10.0 + n for n in range(CLOSED_AFTER)))
    assert not decide(look((ONE, 80), ends=ends, heard_s=NOW - 5.0, live=1), LIMITS).closed
    assert not decide(look((ONE, 80), ends=(*ends, End(NOW - 5.0, well=True))), LIMITS).closed


def test_a_site_where_every_pilot_dies_is_not_flooded() -> None:
    """A day of it: each pilot that is sent is dead ten seconds later, and hundreds are wanted all the time."""
    now_s, sent, ends = 0.0, 0, list[End]()
    while now_s < 86_400.0:
        told = decide(replace(look((ONE, 5000)), now_s=now_s, ends=tuple(ends)), LIMITS)
        sent += told.submit
        ends += [End(now_s + 10.0, well=False)] * told.submit
        now_s += 10.0
    assert LIMITS.first <= sent < 4 + 86_400 / 600 + 10, f"{sent} pilots in a day"


def look_young(seen: Look) -> int:
    """Pilots on their way that a site may still start soon."""
    return seen.starting + sum(age <= LIMITS.patience_s for age in seen.waiting_s)


AMOUNTS = st.integers(1, 12)
LOOKS = st.builds(
    Look,
    now_s=st.just(NOW),
    demand=st.lists(st.tuples(AMOUNTS.map(shape), st.integers(0, 300)), max_size=4).map(tuple),
    free=st.lists(AMOUNTS.map(shape), max_size=5).map(tuple),
    live=st.integers(5, 60),
    starting=st.integers(0, 10),
    waiting_s=st.lists(st.sampled_from([1.0, 100.0, 700.0]), max_size=15).map(tuple),
    heard_s=st.sampled_from([0.0, NOW - 50.0]),
    ends=st.lists(st.builds(End, st.floats(NOW - 900.0, NOW), st.booleans()), max_size=6).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(LOOKS)
def test_no_limit_is_passed_and_nothing_is_sent_and_taken_back_at_once(seen: Look) -> None:
    told = decide(seen, LIMITS)
    coming = len(seen.waiting_s) + seen.starting
    assert told.submit >= 0
    assert 0 <= told.withdraw <= len(seen.waiting_s)
    assert not (told.submit and told.withdraw)
    if told.submit:
        assert seen.live + coming + told.submit <= LIMITS.most
        assert len(seen.waiting_s) + told.submit <= LIMITS.waiting
        assert coming + told.submit <= told.needed, "more than what waits could fill"
    assert coming - told.withdraw >= min(told.needed, coming), "what is needed was taken back"
    assert told.to_come >= look_young(seen) - told.withdraw
    if told.submit < told.needed - coming:
        assert told.reasons, "fewer than wanted, and no reason"


@settings(max_examples=60, deadline=None)
@given(LOOKS)
def test_it_comes_to_rest(seen: Look) -> None:
    """What was sent is on its way at the next look: for the same demand nothing more is sent."""
    calm = replace(seen, ends=(), demand=seen.demand)
    told = decide(calm, WIDE)
    left = sorted(calm.waiting_s)[: len(calm.waiting_s) - told.withdraw]
    after = replace(calm, waiting_s=(*left, *(100.0,) * told.submit))
    again = decide(after, WIDE)
    assert again.submit == 0
    assert again.withdraw <= sum(age < WIDE.keep_waiting_s for age in calm.waiting_s)
