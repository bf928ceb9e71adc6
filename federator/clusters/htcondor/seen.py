"""Jobs of a queue as observed intents. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from federator.clusters.companions import NO_PYTHON, NO_PYTHON_WORDS
from federator.clusters.htcondor.jobs import AGAIN
from federator.clusters.htcondor.slots import Slots
from federator.model.indexset import IndexSet
from federator.model.intent import PREEMPTED, Failure, Note, ObservedIntent
from federator.model.resources import CPU, GPU, MEMORY, Resources

Json = Mapping[str, Any]
IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING, SUSPENDED = 1, 2, 3, 4, 5, 6, 7
ENDS = {34: "OOMKilled", 46: "DeadlineExceeded", 47: "DeadlineExceeded", 6: "CannotRun"}
"""What HoldReasonCodes mean for a replica: memory over its request, run longer than allowed, cannot be started."""
LOST = 1008
"""The VacateReasonCode of a job that HTCondor lost sight of while it was being ended, as happens now and then."""
MADE_ROOM = (LOST, 1011, 1018, 1019)
"""Those of jobs whose room others needed: the slot's own policy, a better rank or user; and what was lost sight of."""
WAITS = (1, 16)
"""Holds that somebody will end: by a person; until files have come."""


def observed(jobs: Iterable[Json], slots: Slots) -> dict[str, ObservedIntent]:
    """All intents of which something is in the queue."""
    by_intent: dict[str, list[Json]] = defaultdict(list)
    for job in jobs:
        by_intent[job["FederatorIntent"]].append(job)
    return {intent: _one(intent, found, slots) for intent, found in by_intent.items()}


def _one(intent: str, jobs: list[Json], slots: Slots) -> ObservedIntent:
    pending: list[int] = []
    running: list[int] = []
    succeeded: list[int] = []
    failed: list[Failure] = []
    held: list[Note] = []
    latest = _latest(jobs)
    bound = 0
    for index, job in latest.items():
        status, reason = job["JobStatus"], job.get("HoldReasonCode")
        if status == COMPLETED and job.get("ExitCode") == 0 and job.get("ExitBySignal") is not True:
            succeeded.append(index)
        elif status == COMPLETED or (status == HELD and reason not in WAITS) or _taken(job):
            failed.append(_failure(index, job))
        elif status in (RUNNING, TRANSFERRING, SUSPENDED) or (status == REMOVED and job.get("RemoteHost")):
            running.append(index)
            bound += job.get("RemoteHost") in slots.used or job.get("RemoteHost") in slots.filled
        elif status in (IDLE, HELD):
            pending.append(index)
            if status == HELD and reason == 1:
                held.append(Note(index, "Held", str(job.get("HoldReason", "")), float(job["EnteredCurrentStatus"])))
    newest = max(latest.values(), key=lambda job: int(job["QDate"]))
    live = [job for job in latest.values() if job["JobStatus"] != REMOVED]
    started = [float(job["JobStartDate"]) for job in latest.values() if job.get("JobStartDate")]
    waiting = [index for index in pending if latest[index]["JobStatus"] == IDLE]
    return ObservedIntent(
        id=intent,
        pending=IndexSet.of(pending),
        running=IndexSet.of(running),
        succeeded=IndexSet.of(succeeded),
        failed=tuple(sorted(failed, key=lambda failure: failure.index)),
        bound=bound,
        notes=(*held, *_unschedulable(waiting, latest, slots)),
        spec_hash=str(newest.get("FederatorSpec", "")),
        replicas=len(live),
        leaving=not live,
        started_s=min(started, default=None),
    )


def _latest(jobs: Iterable[Json]) -> dict[int, Json]:
    """The job that speaks for each index: one that is not being removed, the newest."""
    found: dict[int, Json] = {}
    for job in sorted(jobs, key=lambda job: (job["JobStatus"] != REMOVED, job["ClusterId"])):
        found[job["FederatorIndex"]] = job
    return found


def name_of(job: Json) -> str:
    """For people: which replica it is, and which job."""
    return f"{job['FederatorIntent']}/{job['FederatorIndex']} ({job['ClusterId']}.{job['ProcId']})"


def _taken(job: Json) -> bool:
    """Whether HTCondor ended a job that runs once, which waits since and never runs again.

    One that it has lost sight of may still be saving what it has, within its grace.
    """
    once = job.get("FederatorBackfill") is True or job.get("FederatorKeeps") is True
    if job["JobStatus"] != IDLE or not once or not job.get("NumVacates"):
        return False
    idle_s = job.get("ServerTime", 0) - job["EnteredCurrentStatus"]
    return bool(job.get("VacateReasonCode") != LOST or idle_s > job.get("JobMaxVacateTime", 0))


def _failure(index: int, job: Json) -> Failure:
    node = str(job.get("LastRemoteHost", ""))
    if _taken(job):
        why = PREEMPTED if job.get("VacateReasonCode") in MADE_ROOM else "Evicted"
        words = f"HTCondor took its slot away: {job.get('VacateReason', 'no reason is told')}"
        return Failure(index, why, words, None, node, own_fault=False)
    if job["JobStatus"] == HELD:
        reason, words = ENDS.get(job.get("HoldReasonCode", 0)), str(job.get("HoldReason", ""))
        return Failure(index, reason or "Held", words, None, node, own_fault=reason is not None)
    if job.get("ExitBySignal") is True:
        number = int(job.get("ExitSignal", 0))
        return Failure(index, "Error", f"ended by signal {number}", 128 + number, node)
    code = int(job.get("ExitCode", 0))
    if job.get("FederatorKeeps") is True and code == AGAIN:
        return Failure(index, "Evicted", "HTCondor started its job again", code, node, own_fault=False)
    if job.get("FederatorKeeps") is True and code == NO_PYTHON:
        return Failure(index, "NoPython", NO_PYTHON_WORDS, code, node)
    return Failure(index, "Error", f"ended with exit status {code}", code, node)


def _unschedulable(waiting: list[int], latest: Mapping[int, Json], slots: Slots) -> list[Note]:
    """Replicas that wait for a slot: they are alike, and the negotiator tells of one of them."""
    for index in waiting:
        job = latest[index]
        if not any(_requested(job).fits_in(flavor.allocatable) for flavor in slots.flavors):
            words = "no slot of this pool is so large"
        elif job.get("LastRejMatchTime", 0) > max(job["QDate"], job["EnteredCurrentStatus"]):
            words = f"the negotiator: {job.get('LastRejMatchReason', 'no match found')}"
        else:
            continue
        return [Note(i, "Unschedulable", words, float(latest[i]["EnteredCurrentStatus"])) for i in waiting]
    return []


def _requested(job: Json) -> Resources:
    told = {CPU: 1000 * job.get("RequestCpus", 1), MEMORY: job.get("RequestMemory", 0) << 20}
    return Resources.of({**told, GPU: job.get("RequestGPUs", 0)})


def foreign(jobs: Iterable[Json], slots: Slots) -> Resources:
    """What others use of the pool, but for what they fill."""
    ours = {job["RemoteHost"] for job in jobs if job.get("RemoteHost")}
    found = Resources()
    for name, amount in slots.used.items():
        if name not in ours:
            found = found + amount
    return found
