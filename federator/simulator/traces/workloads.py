"""From jobs of a log to workloads that arrive: which count, how large they are, what their users expected."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from federator.documents.scenario import TracePart
from federator.model.resources import CPU, Resources
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Gang, Role, Workload
from federator.simulator.story import Arrival
from federator.simulator.traces.swf import SwfJob, jobs

ANYWHERE = Constraint()
CORE = Resources.of({CPU: 1000})


def arrivals(part: TracePart, path: Path) -> Iterator[Arrival]:
    """The jobs that count, as the log orders them. Raises TraceError."""
    counted = (job for job in jobs(path) if counts(part, job))
    first_s: float | None = None
    for job in islice(counted, part.skip, None if part.first is None else part.skip + part.first):
        first_s = job.submit_s if first_s is None else first_s
        at_s = job.submit_s if part.start is None else part.start + job.submit_s - first_s
        yield Arrival(at_s, _workload(part, job, at_s), _run_s(part, job) or 0.0)


def counts(part: TracePart, job: SwfJob) -> bool:
    """Whether a job takes part: one that says how long it ran, and on how many processors."""
    run_s = _run_s(part, job)
    return run_s is not None and (run_s > 0 or part.zero_run) and processors(part, job) > 0


def _run_s(part: TracePart, job: SwfJob) -> float | None:
    return job.run_s if job.run_s >= 0 else part.unknown_run


def processors(part: TracePart, job: SwfJob) -> int:
    """How many processors it takes."""
    asked, used = int(job.processors), int(job.used_processors)
    if part.processors == "larger":
        return max(asked, used)
    first, second = (asked, used) if part.processors == "requested" else (used, asked)
    return first if first > 0 else second


def _workload(part: TracePart, job: SwfJob, at_s: float) -> Workload:
    count = processors(part, job)
    whole = part.jobs_are == "replicas"
    role = Role("", count if whole else 1, CORE if whole else CORE * count)
    run_s = _run_s(part, job)
    expected = job.requested_s if job.requested_s > 0 and part.estimates == "requested" else run_s
    return Workload(
        name=f"{part.name}-{int(job.number):08d}",
        roles=(role,),
        queue=_queue(part, job),
        submitted_at_s=at_s,
        gang=Gang() if whole and count > 1 else None,
        duration_s=expected,
        clusters=_where(part, job),
    )


def _where(part: TracePart, job: SwfJob) -> Constraint:
    """The clusters that it may run on."""
    return ANYWHERE if part.runs_at == "anywhere" or job.partition < 0 else _in_partition(int(job.partition))


@cache
def _in_partition(number: int) -> Constraint:
    return Constraint(Selector((Requirement("partition", "In", (str(number),)),)))


def _queue(part: TracePart, job: SwfJob) -> str:
    if part.queue_by == "none":
        return "default"
    value = {"queue": job.queue, "user": job.user, "group": job.group, "partition": job.partition}[part.queue_by]
    return "default" if value < 0 else f"{part.queue_by}-{int(value)}"
