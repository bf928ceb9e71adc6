"""From jobs of a log to workloads that arrive: which count, what their queues are called, what their users expected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path

from federator.documents.scenario import TracePart
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Gang, Workload
from federator.simulator.story import Arrival
from federator.simulator.traces.job import Job
from federator.simulator.traces.readers import jobs

ANYWHERE = Constraint()
MOST_LETTERS = 63


def arrivals(part: TracePart, path: Path) -> Iterator[Arrival]:
    """The jobs that count, in the order of submission. Raises TraceError."""
    counted = (job for job in jobs(path, part) if counts(part, job))
    first_s: float | None = None
    for job in islice(counted, part.skip, None if part.first is None else part.skip + part.first):
        first_s = job.submit_s if first_s is None else first_s
        at_s = job.submit_s if part.start is None else part.start + job.submit_s - first_s
        run_s = _run_s(part, job) or 0.0
        yield Arrival(at_s, _workload(part, job, at_s, run_s), run_s)


def counts(part: TracePart, job: Job) -> bool:
    """Whether a job takes part: one that says how long it ran, and what it asks for."""
    run_s = _run_s(part, job)
    return run_s is not None and (run_s > 0 or part.zero_run) and bool(job.roles)


def _run_s(part: TracePart, job: Job) -> float | None:
    return part.unknown_run if job.run_s is None else job.run_s


def _workload(part: TracePart, job: Job, at_s: float, run_s: float) -> Workload:
    expected_s = job.expected_s if part.estimates == "requested" else None
    return Workload(
        name=f"{part.name}-{job.name}",
        roles=job.roles,
        queue="default" if part.queue_by == "none" else queue_name(getattr(job, part.queue_by)),
        priority=job.priority,
        submitted_at_s=at_s,
        gang=Gang() if job.together else None,
        duration_s=run_s if expected_s is None else expected_s,
        clusters=_in_partition(job.partition) if part.runs_at == "partition" and job.partition else ANYWHERE,
    )


@cache
def _in_partition(name: str) -> Constraint:
    """Only the clusters that stand for it."""
    return Constraint(Selector((Requirement("partition", "In", (name,)),)))


@lru_cache(4096)
def queue_name(name: str) -> str:
    """What a queue is called that a log calls so: small letters, digits, dots, hyphens; ``default`` for nothing."""
    return re.sub(r"[^a-z0-9.-]", "-", name.lower())[:MOST_LETTERS].strip("-.") or "default"
