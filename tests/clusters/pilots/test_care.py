"""A node that eats work is found after three failures, and work that fails everywhere closes no node."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.clusters.pilots import care as module
from federator.clusters.pilots.care import (
    BACKOFF_MAX_S,
    BACKOFF_S,
    BROKEN,
    FAILED_IN_A_ROW,
    REMEMBERED_S,
    Care,
    Doubt,
    Judged,
)

STORIES = {
    "two workloads, nothing known of them": ("p-a p-b p-a", "p"),
    "two failures are too few": ("p-a p-b", ""),
    "a success between": ("p-a p-b p+c p-a", ""),
    "one workload, nothing known of it": ("p-a p-a p-a p-a p-a", ""),
    "one workload that ran elsewhere before": ("q+a p-a p-a p-a", "p"),
    "one workload that runs elsewhere later": ("p-a p-a p-a q+a", "p"),
    "one workload that ran here before": ("p+a p-a p-a p-a", ""),
    "one workload that succeeds here later": ("p-a p-a p-a p+a q+a", ""),
    "one workload that fails everywhere": ("p-a q-a r-a s-a p-a q-a r-a s-a p-a q-a r-a s-a", ""),
    "two workloads that fail everywhere": ("p-a q-a r-a s-a p-b q-b r-b s-b p-a q-b r-a s-a t-a t-b t-a t-b", ""),
    "one that fails everywhere, and one failure of another": ("q-a r-a s-a p-a p-a p-a p-b q+b", ""),
    "one that fails everywhere, and three of another": ("q-a r-a s-a p-a p-b p-a p-b p-b q+b", "p"),
    "two of four nodes are broken": ("p-a q-a p-a q-a p-a q-a r+a s+a", "p q"),
    "two of three nodes are broken": ("p-a q-a p-a q-a p-a q-a r+a", "p q"),
}


def end(care: Care, pilot: str, lease: str, workload: str, *, well: bool, now_s: float, ran_s: float = 0.0) -> Judged:
    """A replica ended, at once unless it is said."""
    return care.ended(pilot, lease, workload, well=well, ran_s=ran_s, now_s=now_s)


def tell(story: str, care: Care | None = None, at_s: float = 0.0) -> Care:
    """``p-a``: a replica of workload a failed on pilot p; ``q+b``: one of b succeeded on q. One a second."""
    care = care or Care()
    for number, (pilot, sign, workload) in enumerate(story.split()):
        end(care, pilot, f"lease-{at_s}-{number}", workload, well=sign == "+", now_s=at_s + number)
    return care


@pytest.mark.parametrize(("story", "suspects"), STORIES.values(), ids=STORIES.keys())
def test_pilots_become_suspect_where_what_they_ran_speaks_against_them(story: str, suspects: str) -> None:
    assert sorted(tell(story).doubts) == suspects.split()


@given(st.lists(st.tuples(st.sampled_from("pqrstuvwxyz"), st.sampled_from("ab")), max_size=200))
def test_two_workloads_that_fail_everywhere_close_three_pilots_at_most(failures: list[tuple[str, str]]) -> None:
    assert len(tell(" ".join(f"{pilot}-{workload}" for pilot, workload in failures)).doubts) <= BROKEN


def fails_at(care: Care, *moments: float, ran_s: float = 0.0) -> bool:
    """Whether p is suspect after replicas of a failed there at these times."""
    for at_s in moments:
        end(care, "p", f"lease at {at_s}", "a", well=False, ran_s=ran_s, now_s=at_s)
    return "p" in care.doubts


def running(*pilots: str) -> Care:
    """Care of pilots that have run replicas of a since 0."""
    care = Care()
    for pilot in pilots:
        care.began(pilot, f"{pilot}'s", "a", 0.0)
        care.began(pilot, f"{pilot}'s second", "a", 4.0)
    return care


def test_what_runs_elsewhere_for_long_speaks_for_the_work_before_any_of_it_has_ended() -> None:
    assert not fails_at(running("q"), 1.0, 2.0, 3.0, 4.0, 4.9), "as yet it might fail there, too"
    assert fails_at(running("q"), 1.0, 2.0, 3.0, 5.0), "it is known with the next failure"
    assert not fails_at(running("q"), 20.0, 21.0, 22.0, ran_s=3.0), "by what it ran here that is not long"
    assert fails_at(running("q"), 28.0, 29.0, 30.0, ran_s=3.0)
    assert not fails_at(running("p"), 28.0, 29.0, 30.0), "it has to be elsewhere"
    gone = running("q")
    gone.over("q", "q's", "a")
    gone.over("q", "q's second", "a")
    assert not fails_at(gone, 28.0, 29.0, 30.0)
    assert not gone._running


def test_work_that_fails_everywhere_is_not_held_up() -> None:
    care = tell("p-a p-a p-a")
    assert [care.most("p", "a", at_s) for at_s in (2.0, 6.9, 7.0)] == [0, 0, 1]
    care.began("p", "one", "a", 7.0)
    assert [care.most("p", "a", at_s) for at_s in (7.0, 11.9, 12.0)] == [0, 0, 1]
    assert care.most("p", "b", 7.0) is None
    assert care.most("q", "a", 7.0) is None
    assert [care.fell_due(at_s) for at_s in (11.0, 12.0, 13.0)] == [False, True, False]
    tell("q-a r-a s-a", care, 13.0)
    assert care.most("p", "a", 16.0) is None
    assert tell("p-a p-a p-a p+a").most("p", "a", 4.0) is None


def test_four_broken_nodes_among_good_ones_do_not_make_work_look_broken() -> None:
    care = running("u", "v")
    tell("q-a r-a s-a t-a q-a r-a s-a t-a q-a r-a s-a t-a", care, 1.0)
    assert fails_at(care, 8.0, 9.0, 10.0)
    assert fails_at(running("u"), 8.0, 9.0, 10.0)
    mostly = running("u")
    tell("q-a r-a s-a t-a", mostly)
    assert not fails_at(mostly, 8.0, 9.0, 10.0), "it runs on one of five"


def test_what_ran_elsewhere_is_known_for_an_hour() -> None:
    for later_s, suspects in ((REMEMBERED_S - 10.0, ["p"]), (REMEMBERED_S + 10.0, [])):
        assert list(tell("p-a p-a p-a", tell("q+a"), later_s).doubts) == suspects
        assert list(tell("q+a", tell("p-a p-a p-a"), later_s).doubts) == ["p"], "the failures are not forgotten"


def test_the_failure_that_closes_a_pilot_and_those_after_it_are_excused() -> None:
    care = tell("p-a p-b")
    assert end(care, "p", "third", "a", well=False, now_s=5.0) == Judged(True, ("p",))
    assert end(care, "p", "third", "a", well=False, now_s=5.0) == Judged(True), "told twice, it counts once"
    assert end(care, "p", "it ran already", "c", well=False, now_s=6.0) == Judged(True)
    tell("q-c r-c s-c", care, 7.0)
    assert not end(care, "p", "and that", "c", well=False, now_s=20.0).excused, "it fails everywhere"
    assert end(care, "p", "and that too", "a", well=True, now_s=21.0) == Judged()
    assert care.doubts["p"].words(20.0) == "3 payloads of 2 workloads failed in a row; one is tried in 45 s"


def test_an_end_that_is_told_twice_counts_once() -> None:
    care = Care()
    for _ in range(FAILED_IN_A_ROW):
        end(care, "p", "a lease", "a", well=False, now_s=0.0)
        end(care, "p", "another", "b", well=False, now_s=0.0)
    assert not care.doubts


def probe(care: Care, now_s: float, *, well: bool, workload: str = "x") -> Judged:
    """The pilot is given its one payload, which ends at once."""
    assert care.doubts["p"].takes(now_s)
    care.doubts["p"].probe = f"probe at {now_s}"
    assert not care.doubts["p"].takes(now_s), "one at a time"
    return end(care, "p", f"probe at {now_s}", workload, well=well, now_s=now_s)


def test_probes_come_ever_later_until_one_succeeds() -> None:
    care, now_s, waits = tell("p-a p-b p-a"), 2.0, []
    for _ in range(9):
        due_s = care.doubts["p"].due_s
        waits.append(due_s - now_s)
        assert not care.doubts["p"].takes(due_s - 0.1)
        now_s = due_s
        assert probe(care, now_s, well=False) == Judged(True)
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]
    assert care.doubts["p"].words(now_s) == (
        "3 payloads of 2 workloads failed in a row, and 9 probes since; one is tried in 3600 s"
    )
    assert probe(care, now_s + BACKOFF_MAX_S, well=True) == Judged(False, ("p",))
    assert not care.doubts
    assert list(tell("p-a p-b p-a", care, now_s + 4000.0).doubts) == ["p"], "it is watched as before"
    assert care.doubts["p"].failed == 0


def test_a_probe_with_work_that_fails_everywhere_decides_nothing() -> None:
    care = tell("p-a p-b p-a q-x r-x s-x")
    assert probe(care, 62.0, well=False) == Judged(False)
    assert (care.doubts["p"].failed, care.doubts["p"].due_s) == (0, 122.0)


def test_a_probe_passes_when_it_runs_ten_times_as_long_as_what_failed() -> None:
    for ran_s, passes_s in ((1.0, 60.0), (30.0, 300.0)):
        care = Care()
        for number, workload in enumerate("aba"):
            end(care, "p", str(number), workload, well=False, ran_s=ran_s, now_s=0.0)
        assert care.passed(10**6) == [], "there is no probe"
        care.doubts["p"].probe, care.doubts["p"].since_s = "probe", 100.0
        assert care.passed(100.0 + passes_s - 1.0) == []
        assert care.passed(100.0 + passes_s) == ["p"]
        assert not care.doubts


def test_each_probe_that_falls_due_is_told_of_once() -> None:
    care = tell("p-a p-b p-a")
    assert [care.fell_due(at) for at in (61.0, 62.0, 63.0)] == [False, True, False]
    probe(care, 63.0, well=False)
    assert [care.fell_due(at) for at in (182.0, 183.0, 184.0)] == [False, True, False]


def test_a_new_pilot_where_a_suspect_one_was_begins_with_a_probe() -> None:
    care = tell("p-a p-b p-a")
    care.gone("p", "node7", 10.0)
    assert not care.doubts
    assert care.joined("q", "node8", 11.0) is None
    for name in ("p", "q"):
        doubt = care.joined(name, "node7", 12.0)
        assert doubt is not None
        assert doubt.takes(12.0)
    probe(care, 12.0, well=True)
    assert list(care.doubts) == ["q"]
    assert care.joined("r", "node7", 13.0) is None, "it has been repaired"
    assert tell("p-a p-b p-a").joined("q", "", 12.0) is None


def test_what_is_kept_is_bounded() -> None:
    care = Care()
    for number in range(20_000):
        end(care, f"p{number % 50}", f"l{number}", f"w{number % 7000}", well=number % 3 == 0, now_s=number * 2.0)
    assert len(care._ends) <= REMEMBERED_S / 2.0 + 1
    assert max(len(run) for run in care._runs.values()) <= module.LONGEST_RUN
    assert max(len(ends.by_pilot) for ends in care._ends.values()) <= module.PILOTS_KNOWN


BREAKS_S = 300.0


class Federation:
    """Pilots with one slot each: on which work fails is free at once, on which it runs is not. Some break."""

    def __init__(self, seed: int, broken: int, bad: int) -> None:
        self.chance = Random(seed)
        self.pilots = [f"p{number}" for number in range(12)]
        self.broken = set(self.pilots[:broken])
        self.bad = {f"w{number}" for number in range(bad)}
        self.care, self.now_s = Care(), 0.0
        self.free_s = dict.fromkeys(self.pilots, 0.0)
        self.eaten: Counter[str] = Counter()
        """By pilot, failures of good work."""
        self.probes: Counter[str] = Counter()
        self.closed: set[str] = set()
        self.running: dict[str, tuple[str, float]] = {}

    def run(self, payloads: int) -> None:
        """So many payloads of six workloads."""
        while payloads:
            self.now_s += 1.0
            for pilot in self.pilots:
                self._end(pilot)
                doubt = self.care.doubts.get(pilot)
                if payloads and pilot not in self.running and (doubt is None or doubt.takes(self.now_s)):
                    payloads -= 1
                    self._start(pilot, doubt, f"lease{payloads}")

    def _start(self, pilot: str, doubt: Doubt | None, lease: str) -> None:
        workload = f"w{self.chance.randrange(6)}"
        if doubt is not None:
            doubt.probe = lease
            self.probes[pilot] += 1
        lasts_s = 1.0 if self._fails(pilot, workload) else self.chance.uniform(20.0, 120.0)
        self.running[pilot] = (f"{lease} {workload}", self.now_s + lasts_s)
        self.care.began(pilot, lease, workload, self.now_s)

    def _fails(self, pilot: str, workload: str) -> bool:
        return workload in self.bad or (pilot in self.broken and self.now_s >= BREAKS_S)

    def _end(self, pilot: str) -> None:
        what, ends_s = self.running.get(pilot, ("", float("inf")))
        if self.now_s < ends_s:
            return
        del self.running[pilot]
        lease, workload = what.split()
        well = not self._fails(pilot, workload)
        end(self.care, pilot, lease, workload, well=well, ran_s=1.0, now_s=self.now_s)
        self.care.over(pilot, lease, workload)
        self.eaten[pilot] += not well and workload not in self.bad
        self.closed |= self.care.doubts.keys()


def faults(seed: int, broken: int, bad: int) -> list[str]:
    """What went wrong among 600 payloads: broken pilots that ate too much, good ones that were closed."""
    run = Federation(seed, broken, bad)
    run.run(600)
    ate = [f"{one} ate {run.eaten[one]}" for one in sorted(run.broken) if run.eaten[one] > most(run, one)]
    return ate + [f"{one} was closed" for one in sorted(run.closed - run.broken)]


def most(run: Federation, pilot: str) -> int:
    """What a broken pilot may eat: three, and as many probes as the back-off allows since then."""
    allowed = math.floor(math.log2((run.now_s - BREAKS_S) / BACKOFF_S + 1.0))
    return FAILED_IN_A_ROW + min(allowed, run.probes[pilot])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3), st.integers(0, 1))
def test_a_broken_pilot_eats_three_and_its_probes_and_good_ones_are_left_alone(
    seed: int, broken: int, bad: int
) -> None:
    """Up to three broken nodes among twelve, up to one workload of six that fails wherever it runs."""
    assert not faults(seed, broken, bad)


def test_a_simulated_story_shows_something() -> None:
    run = Federation(7, 1, 1)
    run.run(600)
    assert run.closed == {"p0"}
    assert run.eaten["p0"] >= FAILED_IN_A_ROW
    assert run.probes["p0"] >= 3


def suspect(care: Care, pilot: str, now_s: float) -> bool:
    """A planted mistake: three failures are enough, whatever they were of."""
    care._doubts[pilot] = Doubt("a mistake", now_s + 60.0)
    return True


MISTAKES: dict[str, Sequence[tuple[object, str, object]]] = {
    "never suspect": [(Care, "_condemn", lambda *_: False)],
    "always suspect": [(module, "FAILED_IN_A_ROW", 1), (Care, "_condemn", suspect)],
    "any three": [(module, "BROKEN", 99), (Care, "_condemn", suspect)],
    "no back-off": [(Doubt, "takes", lambda doubt, now_s: True)],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_found(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, name, planted in MISTAKES[mistake]:
        monkeypatch.setattr(owner, name, planted)
    assert any(faults(seed, 1, 1) for seed in range(20))
