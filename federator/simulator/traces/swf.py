"""The Standard Workload Format of the Parallel Workloads Archive: 18 numbers to a line, -1 for what is not known.

Lines that begin with ``;`` are a header of ``Key: value`` pairs (a key may come several times).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import hypot
from pathlib import Path
from typing import NamedTuple

from federator.documents.scenario import TracePart
from federator.model.resources import CPU, Resources
from federator.model.workload import Role
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError, lines

FIELDS = (
    "number", "submit_s", "wait_s", "run_s", "used_processors", "cpu_s", "used_memory_kib", "processors",
    "requested_s", "memory_kib", "status", "user", "group", "executable", "queue", "partition", "preceding", "think_s",
)  # fmt: skip
MOST_NUMBER = 10**15
CORE = Resources.of({CPU: 1000})


class SwfJob(NamedTuple):
    """One line. -1: not known. Times are in seconds, memory is in KiB for each processor."""

    number: float
    submit_s: float
    wait_s: float
    run_s: float
    used_processors: float
    cpu_s: float
    used_memory_kib: float
    processors: float
    requested_s: float
    memory_kib: float
    status: float
    user: float
    group: float
    executable: float
    queue: float
    partition: float
    preceding: float
    think_s: float


def known(first: str) -> bool:
    """Whether a log that begins with this line is one of these."""
    return first.startswith(";") or len(first.split()) == len(FIELDS)


def header(path: Path) -> list[tuple[str, str]]:
    """The pairs of the header, in their order. Raises TraceError."""
    found: list[tuple[str, str]] = []
    for _, line in lines(path):
        if not line.startswith(";"):
            break
        key, colon, value = line.lstrip("; \t").partition(":")
        if colon and " " not in key:
            found.append((key, value.strip()))
    return found


def jobs(path: Path) -> Iterator[SwfJob]:
    """The jobs, one at a time. Raises TraceError, which names the line."""
    for number, line in lines(path):
        words = line.split()
        if not words or line.startswith(";"):
            continue
        if len(words) != len(FIELDS):
            raise TraceError(
                str(path), number, f"has {len(words)} fields, not {len(FIELDS)}", "write -1 for what is not known"
            )
        try:
            values = list(map(float, words))
        except ValueError:
            raise _wrong(path, number, words) from None
        if not hypot(*values) < MOST_NUMBER and not all(-MOST_NUMBER < one < MOST_NUMBER for one in values):
            raise _wrong(path, number, words)  # one is too large, or no number
        if values[1] < 0:
            raise TraceError(str(path), number, "submit_s is below zero", "every job needs a time of submission")
        yield tuple.__new__(SwfJob, values)  # no frame for each


def _wrong(path: Path, number: int, words: list[str]) -> TraceError:
    for name, word in zip(FIELDS, words, strict=True):
        try:
            right = -MOST_NUMBER < float(word) < MOST_NUMBER
        except ValueError:
            right = False
        if not right:
            return TraceError(str(path), number, f"{name} is '{word[:40]}'", "write a number, -1 for what is not known")
    raise AssertionError(words)


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs as jobs of any log; what was a number of a user or queue is called ``user-7``. Raises TraceError."""
    of_size: dict[int, tuple[Role, ...]] = {}
    replicas = part.jobs_are == "replicas"
    for one in jobs(path):
        number, submit_s, wait_s, run_s, used, _, _, asked, requested_s, *_ = one
        status, user, group, _, queue, partition, *_ = one[10:]
        count = chosen(part, int(asked), int(used))
        roles = of_size.get(count)
        if roles is None:
            roles = of_size[count] = pieces(part, count, CORE) if count > 0 else ()
        yield Job(
            f"{int(number):08d}", submit_s, roles,
            run_s if run_s >= 0 else None, requested_s if requested_s > 0 else None, wait_s if wait_s >= 0 else None,
            replicas and count > 1, int(status), 0,
            _named("user", user), _named("group", group), _named("queue", queue), _named("partition", partition),
        )  # fmt: skip


def pieces(part: TracePart, count: int, each: Resources) -> tuple[Role, ...]:
    """The role of a job that takes so many pieces: a replica for each, or one with all of them."""
    return _pieces(part.jobs_are == "replicas", count, each)


@lru_cache(4096)
def _pieces(replicas: bool, count: int, each: Resources) -> tuple[Role, ...]:
    return (Role("", count, each) if replicas else Role("", 1, each * count),)


def chosen(part: TracePart, asked: int, used: int) -> int:
    """How many processors a job takes that asked for so many and used so many; 0 or less: not known."""
    if part.processors == "larger":
        return max(asked, used)
    first, second = (asked, used) if part.processors == "requested" else (used, asked)
    return first if first > 0 else second


@lru_cache(4096)
def _named(kind: str, number: float) -> str:
    return "" if number < 0 else f"{kind}-{int(number)}"
