"""What Slurm's ``sacct`` prints with ``--parsable2``: a heading, then one job to a line, fields between ``|``.

Read are JobIDRaw (or JobID), Submit, Start, ElapsedRaw (or Elapsed), AllocCPUS (or NCPUS), ReqCPUS, TimelimitRaw
(or Timelimit), State, User, Account, QOS and Partition; only the first, Submit and a number of cores must be there.
Lines of job steps are passed over, and the heading where it comes again, as in logs put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from federator.documents.sources import TracePart
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError, lines
from federator.simulator.traces.rows import Row
from federator.simulator.traces.swf import CORE, chosen, pieces

ENDED = {
    "COMPLETED": 1, "FAILED": 0, "TIMEOUT": 0, "NODE_FAIL": 0, "OUT_OF_MEMORY": 0, "DEADLINE": 0, "BOOT_FAIL": 0,
    "CANCELLED": 5, "PREEMPTED": 5,
}  # fmt: skip
"""The status of the Standard Workload Format; of a job in another state how long it runs is not known."""
RAW = "print the Raw field, a whole number"
CURE = (
    "print it with sacct --allusers --allocations --parsable2 --format=JobIDRaw,Submit,Start,ElapsedRaw,AllocCPUS,..."
)


def known(first: str) -> bool:
    """Whether a log that begins with this line is one of these."""
    return bool({"JobID", "JobIDRaw"} & set(first.replace("|", " ").split()))


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs in the log's order; times are seconds since 1970, in the cluster's zone. Raises TraceError."""
    numbered = lines(path)
    heading = next(numbered, (1, ""))[1]
    columns = _columns(path, heading)
    for number, line in numbered:
        values = line.rstrip("\n").split("|")
        if not line.strip() or line == heading:
            continue
        if len(values) != len(columns):
            message = f"has {len(values)} fields, the heading {len(columns)}"
            cure = "print it with --parsable2, without fields like JobName in which there may be a bar"
            raise TraceError(str(path), number, message, cure)
        row = Row(path, number, dict(zip(columns, values, strict=True)))
        if "." not in row.text("JobIDRaw", "JobID"):
            yield _job(row, part)


def _columns(path: Path, heading: str) -> list[str]:
    columns = heading.rstrip("\n").split("|")
    for one_of in (("JobIDRaw", "JobID"), ("Submit",), ("AllocCPUS", "NCPUS", "ReqCPUS")):
        if not set(one_of) & set(columns):
            raise TraceError(str(path), 1, f"the heading has no {' or '.join(one_of)}", CURE)
    return columns


def _job(row: Row, part: TracePart) -> Job:
    submit_s, start_s = row.moment_s("Submit"), row.moment_s("Start")
    if submit_s is None:
        raise row.wrong("Submit", "every job needs a time of submission")
    state = row.text("State").split(" ")[0]
    known = (not state or state in ENDED) and (start_s is not None or not row.filled("Start"))
    elapsed_s, limit_min = row.whole("ElapsedRaw", RAW), row.whole("TimelimitRaw", RAW, or_word=True)
    elapsed_s = _lasts_s(row, "Elapsed") if elapsed_s is None else elapsed_s
    limit_s = limit_min * 60 if limit_min else _lasts_s(row, "Timelimit")
    allocated = row.whole("AllocCPUS", RAW) or row.whole("NCPUS", RAW) or 0
    count = chosen(part, row.whole("ReqCPUS", RAW) or 0, allocated)
    return Job(
        row.name("JobIDRaw", "JobID"), submit_s, pieces(part, count, CORE) if count else (),
        run_s=elapsed_s if known else None, expected_s=limit_s or None,
        wait_s=start_s - submit_s if start_s is not None and start_s >= submit_s else None,
        together=part.jobs_are == "replicas" and count > 1, status=ENDED.get(state, -1),
        user=row.text("User"), group=row.text("Account"), queue=row.text("QOS"), partition=row.text("Partition"),
        line=row.line,
    )  # fmt: skip


def _lasts_s(row: Row, name: str) -> int | None:
    """A time like ``2-12:30:00`` (days, hours, minutes, seconds) or ``30:00``; None: not known, or a word."""
    text = row.text(name)
    if not text[:1].isdigit():
        return None
    days, dash, rest = text.rpartition("-")
    parts = rest.split(".")[0].split(":")
    if not all(part.isdecimal() for part in [*parts, *([days] if dash else [])]) or not 2 <= len(parts) <= 3:
        raise row.wrong(name, "print it as sacct does, days-hours:minutes:seconds, or the Raw field")
    hours, minutes, seconds = [0] * (3 - len(parts)) + [int(part) for part in parts]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
