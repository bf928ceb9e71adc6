"""What HTCondor's ``condor_history`` prints with ``-long``, ``-json`` or ``-jsonl``; the history files themselves too.

Read are ClusterId, ProcId, QDate, JobStatus, JobCurrentStartDate (or JobStartDate), CompletionDate,
RemoteWallClockTime, RequestCpus, RequestMemory (MiB), RequestDisk (KiB), RequestGPUs, Owner, AcctGroup (the queue),
JobPrio, and what is expected from AllowedJobDuration or MaxRuntime (seconds) or MaxWallTimeMins. ClusterId and QDate
must be there. An expression says nothing: what it gives is not known without the machine. A job without RequestCpus
takes one core, as HTCondor has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from federator.documents.scenario import TracePart
from federator.model.resources import CPU, GPU, MEMORY, STORAGE, Resources
from federator.model.workload import Role
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError, lines
from federator.simulator.traces.rows import MOST_NUMBER

REMOVED, COMPLETED = 3, 4
KIB, MIB = 1 << 10, 1 << 20
MOST_LINES = 10_000
"""So many lines have the attributes of no job."""
Ad = Mapping[str, Any]
CURE = "print it with condor_history -long or -json"


def known(first: str) -> bool:
    """Whether a log that begins with this line is one of these."""
    key, equals, _ = first.partition(" = ")
    return first.strip() in ("[", "[{") or '"ClusterId"' in first or bool(equals and key.isidentifier())


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs in the log's order, the latest first as a rule. Raises TraceError."""
    for number, ad in _ads(path):
        cluster, submit_s = _number(ad, "ClusterId"), _number(ad, "QDate")
        if cluster is None or submit_s is None:
            missing = "ClusterId" if cluster is None else "QDate"
            raise TraceError(str(path), number, f"the job has no {missing}", CURE)
        start_s = _number(ad, "JobCurrentStartDate", "JobStartDate")
        yield Job(
            f"{cluster:.0f}.{_number(ad, 'ProcId') or 0:.0f}", submit_s, (Role("", 1, _requests(ad)),),
            _run_s(ad, start_s), _expected_s(ad),
            wait_s=None if not start_s else max(0.0, start_s - submit_s),
            status=_status(ad), priority=int(_number(ad, "JobPrio") or 0),
            user=str(ad.get("Owner", "")), queue=str(ad.get("AcctGroup", "")), group=str(ad.get("AcctGroup", "")),
        )  # fmt: skip


def _ads(path: Path) -> Iterator[tuple[int, Ad]]:
    """Each job with the number of its last line."""
    found: list[str] = []
    number = begun = 0
    for number, line in lines(path):
        text = line.strip()
        if not found and text.strip("[],") == "":
            continue
        if not found:
            begun = number
        as_json = (found[0] if found else text).lstrip("[, ").startswith("{")
        ends = not text or text.startswith("***")  # what separates jobs in a history file
        if as_json or not ends:
            found.append(text)
        ad = _of_json(found) if as_json and text.rstrip(",]").endswith("}") else None
        if ad is None and ends and found and not as_json:
            ad = _of_text(path, begun, found)
        if ad is not None:
            yield number, ad
            found = []
        elif len(found) > MOST_LINES:
            raise TraceError(str(path), begun, "a job begins that does not end", CURE)
    if found:
        if found[0].lstrip("[, ").startswith("{"):
            raise TraceError(str(path), begun, "a job begins that does not end", CURE)
        yield number, _of_text(path, begun, found)


def _of_json(found: list[str]) -> Ad | None:
    try:
        value = json.loads("\n".join(found).lstrip("[, \n").rstrip("], \n"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _of_text(path: Path, begun: int, found: list[str]) -> Ad:
    ad: dict[str, Any] = {}
    for number, text in enumerate(found, start=begun):
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise TraceError(str(path), number, f"'{text[:40]}' is no attribute", CURE)
        try:
            ad[key.strip()] = json.loads(value.strip())
        except ValueError:
            ad[key.strip()] = None  # an expression
    return ad


def _number(ad: Ad, *names: str) -> float | None:
    for name in names:
        value = ad.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and -MOST_NUMBER < value < MOST_NUMBER:
            return float(value)
    return None


def _requests(ad: Ad) -> Resources:
    cores, memory_mib = _number(ad, "RequestCpus") or 1.0, _number(ad, "RequestMemory") or 0.0
    disk_kib, gpus = _number(ad, "RequestDisk") or 0.0, _number(ad, "RequestGPUs") or 0.0
    amounts = {CPU: cores * 1000, MEMORY: memory_mib * MIB, STORAGE: disk_kib * KIB, GPU: gpus}
    return Resources.of({name: max(0, round(amount)) for name, amount in amounts.items()})


def _run_s(ad: Ad, start_s: float | None) -> float | None:
    """How long its last run took, or all of them where that is not known; None for one that never ended."""
    ended_s, ran_s = _number(ad, "CompletionDate"), _number(ad, "RemoteWallClockTime")
    if start_s and ended_s and ended_s >= start_s:
        return ended_s - start_s
    return ran_s if ran_s and _number(ad, "JobStatus") in (REMOVED, COMPLETED) else None


def _expected_s(ad: Ad) -> float | None:
    seconds, minutes = _number(ad, "AllowedJobDuration", "MaxRuntime"), _number(ad, "MaxWallTimeMins")
    return seconds or (60 * minutes if minutes else None)


def _status(ad: Ad) -> int:
    state = _number(ad, "JobStatus")
    if state == COMPLETED:
        return int(ad.get("ExitBySignal") is not True and ad.get("ExitCode", 0) == 0)
    return 5 if state == REMOVED else -1
