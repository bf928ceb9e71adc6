"""What a turn of the intake does to each side, from what both say. Pure.

A job that was taken is ``Managed = "External"``: its schedd runs it no more and leaves its state to us, as with
HTCondor's own job router. ``"ScheddDone"`` gives it back; in state 3 or 4 it then leaves the queue for the history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from federator.intake.ads import Job

View = Mapping[str, Any]
"""A workload as the API shows it."""
OVER = ("finished", "failed", "cancelled")


class Status(IntEnum):
    """``JobStatus``."""

    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5


@dataclass(frozen=True, slots=True)
class Edit:
    """Attributes of a job to be set, in this order, each as a ClassAd expression."""

    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Act:
    """``Hold`` or ``Remove`` a job."""

    verb: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Cancel a workload and forget it, so that its job can be taken anew."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a workload."""


@dataclass(frozen=True, slots=True)
class HandIn:
    """Hand the job in as a workload."""


Step = Edit | Act | Delete | Cancel | HandIn
NOT_OURS = (("Managed", "undefined"), ("ManagedManager", "undefined"))
GIVEN_BACK = Edit((("FederatorReason", "undefined"), *NOT_OURS))
DONE = (("Managed", '"ScheddDone"'),)


def claim(manager: str, intake: str) -> Edit:
    """The first thing that is done to a job: from now on its schedd does not start it. The name: see ``job_of``."""
    name = f'strcat({json.dumps(intake)}, "-", ClusterId, "-", ProcId, "-", QDate)'
    marks = (("ManagedManager", json.dumps(manager)), ("Managed", '"External"'))
    return Edit((("FederatorWorkload", name), ("RemoteHost", "undefined"), *marks))


def left(reason: str) -> Edit:
    """A job that is not taken, with the words why; its schedd runs it. While it has them nobody tries again."""
    return Edit((("FederatorReason", json.dumps(reason)), *NOT_OURS))


def ends(job: Job, seen: View | None) -> bool:
    """Whether the next step tells the job that it has ended, so that its output has to be there."""
    return seen is not None and seen["state"] in ("finished", "failed") and job.status in (Status.IDLE, Status.RUNNING)


def not_brought(reason: str) -> Act:
    """As HTCondor itself does with a job whose output cannot be written."""
    return Act("Hold", f"federator: {reason}")


def step(job: Job, seen: View | None, now_s: int, exit_code: int | None = None, note: str = "") -> Step | None:
    """What is next for a job that was taken; None: nothing.

    ``exit_code``: of a workload that failed, if known. ``note``: what its owner should know of one that has ended.
    """
    there, state = seen is not None, str(seen["state"]) if seen else ""
    if job.status == Status.HELD:
        return Delete() if there else GIVEN_BACK
    if job.status == Status.COMPLETED or (job.status == Status.REMOVED and state in ("", *OVER)):
        return Edit(DONE)
    if job.status == Status.REMOVED:
        return None if state == "cancelling" else Cancel()
    if seen is None:
        return HandIn()
    if state == "finished":
        return _completed(0, now_s, note)
    if state == "failed":
        why = str(seen.get("message") or "it failed")
        return _completed(exit_code, now_s, note) if exit_code is not None else Act("Hold", f"federator: {why}")
    if state in ("cancelled", "cancelling"):
        return Act("Remove", "federator: its workload was cancelled") if state == "cancelled" else None
    return _shown(job, seen, now_s)


def _completed(exit_code: int | None, now_s: int, note: str) -> Edit:
    how = (("ExitCode", str(exit_code)), ("ExitBySignal", "false"), ("CompletionDate", str(now_s)))
    told = ("FederatorReason", json.dumps(note) if note else "undefined")
    return Edit((*how, told, *_entered(Status.COMPLETED, now_s), *DONE))


def _shown(job: Job, seen: View, now_s: int) -> Edit | None:
    """Where it runs, or why it waits, where the job does not say so yet."""
    runs = int(seen.get("running", 0)) > 0
    where = " ".join(seen["placements"]) if runs else ""
    why = "" if runs else str(seen.get("message", ""))
    told: list[tuple[str, str]] = []
    if str(job.ad.get("FederatorReason", "")) != why:
        told.append(("FederatorReason", json.dumps(why) if why else "undefined"))
    if str(job.ad.get("RemoteHost", "")) != where:
        told.append(("RemoteHost", json.dumps(where) if where else "undefined"))
    status = Status.RUNNING if runs else Status.IDLE
    if job.status != status:
        if runs:
            told.append(("JobStartDate", str(now_s)))
        told += _entered(status, now_s)
    return Edit(tuple(told)) if told else None


def _entered(status: Status, now_s: int) -> tuple[tuple[str, str], ...]:
    return ("EnteredCurrentStatus", str(now_s)), ("JobStatus", str(int(status)))
