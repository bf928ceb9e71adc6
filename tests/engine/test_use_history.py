"""What is known of how others came to use a cluster: as a naive reckoning over all that was seen has it."""

from __future__ import annotations

from collections import Counter
from random import Random

from federator.engine.use_history import AROUND, DAYS, KEPT, RECENT, SLOT_S, SLOTS_A_DAY, WITHIN, UseHistory
from federator.model.cluster import Rise
from tests.engine.build import amounts

DAY_S = 86_400.0
MINUTE_S = 60.0


def by_cores(rise: Rise) -> dict[int, int]:
    """How often others came for so many cores."""
    return {by["cpu"] // 1000: times for by, times in rise.samples}


def test_nothing_is_known_at_first_and_five_minutes_later_the_first_five() -> None:
    history = UseHistory()
    assert history.see(10_000 * SLOT_S, amounts(8)) == ()
    assert history.see(10_000 * SLOT_S + 100.0, amounts(5)) == ()
    assert history.next_s == 10_001 * SLOT_S
    (rise,) = history.see(10_001 * SLOT_S + 7.0, amounts(8))
    assert rise == Rise(300.0, ((amounts(3), 1),))


def test_the_longer_the_time_the_more_others_came_to_use() -> None:
    """Four cores are taken at a time, every half hour, and given back after two minutes."""
    history = UseHistory()
    told: tuple[Rise, ...] = ()
    for minute in range(12 * 60):
        told = history.see(DAY_S + minute * MINUTE_S, amounts(8 if minute % 30 > 2 or minute % 30 == 0 else 4))
    assert [rise.within_s for rise in told] == [300.0, 900.0, 3600.0, 14_400.0]
    assert [by_cores(rise) for rise in told] == [{0: 20, 4: 4}, {0: 12, 4: 12}, {4: 24}, {4: 24}]


def test_what_happened_at_this_time_of_earlier_days_counts() -> None:
    """For three days twelve cores are taken at noon. At a quarter to noon of the fourth that is known."""
    history = UseHistory()
    told: tuple[Rise, ...] = ()
    for quarter in range(3 * 96 + 48):
        told = history.see(quarter * 15 * MINUTE_S, amounts(4 if quarter % 96 in (48, 49, 50) else 16))
    within_an_hour = by_cores(told[2])
    assert within_an_hour[12] == 3 * len(AROUND), "at all these moments noon was less than an hour away"
    assert within_an_hour[0] == RECENT, "this morning nobody came"


def naive(first: list[int], least: list[int], slot: int, length: int) -> dict[int, int]:
    """From what was free at the beginning of each slot, and the least in it: how often so much more was used."""
    begins = [slot - length - back for back in range(RECENT)]
    begins += [slot - day * SLOTS_A_DAY + by for day in range(1, DAYS + 1) for by in AROUND]
    inside = [begin for begin in begins if begin >= 0 and begin + length <= slot]
    return dict(Counter(first[at] - min(least[at : at + length]) for at in inside))


def test_all_of_it_is_as_a_naive_reckoning_has_it() -> None:
    """Nine days of looks, none in some slots."""
    random, history = Random(3), UseHistory()
    first: list[int] = []
    least: list[int] = []
    free = 5
    for slot in range(9 * SLOTS_A_DAY):
        first.append(free)
        least.append(free)
        if slot and random.random() < 0.3:
            continue
        free = random.randint(0, 20)
        first[0] = free if slot == 0 else first[0]
        least[-1] = free if slot == 0 else min(least[-1], free)
        told = history.see(slot * SLOT_S, amounts(free))
        if slot > max(WITHIN) and slot % 40 == 0:
            assert [by_cores(rise) for rise in told] == [naive(first, least, slot, length) for length in WITHIN]


def test_what_was_kept_goes_on_as_if_nothing_had_been_between() -> None:
    """Two resources, for a little more than a week; one of them comes later. Every few hours another takes over, in the
    middle of a slot."""
    random, unbroken = Random(5), UseHistory(100.0)
    broken = UseHistory(100.0)
    at_s = 50 * DAY_S
    for look in range(6000):
        at_s += random.uniform(0.0, SLOT_S / 1.1)
        free = amounts(random.randrange(20), memory=random.randrange(5) if look > 500 else 0)
        if look % 40 > 30 and (at_s + 100.0) // SLOT_S == broken.slot:
            broken = UseHistory(100.0, broken.learnt())
        assert broken.see(at_s, free) == unbroken.see(at_s, free)
    assert unbroken.slot > KEPT + 50 * SLOTS_A_DAY, "the ring of slots was not used up"


def test_of_the_time_between_nothing_is_known() -> None:
    """Others come for three cores in every slot; then nobody looks for an hour. Nobody is taken to have rested then."""
    history = UseHistory()
    for half in range(2 * 12 * 3):
        history.see(DAY_S + half * SLOT_S / 2, amounts(8 if half % 2 == 1 else 5))
    learnt = history.learnt()
    assert learnt is not None
    resumed = UseHistory(learnt=learnt)
    after_s = DAY_S + 4 * 3600.0
    assert [free["cpu"] for _, free in resumed.kept_since(after_s - 4200.0)] == [5000, 5000]
    assert [by_cores(rise) for rise in resumed.see(after_s, amounts(8))] == [{3: 12}, {3: 12}, {3: 12}]
    assert not list(resumed.kept_since(0.0)), "it was seen since"
