"""Backfill slots lie over the others: what runs in them is free, and whoever was ended there is placed anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federator.clusters.htcondor import jobs, seen, slots
from federator.model.indexset import IndexSet
from federator.model.intent import Container
from federator.model.resources import CPU
from tests.clusters.htcondor.test_jobs import SETTINGS, order
from tests.clusters.htcondor.test_seen import MACHINE, job, one, part

BELOW = {**MACHINE, "Name": "slot2@n1", "BackfillSlot": True}
FILLER = {"FederatorBackfill": True}


def below(number: int, cpus: int) -> dict[str, Any]:
    return {**part(number, cpus), "Name": f"slot2_{number}@n1", "BackfillSlot": True}


def test_what_runs_in_backfill_slots_is_free_and_is_nobodys_use() -> None:
    found = slots.read((MACHINE, part(1, 2), BELOW, below(1, 14)))
    [flavor] = found.flavors
    assert (flavor.count, [group.free[CPU] for group in flavor.nodes]) == (1, [14_000])
    assert found.filled == {"slot2_1@n1"}
    assert seen.foreign([], found)[CPU] == 2000


def test_what_began_before_backfill_has_left_its_cores_counts_when_it_has_them_for_itself() -> None:
    """Otherwise the planner would withdraw backfill for it, while HTCondor ends some for the same reason."""
    ads = (MACHINE, part(1, 4) | {"EnteredCurrentState": 7}, part(2, 4) | {"EnteredCurrentState": 9}, BELOW)
    early, late = slots.read((*ads, below(1, 12))), slots.read((*ads, below(1, 8)))
    assert set(early.used) == {"slot1_1@n1"}
    assert set(late.used) == {"slot1_1@n1", "slot1_2@n1"}
    assert [flavor.nodes[0].free[CPU] for found in (early, late) for flavor in found.flavors] == [12_000, 8000]


@pytest.mark.parametrize(
    ("ads", "unfilled"),
    [
        ((MACHINE,), None),
        ((MACHINE, BELOW), ""),
        ((MACHINE, {**MACHINE, "Name": "slot1@n2"}, BELOW), "1 machines (n2 ...) have no backfill slot"),
    ],
)
def test_a_pool_is_filled_where_every_machine_has_backfill_slots(
    ads: tuple[dict[str, Any], ...], unfilled: str | None
) -> None:
    assert slots.read(ads).unfilled == unfilled


@pytest.mark.parametrize(("code", "reason"), [(1011, "Preempted"), (1019, "Preempted"), (1014, "Evicted")])
def test_a_filler_whose_slot_was_taken_away_is_put_back_without_using_a_retry(code: int, reason: str) -> None:
    ended = job(0, seen.IDLE, NumVacates=1, VacateReasonCode=code, VacateReason="why", **FILLER)
    found = one(ended, job(1, seen.RUNNING, RemoteHost="slot2_1@n1", **FILLER), ads=(MACHINE, BELOW, below(1, 1)))
    assert [(failure.index, failure.reason, failure.own_fault) for failure in found.failed] == [(0, reason, False)]
    assert (found.running, found.bound, found.pending) == (IndexSet.of((1,)), 1, IndexSet())


def test_a_filler_that_was_lost_sight_of_while_it_was_ended_has_its_grace_first() -> None:
    lost = job(0, seen.IDLE, NumVacates=1, VacateReasonCode=1008, JobMaxVacateTime=5, ServerTime=105, **FILLER)
    assert one(lost).pending == IndexSet.of((0,))
    assert [failure.reason for failure in one({**lost, "ServerTime": 106}).failed] == ["Preempted"]


def test_production_that_was_evicted_waits_and_runs_again_under_htcondor() -> None:
    assert one(job(0, seen.IDLE, NumVacates=1)).pending == IndexSet.of((0,))


def test_fillers_run_in_backfill_slots_once_with_their_own_grace_and_nothing_else_runs_there() -> None:
    wanted = order(Container(command=("true",)))
    work = jobs.description(wanted, "fed", SETTINGS, "a || b")
    assert work["requirements"] == "TARGET.BackfillSlot =!= true && (a || b)"
    assert "nice_user" not in work
    filler = jobs.description(replace(wanted, backfill=True, grace_s=7.0), "fed", SETTINGS, "")
    assert filler["requirements"] == "TARGET.BackfillSlot =?= true && (MY.NumVacates ?: 0) == 0"
    assert (filler["nice_user"], filler["job_max_vacate_time"]) == ("true", "7")
