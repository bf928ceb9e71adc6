"""A batch queue on one pool of processors, as simple as can be: what the simulator is compared with, job by job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10


@dataclass(frozen=True)
class Job:
    """A rigid job: when it comes, for how long it runs, what its user expected, how many processors it takes."""

    number: int
    submit_s: float
    run_s: float
    expected_s: float
    processors: int


def f1(job: Job) -> float:
    """The score of that paper."""
    return log10(max(1.0, job.expected_s)) * job.processors + 870 * log10(max(1.0, job.submit_s))


Order = Callable[[Job], tuple[float, ...]]

ORDERS: dict[str, Order] = {
    "fifo": lambda job: (job.submit_s, job.number),
    "shortest": lambda job: (job.expected_s, job.submit_s, job.number),
    "f1": lambda job: (round(f1(job), 6), job.submit_s, job.number),
}


def starts(
    jobs: Sequence[Job], processors: int, order: str, backfilling: str, *, stay: bool = False
) -> dict[int, float]:
    """When each job starts; all that happens at one moment is seen together.

    The first in order that does not fit is waited for; under ``easy`` others may pass it if that does not delay the
    start that it can expect. ``stay``: it stays the first until it starts. Under ``once`` it does too; the start that
    it can expect is found when it becomes the first, and others may pass it, as they came, that end before. What has
    run longer than expected is expected to end in 1 s. Under ``easy`` only those count as gone by then, by their
    ends, starts and the order, that the first needs; not others that end at that very moment.
    """
    started: dict[int, float] = {}
    running: list[Job] = []
    now, coming, waiting = 0.0, sorted(jobs, key=lambda job: job.submit_s), list[Job]()
    first: Job | None = None
    reserved, spare = 0.0, 0

    def fits(job: Job) -> bool:
        return job.processors <= processors - sum(one.processors for one in running)

    def start(job: Job) -> None:
        started[job.number] = now
        running.append(job)
        waiting.remove(job)

    while coming or running:
        ends = [started[job.number] + job.run_s for job in running]
        now = max(now, min([*ends, *(job.submit_s for job in coming[:1])]))
        running = [job for job in running if started[job.number] + job.run_s > now]
        waiting += [job for job in coming if job.submit_s <= now]
        coming = [job for job in coming if job.submit_s > now]
        waiting.sort(key=ORDERS[order])
        while waiting and fits(first or waiting[0]):
            start(first or waiting[0])
            first = None
        head = first or next(iter(waiting), None)
        if head is None:
            continue
        free = processors - sum(one.processors for one in running)
        if backfilling == "easy" or first is None:
            reserved, spare = _reservation(head, now, free, running, started, ORDERS[order])
        first = head if stay or backfilling == "once" else None
        for job in sorted(waiting, key=ORDERS["fifo" if backfilling == "once" else order]):
            if job is head or not fits(job) or backfilling == "none":
                continue
            end = now + job.expected_s
            if end < reserved or (backfilling == "easy" and (end == reserved or job.processors <= spare)):
                start(job)
                spare -= job.processors if end > reserved else 0
    return started


def _reservation(
    head: Job, now: float, free: int, running: list[Job], started: dict[int, float], order: Order
) -> tuple[float, int]:
    """When there is room for the head, and what is free then beside it."""

    def expected_end(one: Job) -> float:
        end = started[one.number] + one.expected_s
        return end if end > now else now + 1.0

    at = now
    for one in sorted(running, key=lambda one: (expected_end(one), started[one.number], order(one))):
        free, at = free + one.processors, expected_end(one)
        if free >= head.processors:
            break
    return at, free - head.processors
