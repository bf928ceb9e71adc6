"""The Standard Workload Format of the Parallel Workloads Archive: 18 numbers to a line, -1 for what is not known.

Lines that begin with ``;`` are a header of ``Key: value`` pairs (a key may come several times).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from federator.simulator.traces.opening import TraceError, opened

FIELDS = (
    "number", "submit_s", "wait_s", "run_s", "used_processors", "cpu_s", "used_memory_kib", "processors",
    "requested_s", "memory_kib", "status", "user", "group", "executable", "queue", "partition", "preceding", "think_s",
)  # fmt: skip
MOST_NUMBER = 10**15


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


def header(path: Path) -> list[tuple[str, str]]:
    """The pairs of the header, in their order. Raises TraceError."""
    found: list[tuple[str, str]] = []
    for _, line in _lines(path):
        if not line.startswith(";"):
            break
        key, colon, value = line.lstrip("; \t").partition(":")
        if colon and " " not in key:
            found.append((key, value.strip()))
    return found


def jobs(path: Path) -> Iterator[SwfJob]:
    """The jobs, one at a time. Raises TraceError, which names the line."""
    for number, line in _lines(path):
        if line.startswith(";") or not line.strip():
            continue
        words = line.split()
        if len(words) != len(FIELDS):
            raise TraceError(
                str(path), number, f"has {len(words)} fields, not {len(FIELDS)}", "write -1 for what is not known"
            )
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise _wrong(path, number, words) from None
        if not all(-MOST_NUMBER < value < MOST_NUMBER for value in values):
            raise _wrong(path, number, words)
        if values[1] < 0:
            raise TraceError(str(path), number, "submit_s is below zero", "every job needs a time of submission")
        yield SwfJob(*values)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with opened(path) as file:
        try:
            yield from enumerate(file, start=1)
        except (EOFError, OSError, zlib.error) as error:
            raise TraceError(str(path), 0, f"ends in the middle: {error}", "fetch it again") from None


def _wrong(path: Path, number: int, words: list[str]) -> TraceError:
    for name, word in zip(FIELDS, words, strict=True):
        try:
            right = -MOST_NUMBER < float(word) < MOST_NUMBER
        except ValueError:
            right = False
        if not right:
            return TraceError(str(path), number, f"{name} is '{word[:40]}'", "write a number, -1 for what is not known")
    raise AssertionError(words)
