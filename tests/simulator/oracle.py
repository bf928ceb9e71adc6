"""A batch queue on one pool of processors, as simple as can be: what the simulator is compared with, job by job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A rigid job: when it comes, for how long it runs, what its user expected, how many processors it takes."""

    number: int
    submit_s: float
    run_s: float
    expected_s: float
    processors: int


ORDERS: dict[str, Callable[[Job], tuple[float, ...]]] = {
    "fifo": lambda job: (job.submit_s, job.number),
    "shortest": lambda job: (job.expected_s, job.submit_s, job.number),
}


def starts(jobs: Sequence[Job], processors: int, order: str, easy: bool) -> dict[int, float]:
    """When each job starts. The first in order that does not fit is waited for; with ``easy`` others may pass it if
    that does not delay the start that it can expect. What has run longer than expected is expected to end in 1 s."""
    started: dict[int, float] = {}
    running: list[Job] = []
    now, coming, waiting = 0.0, sorted(jobs, key=lambda job: job.submit_s), list[Job]()
    while coming or running:
        ends = [started[job.number] + job.run_s for job in running]
        now = max(now, min([*ends, *(job.submit_s for job in coming[:1])]))
        running = [job for job in running if started[job.number] + job.run_s > now]
        waiting += [job for job in coming if job.submit_s <= now]
        coming = [job for job in coming if job.submit_s > now]
        waiting.sort(key=ORDERS[order])
        head = None
        for job in list(waiting):
            free = processors - sum(one.processors for one in running)
            if job.processors > free or (head and not (easy and _passes(job, head, now, free, running, started))):
                head = head or job
                continue
            started[job.number] = now
            running.append(job)
            waiting.remove(job)
    return started


def _passes(job: Job, head: Job, now: float, free: int, running: list[Job], started: dict[int, float]) -> bool:
    """Whether the head can start when it can expect to, although this job starts now."""

    def expected_end(one: Job) -> float:
        end = started[one.number] + one.expected_s
        return end if end > now else now + 1.0

    def free_at(moment: float) -> int:
        return free + sum(one.processors for one in running if expected_end(one) <= moment)

    at = min(end for end in map(expected_end, running) if free_at(end) >= head.processors)
    kept = job.processors if now + job.expected_s > at else 0
    return free_at(at) - kept >= head.processors
