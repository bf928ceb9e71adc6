"""Logs of any kind become logs in the Standard Workload Format, or in our own: in the order of submission."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from zstandard import ZstdCompressor

from federator.model.resources import CPU, MEMORY, Resources
from federator.simulator.traces import own
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.readers import AS_IT_IS, READERS, format_of, recorded
from federator.simulator.traces.swf import SwfJob

KIB = 1 << 10
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": lambda data: ZstdCompressor().compress(data),
}
"""By the last ending of the name. One content gives one file."""
NAMED = ("user", "group", "queue", "partition")


def convert(source: Path, to: Path, format_: str | None = None) -> int:
    """Write a log anew, packed if ``to`` ends in .gz or .zst; returns how many jobs there are.

    Raises TraceError, OSError; then nothing is written.
    """
    name = to.name
    for packed in PACKERS:
        name = name.removesuffix(packed)
    writer = WRITERS.get(Path(name).suffix)
    if writer is None:
        raise TraceError(str(to), 0, "cannot be written", f"let its name end in {' or '.join(WRITERS)}, packed or not")
    form = format_ or format_of(source)
    found = sorted(recorded(source, AS_IT_IS.model_copy(update={"format": form})), key=lambda job: job.submit_s)
    first_s = found[0].submit_s if found and READERS[form].dated else 0.0
    moved = [one._replace(submit_s=one.submit_s - first_s) for one in found]
    text = "".join(f"{line}\n" for line in writer(moved, first_s))
    to.write_bytes(PACKERS.get(to.suffix, bytes)(text.encode()))
    return len(found)


def _own(found: Iterable[Job], first_s: float) -> Iterator[str]:
    return map(own.written, found)


def _swf(found: list[Job], first_s: float) -> Iterator[str]:
    """Jobs are numbered anew. The header has the names behind the numbers of users, groups, queues and partitions."""
    numbers: dict[str, dict[str, int]] = {kind: {} for kind in NAMED}
    for job in found:
        for kind, known in numbers.items():
            if name := getattr(job, kind):
                known.setdefault(name, len(known) + 1)
    yield "; Version: 2.2"
    if first_s:
        yield f"; UnixStartTime: {first_s:.0f}"
    yield f"; MaxJobs: {len(found)}"
    for kind, known in numbers.items():
        for name, number in known.items():
            yield f"; {kind.capitalize()}: {number} {name}"
    for at, job in enumerate(found, start=1):
        yield " ".join(f"{value:.0f}" for value in _swf_job(at, job, numbers))


def _swf_job(number: int, job: Job, numbers: dict[str, dict[str, int]]) -> SwfJob:
    asked = sum((role.requests * role.replicas for role in job.roles), Resources())
    cores = -(-asked[CPU] // 1000)
    return SwfJob(
        number=number, submit_s=job.submit_s, wait_s=_or_unknown(job.wait_s), run_s=_or_unknown(job.run_s),
        used_processors=cores or -1, cpu_s=-1, used_memory_kib=-1, processors=cores or -1,
        requested_s=_or_unknown(job.expected_s),
        memory_kib=asked[MEMORY] // KIB // cores if cores and asked[MEMORY] else -1, status=job.status,
        **{kind: numbers[kind].get(getattr(job, kind), -1) for kind in NAMED},
        executable=-1, preceding=-1, think_s=-1,
    )  # fmt: skip


def _or_unknown(value_s: float | None) -> float:
    return -1 if value_s is None else value_s


WRITERS: dict[str, Callable[[list[Job], float], Iterator[str]]] = {".swf": _swf, ".jsonl": _own}
"""By the ending of the name; given are the jobs, and when the first was handed in, in seconds since 1970 (or 0)."""
