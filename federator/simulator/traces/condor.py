"""What HTCondor's ``condor_history`` prints with ``-long``, ``-json``, ``-jsonl`` or ``-xml``; history files too.

Read are ClusterId, ProcId, QDate, JobStatus, JobCurrentStartDate (or JobStartDate), CompletionDate,
RemoteWallClockTime, RequestCpus, RequestMemory (MiB), RequestDisk (KiB), RequestGPUs, Owner, AcctGroup (the queue),
JobPrio, and what is expected from AllowedJobDuration or MaxRuntime (seconds) or MaxWallTimeMins. ClusterId and QDate
must be there. An expression says nothing: what it gives is not known without the machine. A job without RequestCpus
takes one core, as HTCondor has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from federator.documents.sources import TracePart
from federator.model.resources import CPU, GPU, MEMORY, STORAGE, Resources
from federator.model.workload import Role
from federator.simulator.traces import condor_xml
from federator.simulator.traces.job import Job, alike
from federator.simulator.traces.opening import TraceError, lines
from federator.simulator.traces.rows import MOST_NUMBER

REMOVED, COMPLETED = 3, 4
KIB, MIB = 1 << 10, 1 << 20
MOST_LINES = 10_000
"""So many lines have the attributes of no job."""
Ad = Mapping[str, Any]
"""By attribute, in small letters."""
CURE = "print it with condor_history -long, -json or -xml"


def known(first: str) -> bool:
    """Whether a log that begins with this line is one of these."""
    key, equals, _ = first.partition(" = ")
    begins = first.strip() in ("[", "[{") or first.startswith(("-- ", "<?xml", "<classads"))
    return begins or '"clusterid"' in first.lower() or bool(equals and key.isidentifier())


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs in the log's order, the latest first as a rule. Raises TraceError."""
    for number, ad in _ads(path):
        cluster, submit_s = _number(ad, "ClusterId"), _number(ad, "QDate")
        if cluster is None or submit_s is None:
            missing = "ClusterId" if cluster is None else "QDate"
            raise TraceError(str(path), number, f"the job has no {missing}", CURE)
        start_s = _number(ad, "JobCurrentStartDate", "JobStartDate")
        yield Job(
            f"{cluster:.0f}.{_number(ad, 'ProcId') or 0:.0f}", submit_s, alike((Role("", 1, _requests(ad)),)),
            _run_s(ad, start_s), _expected_s(ad),
            wait_s=None if not start_s else max(0.0, start_s - submit_s),
            status=_status(ad), priority=int(_number(ad, "JobPrio") or 0),
            user=_text(ad, "Owner"), queue=_text(ad, "AcctGroup"), group=_text(ad, "AcctGroup"), line=number,
        )  # fmt: skip


def _ads(path: Path) -> Iterator[tuple[int, Ad]]:
    """Each job with the number of its last line."""
    numbered = ((number, text) for number, line in lines(path) if not (text := line.strip()).startswith("-- "))
    number, first = next(((number, text) for number, text in numbered if text), (0, ""))
    if not first:
        return
    whole = chain([(number, first)], numbered)
    if first.startswith("<"):
        yield from condor_xml.ads(path, whole)
    else:
        yield from _of_json(path, whole) if first[0] in "[{" else _of_text(path, whole)


def _of_json(path: Path, numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Ad]]:
    """Jobs one after the other, in a list or not, as many to a line as there are."""
    found: list[str] = []
    begun = 0
    for number, text in numbered:
        if not found and text.strip("[], ") == "":
            continue
        begun = begun if found else number
        found.append(text)
        if text.rstrip("], ").endswith("}"):
            try:
                ads = json.loads(f"[{' '.join(found).lstrip('[, ').rstrip('], ')}]")
            except ValueError:
                ads = []  # what has ended is within a job
            yield from ((number, lowered(ad)) for ad in ads if isinstance(ad, dict))
            found = [] if ads else found
        if len(found) > MOST_LINES:
            break
    if found:
        raise TraceError(str(path), begun, "a job begins that does not end", CURE)


def _of_text(path: Path, numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Ad]]:
    """Jobs of an attribute to a line, each but the last followed by an empty line or what history files have there."""
    ad: dict[str, Any] = {}
    number, goes_on = 0, False
    for number, text in numbered:
        if not text or text.startswith("***"):
            if ad:
                yield number, ad
            ad = {}
            continue
        goes_on, was = text.endswith("\\"), goes_on
        if was:  # the rest of an expression
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or len(ad) > MOST_LINES:
            raise TraceError(str(path), number, f"'{text[:40]}' is no attribute", CURE)
        try:
            ad[key.strip().lower()] = json.loads(value)
        except ValueError:
            ad[key.strip().lower()] = None  # an expression
    if ad:
        yield number, ad


def lowered(ad: Mapping[str, Any]) -> Ad:
    """An ad by names in small letters: in ClassAds large and small ones are the same."""
    return {name.lower(): value for name, value in ad.items()}


def _text(ad: Ad, name: str) -> str:
    return str(ad.get(name.lower()) or "")


def _number(ad: Ad, *names: str) -> float | None:
    for name in names:
        value = ad.get(name.lower())
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
        return int(ad.get("exitbysignal") is not True and ad.get("exitcode", 0) == 0)
    return 5 if state == REMOVED else -1
