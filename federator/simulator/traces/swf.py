"""The Standard Workload Format of the Parallel Workloads Archive: 18 numbers to a line, -1 for what is not known.

Lines that begin with ``;`` are a header of ``Key: value`` pairs (a key may come several times).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice, repeat
from pathlib import Path
from typing import NamedTuple

from federator.documents.sources import TracePart
from federator.model.resources import CPU, Resources
from federator.model.workload import Role
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError, lines

FIELDS = (
    "number", "submit_s", "wait_s", "run_s", "used_processors", "cpu_s", "used_memory_kib", "processors",
    "requested_s", "memory_kib", "status", "user", "group", "executable", "queue", "partition", "preceding", "think_s",
)  # fmt: skip
SUBMIT = FIELDS.index("submit_s")
MOST_NUMBER = 10**15
COMMENTS = ";#"
AT_ONCE = 128
"""So many lines are read at a time."""
Columns = list[list[float]]
"""Of each field the numbers, line by line."""
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
    for _, columns in _columns(path):
        yield from map(tuple.__new__, repeat(SwfJob), zip(*columns, strict=True))  # no frame for each


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs as jobs of any log; what was a number of a user or queue is called ``user-7``. Raises TraceError."""
    of_size: dict[int, tuple[Role, ...]] = {}
    replicas = part.jobs_are == "replicas"
    for at, columns in _columns(path):
        numbers, submits_s, waits_s, runs_s, used, _, _, asked, expected_s, *_ = columns
        statuses, users, groups, _, queues, partitions, *_ = columns[10:]
        counts = [chosen(part, int(one), int(other)) for one, other in zip(asked, used, strict=True)]
        for count in set(counts) - of_size.keys():
            of_size[count] = pieces(part, count, CORE) if count > 0 else ()
        fields = (
            [f"{int(number):08d}" for number in numbers], submits_s, [of_size[count] for count in counts],
            [value if value >= 0 else None for value in runs_s], [value if value > 0 else None for value in expected_s],
            [value if value >= 0 else None for value in waits_s], [replicas and count > 1 for count in counts],
            map(int, statuses), repeat(0, len(counts)),
            _named("user", users), _named("group", groups), _named("queue", queues), _named("partition", partitions),
            at,
        )  # fmt: skip
        yield from map(tuple.__new__, repeat(Job), zip(*fields, strict=True))  # no frame for each


def _columns(path: Path) -> Iterator[tuple[list[int], Columns]]:
    """Some hundred lines at a time: which they are, and their numbers field by field.

    Raises TraceError, after what comes before it.
    """
    numbered = lines(path)
    while some := list(islice(numbered, AT_ONCE)):
        found = [(number, words) for number, line in some if (words := line.split()) and words[0][0] not in COMMENTS]
        at, right = [number for number, _ in found], [words for _, words in found]
        try:
            columns = _numbers(right)
        except ValueError:
            sound = next(count for count, words in enumerate(right) if _is_wrong(words))
            yield at[:sound], _numbers(right[:sound])
            raise _wrong(path, *found[sound]) from None
        yield at, columns


def _numbers(rows: Sequence[Sequence[str]]) -> Columns:
    """The numbers of such rows, field by field; a word that comes again is read once. Raises ValueError."""
    if not rows:
        return [[] for _ in FIELDS]
    value_of = {word: float(word) for word in set(chain.from_iterable(rows))}
    columns = [list(map(value_of.__getitem__, column)) for column in zip(*rows, strict=True)]
    sound = len(columns) == len(FIELDS) and all(-MOST_NUMBER < value < MOST_NUMBER for value in value_of.values())
    if not sound or min(columns[SUBMIT]) < 0:
        raise ValueError
    return columns


def _is_wrong(words: Sequence[str]) -> bool:
    try:
        _numbers([words])
    except ValueError:
        return True
    return False


def _wrong(path: Path, line: int, words: Sequence[str]) -> TraceError:
    """What is wrong with a line in which something is."""
    if len(words) != len(FIELDS):
        message, cure = f"has {len(words)} fields, not {len(FIELDS)}", "write -1 for what is not known"
        return TraceError(str(path), line, message, cure)
    for name, word in zip(FIELDS, words, strict=True):
        try:
            right = -MOST_NUMBER < float(word) < MOST_NUMBER
        except ValueError:
            right = False
        if not right:
            return TraceError(str(path), line, f"{name} is '{word[:40]}'", "write a number, -1 for what is not known")
    return TraceError(str(path), line, "submit_s is below zero", "every job needs a time of submission")


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


def _named(kind: str, numbers: Sequence[float]) -> list[str]:
    names = {number: "" if number < 0 else f"{kind}-{int(number)}" for number in set(numbers)}
    return [names[number] for number in numbers]
