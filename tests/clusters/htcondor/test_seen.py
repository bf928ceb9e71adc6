"""What a queue and a pool tell becomes an observation."""

from __future__ import annotations

from typing import Any

import pytest

from federator.clusters.htcondor import seen, slots
from federator.model.indexset import IndexSet
from federator.model.resources import CPU, MEMORY, Resources

GIB = 1 << 30
MACHINE = {"Name": "slot1@n1", "SlotType": "Partitionable", "State": "Unclaimed", "TotalSlotCpus": 16,
           "TotalSlotMemory": 65536, "TotalSlotDisk": 1000, "TotalSlotGPUs": 0, "Cpus": 16, "Memory": 65536,
           "Arch": "X86_64", "OpSysAndVer": "Debian12"}  # fmt: skip


def part(number: int, cpus: int, host: str = "n1") -> dict[str, Any]:
    return {"Name": f"slot1_{number}@{host}", "SlotType": "Dynamic", "State": "Claimed", "Cpus": cpus, "Memory": 1024}


def job(index: int, status: int, **more: Any) -> dict[str, Any]:
    told = {"ClusterId": 1, "ProcId": index, "JobStatus": status, "FederatorIntent": "i", "FederatorIndex": index}
    return told | {"FederatorSpec": "h", "QDate": 100, "EnteredCurrentStatus": 100, "RequestCpus": 1} | more


def one(*jobs: dict[str, Any], ads: tuple[dict[str, Any], ...] = (MACHINE,)) -> Any:
    return seen.observed(jobs, slots.read(ads))["i"]


def test_a_partitionable_slot_is_a_node_and_its_parts_are_what_is_used_of_it() -> None:
    twin = {**MACHINE, "Name": "slot1@n2"}
    found = slots.read((MACHINE, twin, part(1, 2), part(12, 3)))
    [flavor] = found.flavors
    assert flavor.count == 2
    assert sorted((group.free[CPU], group.free[MEMORY] // GIB, group.count) for group in flavor.nodes) == [
        (11000, 62, 1),
        (16000, 64, 1),
    ]
    assert flavor.labels["os"] == "Debian12"


def test_unlike_machines_are_different_flavors_and_closed_ones_have_nothing_free() -> None:
    big = {**MACHINE, "Name": "slot1@n2", "TotalSlotCpus": 64}
    away = {**MACHINE, "Name": "slot1@n3", "State": "Owner"}
    gone = {**MACHINE, "Name": "slot1@n4", "Offline": True}
    flavors = {flavor.allocatable[CPU]: flavor for flavor in slots.read((MACHINE, big, away, gone)).flavors}
    assert sorted((size, flavor.count) for size, flavor in flavors.items()) == [(16000, 2), (64000, 1)]
    assert sum(group.free[CPU] * group.count for group in flavors[16000].nodes) == 16000


def test_every_state_of_a_job_is_one_state_of_its_replica() -> None:
    found = one(
        job(0, seen.IDLE),
        job(1, seen.RUNNING, RemoteHost="slot1_1@n1"),
        job(2, seen.COMPLETED, ExitCode=0),
        job(3, seen.COMPLETED, ExitCode=7),
        job(4, seen.COMPLETED, ExitBySignal=True, ExitSignal=9),
        job(5, seen.REMOVED),
        job(6, seen.SUSPENDED, RemoteHost="slot1_9@n1"),
        ads=(MACHINE, part(1, 1)),
    )
    assert found.pending == IndexSet.of((0,))
    assert found.running == IndexSet.of((1, 6))
    assert found.succeeded == IndexSet.of((2,))
    assert [(failure.index, failure.exit_code) for failure in found.failed] == [(3, 7), (4, 137)]
    assert found.bound == 1, "only the one whose slot the pool shows"
    assert found.replicas == 6


@pytest.mark.parametrize(
    ("code", "reason", "own_fault"),
    [(34, "OOMKilled", True), (47, "DeadlineExceeded", True), (6, "CannotRun", True), (26, "Held", False)],
)
def test_a_job_held_for_good_has_failed(code: int, reason: str, own_fault: bool) -> None:
    [failure] = one(job(0, seen.HELD, HoldReasonCode=code, HoldReason="words")).failed
    assert (failure.reason, failure.message, failure.own_fault) == (reason, "words", own_fault)


def test_a_job_held_by_a_person_waits_and_says_so() -> None:
    found = one(job(0, seen.HELD, HoldReasonCode=1, HoldReason="via condor_hold"))
    assert found.pending
    assert [(note.reason, note.message) for note in found.notes] == [("Held", "via condor_hold")]


def test_what_the_negotiator_refused_or_no_slot_could_hold_is_unschedulable() -> None:
    small = one(job(0, seen.IDLE, LastRejMatchTime=101, LastRejMatchReason="no match found"), job(1, seen.IDLE))
    assert [note.index for note in small.notes] == [0, 1], "they are alike, and HTCondor tells of one"
    big = one(job(0, seen.IDLE, RequestCpus=17))
    assert [note.message for note in big.notes] == ["no slot of this pool is so large"]
    assert not one(job(0, seen.IDLE)).notes


def test_of_two_jobs_for_one_index_the_one_that_stays_speaks() -> None:
    old = job(0, seen.REMOVED, RemoteHost="slot1_1@n1")
    new = job(0, seen.IDLE, ClusterId=2, FederatorSpec="h2", QDate=200)
    found = one(old, new)
    assert found.pending
    assert not found.running
    assert found.spec_hash == "h2"


def test_what_is_removed_and_still_runs_is_leaving() -> None:
    found = one(job(0, seen.REMOVED, RemoteHost="slot1_1@n1"))
    assert found.leaving
    assert found.running == IndexSet.of((0,))


def test_what_others_use_is_foreign() -> None:
    ours = [job(0, seen.RUNNING, RemoteHost="slot1_1@n1")]
    assert seen.foreign(ours, slots.read((MACHINE, part(1, 1), part(2, 3)))) == Resources.of({CPU: 3000, MEMORY: GIB})
