"""Logs of any kind become logs in the Standard Workload Format, or in our own: in the order of submission.

However long a log is, only some of its jobs are in memory at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from zstandard import ZstdCompressor

from federator.model.resources import CPU, MEMORY, Resources
from federator.simulator.traces import own
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.readers import AS_IT_IS, READERS, format_of
from federator.simulator.traces.sorting import in_order, room, spool
from federator.simulator.traces.swf import SwfJob

KIB = 1 << 10
PACKED_AT_ONCE = 1 << 20
"""So many bytes are packed at a time, whatever they are: one content gives one file."""
GZIP = 16 + zlib.MAX_WBITS


class Packer(Protocol):
    """Bytes become fewer, a block at a time; what is left comes last."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _AsItIs:
    def __init__(self, size: int) -> None: ...

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


PACKERS: dict[str, Callable[[int], Packer]] = {
    ".gz": lambda size: zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=GZIP),
    ".zst": lambda size: ZstdCompressor().compressobj(size=size),
}
"""By the last ending of the name: what packs so many bytes."""
NAMED = ("user", "group", "queue", "partition")


def convert(source: Path, to: Path, format_: str | None = None) -> int:
    """Write a log anew, packed if ``to`` ends in .gz or .zst; returns how many jobs there are.

    Raises TraceError; where it is the log that is wrong, nothing is written.
    """
    name = to.name
    for packed in PACKERS:
        name = name.removesuffix(packed)
    writer = WRITERS.get(Path(name).suffix)
    if writer is None:
        raise TraceError(str(to), 0, "cannot be written", f"let its name end in {' or '.join(WRITERS)}, packed or not")
    form, made = format_ or format_of(source), writer()
    zero_s, count = 0.0, 0
    with room(source), spool() as body:
        for count, job in enumerate(in_order(source, READERS[form].read(source, AS_IT_IS)), start=1):
            zero_s = job.submit_s if count == 1 and READERS[form].dated else zero_s
            body.write(f"{made.line(job._replace(submit_s=job.submit_s - zero_s))}\n".encode())
        head = "".join(f"{line}\n" for line in made.header(zero_s)).encode()
        _write(to, head, body)
    return count


def _write(to: Path, head: bytes, body: IO[bytes]) -> None:
    packer = PACKERS.get(to.suffix, _AsItIs)(len(head) + body.tell())
    body.seek(0)
    try:
        with to.open("wb") as file:
            file.write(packer.compress(head))
            while some := body.read(PACKED_AT_ONCE):
                file.write(packer.compress(some))
            file.write(packer.flush())
    except OSError as error:
        raise TraceError(str(to), 0, f"cannot be written: {error.strerror or error}", "take another file") from None


class _Written(Protocol):
    """How jobs are written: a line for each, in their order; then what stands above them all.

    ``zero_s``: when the first was handed in, in seconds since 1970 (or 0).
    """

    def line(self, job: Job) -> str: ...

    def header(self, zero_s: float) -> Iterator[str]: ...


class _Own:
    def line(self, job: Job) -> str:
        return own.written(job)

    def header(self, zero_s: float) -> Iterator[str]:
        return iter(())


class _Swf:
    """Jobs are numbered anew. The header has the names behind the numbers of users, groups, queues and partitions."""

    def __init__(self) -> None:
        self._count = 0
        self._numbers: dict[str, dict[str, int]] = {kind: {} for kind in NAMED}

    def line(self, job: Job) -> str:
        self._count += 1
        for kind, known in self._numbers.items():
            if name := getattr(job, kind):
                known.setdefault(name, len(known) + 1)
        return " ".join(f"{value:.0f}" for value in _swf_job(self._count, job, self._numbers))

    def header(self, zero_s: float) -> Iterator[str]:
        yield "; Version: 2.2"
        if zero_s:
            yield f"; UnixStartTime: {zero_s:.0f}"
        yield f"; MaxJobs: {self._count}"
        for kind, known in self._numbers.items():
            for name, number in known.items():
                yield f"; {kind.capitalize()}: {number} {name}"


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


WRITERS: dict[str, Callable[[], _Written]] = {".swf": _Swf, ".jsonl": _Own}
"""By the ending of the name."""
