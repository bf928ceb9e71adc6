"""What Slurm's ``sacct`` prints with ``--parsable2``: a heading, then one job to a line, fields between ``|``.

Read are JobIDRaw (or JobID), Submit, Start, ElapsedRaw, AllocCPUS, ReqCPUS, TimelimitRaw, State, User, Account, QOS and
Partition; only the first, Submit and one of the numbers of cores must be there. Lines of job steps are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from federator.documents.scenario import TracePart
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
    return "|" in first and bool({"JobID", "JobIDRaw"} & set(first.strip().split("|")))


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs in the log's order; times are seconds since 1970, in the cluster's zone. Raises TraceError."""
    numbered = lines(path)
    columns = _columns(path, next(numbered, (1, ""))[1])
    for number, line in numbered:
        values = line.rstrip("\n").split("|")
        if not line.strip():
            continue
        if len(values) != len(columns):
            message = f"has {len(values)} fields, the heading {len(columns)}"
            raise TraceError(str(path), number, message, "print it with --parsable2")
        row = Row(path, number, dict(zip(columns, values, strict=True)))
        if "." not in row.text("JobIDRaw", "JobID"):
            yield _job(row, part)


def _columns(path: Path, heading: str) -> list[str]:
    columns = heading.rstrip("\n").split("|")
    for one_of in (("JobIDRaw", "JobID"), ("Submit",), ("AllocCPUS", "ReqCPUS")):
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
    count = chosen(part, row.whole("ReqCPUS", RAW) or 0, row.whole("AllocCPUS", RAW) or 0)
    return Job(
        row.text("JobIDRaw", "JobID"), submit_s, pieces(part, count, CORE) if count else (),
        run_s=elapsed_s if known else None, expected_s=limit_min * 60 if limit_min else None,
        wait_s=start_s - submit_s if start_s is not None and start_s >= submit_s else None,
        together=part.jobs_are == "replicas" and count > 1, status=ENDED.get(state, -1),
        user=row.text("User"), group=row.text("Account"), queue=row.text("QOS"), partition=row.text("Partition"),
    )  # fmt: skip
