"""What Slurm's ``sacct`` prints with ``--parsable2``: a heading, then one job to a line, fields between ``|``.

Read are JobIDRaw (or JobID), Submit, Start, ElapsedRaw, AllocCPUS, ReqCPUS, TimelimitRaw, State, User, Account, QOS and
Partition; only the first, Submit and one of the numbers of cores must be there. Lines of job steps are passed over.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from federator.simulator.traces.opening import TraceError, opened
from federator.simulator.traces.swf import MOST_NUMBER, SwfJob

ENDED = {
    "COMPLETED": 1, "FAILED": 0, "TIMEOUT": 0, "NODE_FAIL": 0, "OUT_OF_MEMORY": 0, "DEADLINE": 0, "BOOT_FAIL": 0,
    "CANCELLED": 5, "PREEMPTED": 5,
}  # fmt: skip
"""The status of the Standard Workload Format; of a job in another state how long it runs is not known."""
NAMED = {"user": "User", "group": "Account", "queue": "QOS", "partition": "Partition"}
"""Which column gives which name of a job."""
CURE = (
    "print it with sacct --allusers --allocations --parsable2 --format=JobIDRaw,Submit,Start,ElapsedRaw,AllocCPUS,..."
)


class Names:
    """Numbers for names, from 1 on in the order in which they come; -1 for none."""

    def __init__(self) -> None:
        self.numbers: dict[str, dict[str, int]] = {kind: {} for kind in NAMED}

    def number(self, kind: str, name: str) -> int:
        """The number of a name."""
        known = self.numbers[kind]
        return known.setdefault(name, len(known) + 1) if name else -1


def jobs(path: Path, names: Names) -> Iterator[SwfJob]:
    """The jobs, one at a time, in the log's order; times of submission are seconds since 1970, in the cluster's zone.
    Raises TraceError, which names the line."""
    with opened(path) as file:
        try:
            lines = enumerate(file, start=1)
            columns = _columns(path, next(lines, (1, ""))[1])
            for number, line in lines:
                values = line.rstrip("\n").split("|")
                if not line.strip():
                    continue
                if len(values) != len(columns):
                    message = f"has {len(values)} fields, the heading {len(columns)}"
                    raise TraceError(str(path), number, message, "print it with --parsable2")
                job = _Line(path, number, dict(zip(columns, values, strict=True)))
                if "." not in job.text("JobIDRaw", "JobID"):
                    yield _job(job, names)
        except (EOFError, OSError, zlib.error) as error:
            raise TraceError(str(path), 0, f"ends in the middle: {error}", "fetch it again") from None


def _columns(path: Path, heading: str) -> list[str]:
    columns = heading.rstrip("\n").split("|")
    for one_of in (("JobIDRaw", "JobID"), ("Submit",), ("AllocCPUS", "ReqCPUS")):
        if not set(one_of) & set(columns):
            raise TraceError(str(path), 1, f"the heading has no {' or '.join(one_of)}", CURE)
    return columns


class _Line:
    """The fields of one line, by the names of their columns."""

    def __init__(self, path: Path, number: int, fields: Mapping[str, str]) -> None:
        self._path, self._number, self._fields = path, number, fields

    def text(self, *names: str) -> str:
        """The first of these fields that says something; empty for none."""
        return next((value for name in names if (value := self._fields.get(name, "").strip())), "")

    def whole(self, name: str) -> int:
        """A whole number; -1 where it is not known."""
        text = self.text(name)
        if not text or not text[0].isdigit():
            return -1  # UNLIMITED, Partition_Limit
        if not text.isdecimal() or int(text) >= MOST_NUMBER:
            raise self.wrong(name, "print the Raw field, a whole number")
        return int(text)

    def time_s(self, name: str) -> float:
        """A time in seconds since 1970; -1 where it is not known."""
        text = self.text(name)
        if text in ("", "Unknown", "None"):
            return -1.0
        if text.isdecimal():
            return float(text)
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise self.wrong(name, "write 2026-11-26T08:00:00, or seconds since 1970") from None

    def wrong(self, name: str, cure: str) -> TraceError:
        """What is wrong with a field."""
        return TraceError(str(self._path), self._number, f"{name} is '{self.text(name)[:40]}'", cure)


def _job(line: _Line, names: Names) -> SwfJob:
    submit_s, start_s = line.time_s("Submit"), line.time_s("Start")
    if submit_s < 0:
        raise line.wrong("Submit", "every job needs a time of submission")
    number = line.text("JobIDRaw", "JobID")
    state = line.text("State").split(" ")[0]
    known = (not state or state in ENDED) and (start_s >= 0 or not line.text("Start"))
    elapsed_s, limit_min = line.whole("ElapsedRaw"), line.whole("TimelimitRaw")
    cores = line.whole("AllocCPUS")
    return SwfJob(
        number=float(number) if number.isdecimal() and len(number) < 16 else -1,
        submit_s=submit_s, wait_s=start_s - submit_s if start_s >= submit_s else -1,
        run_s=elapsed_s if known else -1, used_processors=cores or -1, cpu_s=-1,
        used_memory_kib=-1, processors=line.whole("ReqCPUS"), requested_s=limit_min * 60 if limit_min > 0 else -1,
        memory_kib=-1, status=ENDED.get(state, -1),
        **{kind: names.number(kind, line.text(column)) for kind, column in NAMED.items()},
        executable=-1, preceding=-1, think_s=-1,
    )  # fmt: skip
