"""Announced downtimes: what they make of a cluster at a time, and what is told of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import inf

import pytest

from federator.engine.downtimes import announcement, as_announced, coming, next_change_s
from federator.engine.planner import plan
from federator.model.cluster import Downtime
from federator.model.workload import Lifetime
from tests.engine.build import cluster, snapshot, workload

HOUR = 3600.0
EIGHT = datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp()
SWITCHES = Downtime(EIGHT, EIGHT + 10 * HOUR, 4 * HOUR, "new switches")
AT_ONCE = Downtime(EIGHT, EIGHT + HOUR)
LONGER = Downtime(EIGHT + HOUR, EIGHT + 12 * HOUR, 8 * HOUR)
NEXT = Downtime(EIGHT + 10 * HOUR, EIGHT + 11 * HOUR)


def seen(downtimes: tuple[Downtime, ...], hours: float) -> tuple[Downtime | None, bool, bool]:
    """Which downtime a cluster is shown in so many hours after eight, and whether it is drained, and vacated."""
    shown = as_announced(replace(cluster("cern"), downtimes=downtimes), EIGHT + hours * HOUR)
    assert not shown.downtimes, "planning reads what holds now"
    return shown.downtime, shown.draining, shown.vacated


@pytest.mark.parametrize(
    ("downtimes", "hours", "expected"),
    [
        ((SWITCHES,), -4.001, (None, False, False)),
        ((SWITCHES,), -4, (SWITCHES, True, False)),
        ((SWITCHES,), -0.001, (SWITCHES, True, False)),
        ((SWITCHES,), 0, (SWITCHES, True, True)),
        ((SWITCHES,), 9.999, (SWITCHES, True, True)),
        ((SWITCHES,), 10, (None, False, False)),
        ((AT_ONCE,), -0.001, (None, False, False)),
        ((AT_ONCE,), 0, (AT_ONCE, True, True)),
        ((LONGER, SWITCHES), -6, (LONGER, True, False)),
        ((LONGER, SWITCHES), 0.5, (SWITCHES, True, True)),
        ((LONGER, SWITCHES), 11, (LONGER, True, True)),
        ((SWITCHES, NEXT), 9.999, (SWITCHES, True, True)),
        ((SWITCHES, NEXT), 10, (NEXT, True, True)),
    ],
)
def test_a_cluster_is_drained_before_a_downtime_vacated_in_it_and_free_after_it(
    downtimes: tuple[Downtime, ...], hours: float, expected: tuple[Downtime | None, bool, bool]
) -> None:
    """From the first moment of each on; of several that hold, the first to begin."""
    assert seen(downtimes, hours) == expected


def test_what_an_operator_has_said_is_independent_of_downtimes() -> None:
    for hours in (-5, 11):
        for more in ({"cordoned": True}, {"draining": True}, {"draining": True, "vacated": True}):
            own = cluster("cern", **more)
            assert as_announced(replace(own, downtimes=(SWITCHES,)), EIGHT + hours * HOUR) == own
    cordoned = as_announced(cluster("cern", cordoned=True, downtimes=(SWITCHES,)), EIGHT)
    assert (cordoned.cordoned, cordoned.draining, cordoned.vacated) == (True, True, True)
    over = as_announced(cluster("cern", draining=True, vacated=True, downtimes=(SWITCHES,)), EIGHT - HOUR)
    assert over.vacated, "the operator's deadline is over before the downtime begins"


def test_what_was_observed_holds_where_nothing_is_announced() -> None:
    observed = cluster("cern", draining=True, vacated=True, downtime=SWITCHES)
    assert as_announced(observed, 0.0) == observed


def test_moments_come_one_after_the_other_and_end() -> None:
    moments, at_s = list[float](), 0.0
    while (at_s := next_change_s((LONGER, SWITCHES), at_s)) < inf:
        moments.append((at_s - EIGHT) / HOUR)
    assert moments == [-7, -4, 0, 1, 10, 12]
    assert coming((LONGER, SWITCHES), 0.0) == SWITCHES
    assert coming((LONGER, SWITCHES), EIGHT - 4 * HOUR) is None


@pytest.mark.parametrize(
    ("downtime", "words"),
    [
        (SWITCHES, "an announced downtime from 2026-12-01 08:00 to 18:00 UTC (new switches)"),
        (Downtime(EIGHT, EIGHT + 24 * HOUR), "an announced downtime from 2026-12-01 08:00 to 2026-12-02 08:00 UTC"),
        (Downtime(EIGHT, EIGHT + 20), "an announced downtime from 2026-12-01 08:00:00 to 08:00:20 UTC"),
    ],
)
def test_a_downtime_is_told_in_utc_and_no_day_twice(downtime: Downtime, words: str) -> None:
    assert announcement(downtime) == words


def test_a_refusal_tells_the_downtime_and_what_would_help() -> None:
    """Until it begins what found no other place runs on; from then on it waits, and is told until when."""
    here = cluster("cern", downtimes=(SWITCHES,))
    work = [workload("w", 6, lifetime=Lifetime.SERVICE)]

    def at(hours: float) -> tuple[int, list[str], tuple[str, ...]]:
        now = snapshot([as_announced(here, EIGHT + hours * HOUR)], work, held={("w", "cern"): 4})
        made = plan(now, explain=["w"])
        told = [refusal.reasons["cern"].message for refusal in made.refusals]
        return sum(one.replicas for one in made.placements), told, made.explanations["w"].cures

    drained = "the cluster is being drained for an announced downtime from 2026-12-01 08:00 to 18:00 UTC (new switches)"
    ends = ("the downtime of cern ends",)
    assert at(-1) == (4, [drained], ends)
    assert at(0) == (0, [f"{drained}, and its deadline is over: what finds no other place stops"], ends)
    assert at(10) == (6, [], ())
