"""From jobs of a log to workloads that arrive: which count, what their queues are called, what their users expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from math import inf
from pathlib import Path

from federator.documents.sources import TracePart
from federator.model.selectors import ANYWHERE, Constraint, Requirement, Selector
from federator.model.workload import Gang, Workload
from federator.simulator.story import Arrival
from federator.simulator.traces.job import Job
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.readers import READERS, format_of, jobs

IN_ORDER = "write jobs in the order of submission, as federator trace convert does"
NUMBERED = "give each a name of its own, as federator trace convert --to FILE.swf does"
MOST_LETTERS = 63
MOST_KNOWN = 4096


def arrivals(part: TracePart, path: Path) -> Iterator[Arrival]:
    """The jobs that count, in the order of submission. Raises TraceError."""
    exact, likes = part.estimates != "requested", _Likes(part)
    first_s: float | None = None
    above, before_s, seen = 0, -inf, set[str]()
    for job, run_s in islice(_counted(part, path), part.skip, None if part.first is None else part.skip + part.first):
        submit_s, expected_s = job.submit_s, run_s if exact or job.expected_s is None else job.expected_s
        first_s = submit_s if first_s is None else first_s
        at_s = submit_s if part.start is None else part.start + submit_s - first_s
        name = f"{part.name}-{job.name}"
        if submit_s < before_s:
            times = f"at {submit_s:.15g} s, that of line {above} at {before_s:.15g} s"
            message = f"job {job.name} was submitted before the job above it ({times})"
            raise TraceError(str(path), job.line, message, IN_ORDER)
        if name in seen:
            first, other = _where(part, path, job.name)
            raise TraceError(
                str(path), other, f"several jobs are called {job.name}, the first in line {first}", NUMBERED
            )
        seen.add(name)
        above, before_s = job.line, submit_s
        yield Arrival(at_s, likes.of(job), run_s, name, expected_s)


def _where(part: TracePart, path: Path, name: str) -> tuple[int, int]:
    """The first two lines of the log with jobs of this name, of which there are several."""
    called = (job.line for job in READERS[part.format or format_of(path)].read(path, part) if job.name == name)
    return next(called), next(called)


def _counted(part: TracePart, path: Path) -> Iterator[tuple[Job, float]]:
    """The jobs that say how long they ran, and what they ask for; each with its run time."""
    unknown_s, zero_run = part.unknown_run, part.zero_run
    for job in jobs(path, part):
        run_s = unknown_s if job.run_s is None else job.run_s
        if run_s is not None and (run_s > 0 or zero_run) and job.roles:
            yield job, run_s


class _Likes:
    """What jobs have in common that ask for the same in the same queue: made once for all of them."""

    def __init__(self, part: TracePart) -> None:
        self._queue_by = "" if part.queue_by == "none" else part.queue_by
        self._kept = part.runs_at == "partition"
        self._known: dict[tuple[object, ...], Workload] = {}

    def of(self, job: Job) -> Workload:
        """A workload that is as this job is, but for its name, its time and what is expected."""
        queue = getattr(job, self._queue_by) if self._queue_by else ""
        key = id(job.roles), queue, job.partition if self._kept else "", job.priority, job.together
        like = self._known.get(key)
        if like is None or like.roles is not job.roles:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            like = self._known[key] = Workload(
                name="", roles=job.roles, queue=queue_name(queue), priority=job.priority,
                gang=Gang() if job.together else None,
                clusters=_in_partition(job.partition) if self._kept and job.partition else ANYWHERE,
            )  # fmt: skip
        return like


@cache
def _in_partition(name: str) -> Constraint:
    """Only the clusters that stand for it."""
    return Constraint(Selector((Requirement("partition", "In", (name,)),)))


@lru_cache(4096)
def queue_name(name: str) -> str:
    """What a queue is called that a log calls so: small letters, digits, dots, hyphens; ``default`` for nothing."""
    return re.sub(r"[^a-z0-9.-]", "-", name.lower())[:MOST_LETTERS].strip("-.") or "default"
