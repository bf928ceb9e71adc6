"""How fast the simulator is, in jobs for each second of CPU, beside the limit of any simulator in Python.

The shortcut for one pool is measured on 10,000 jobs of HPC2N, with their reading and without; the planner itself on the
first 1,000. The limit is a bare loop over a heap of as many arrivals and ends. AccaSim 1.1.3 was measured elsewhere, on
two cores, at about 1,760 (FCFS) and 1,650 (EASY) jobs for each second of CPU.
"""

from __future__ import annotations

import heapq
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.machine import describe
from benchmarks.validate import HPC2N, WAITS, pool_story
from federator.model.policy import Planning
from federator.simulator.run import simulate, simulate_quickly
from federator.simulator.story import Story

LOG = Path(__file__).parents[1] / "simulations" / "traces" / "hpc2n-10300.swf.gz"
ACCASIM = {"FCFS": 1760, "EASY": 1650}
TIMES = 3


def cpu_s(work: Callable[[], object]) -> float:
    """The median seconds of CPU of a few times."""
    took = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return median(took)


def story(planning: Planning, first: int, *, read: bool) -> Story:
    """So many jobs; ``read``: from the file each time they are told, else from memory."""
    told = pool_story(LOG, HPC2N.processors, planning, {"first": first})
    if read:
        return told
    jobs = list(told.arrivals())
    return replace(told, arrivals=lambda: iter(jobs))


def bare_loop(jobs: int) -> None:
    """Arrivals and ends through a heap, and nothing else."""
    heap = [(float(at * 1250), at) for at in range(jobs)]
    heapq.heapify(heap)
    while heap:
        at_s, job = heapq.heappop(heap)
        if job >= 0:
            heapq.heappush(heap, (at_s + 5000.0, -1 - job))


def main() -> None:
    """Print the table."""
    print(f"{describe()}; medians of {TIMES}, seconds of CPU")
    print(f"{'':34} {'jobs/s':>9} {'AccaSim':>9}")
    for rule in ("FCFS", "EASY"):
        planning = WAITS[rule][0]
        for read in (False, True):
            one = story(planning, 10_000, read=read)
            rate = 10_000 / cpu_s(lambda one=one: simulate_quickly(one))
            print(f"{rule + ', one pool' + (', with reading' if read else ''):34} {rate:9,.0f} {ACCASIM[rule]:9,}")
        one = story(planning, 1000, read=False)
        print(f"{rule + ', the planner itself':34} {1000 / cpu_s(lambda one=one: simulate(one)):9,.0f}")
    print(f"{'a bare loop over a heap':34} {10_000 / cpu_s(lambda: bare_loop(10_000)):9,.0f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
