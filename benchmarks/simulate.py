"""How fast the simulator is, in jobs for each second of CPU, beside AccaSim and the limit of any simulator in Python.

The shortcut for one pool is measured on 10,000 jobs of HPC2N, with their reading and without; the planner itself on the
first 1,000. AccaSim simulates the same jobs in an environment of its own (``benchmarks/peer.py``), and under FCFS each
job must start there when it starts here. The limits are bare loops over as many arrivals and ends: over a heap, and
simpy's. Then comes what a job costs over 200 clusters, by how many there are (``benchmarks/grid.py``), each size in a
process of its own; ``--jobs 10000,100000,1000000`` names the sizes. With ``--scenario FILE`` one is measured besides.
"""

from __future__ import annotations

import argparse
import heapq
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import peer
from benchmarks.machine import describe
from benchmarks.validate import HPC2N, WAITS, pool_story
from federator.model.policy import Planning
from federator.simulator.run import simulate, simulate_quickly
from federator.simulator.story import Story

LOG = Path(__file__).parents[1] / "simulations" / "traces" / "hpc2n-10300.swf.gz"
JOBS, FEW = 10_000, 1000
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


def row(name: str, jobs: int, took_s: float) -> None:
    """A line of the first table."""
    print(f"{name:34} {jobs / took_s:9,.0f} {took_s:9.3f}", flush=True)


def ours(rule: str) -> None:
    """The shortcut and the planner under one rule."""
    planning = WAITS[rule][0]
    for read in (False, True):
        one = story(planning, JOBS, read=read)
        row(f"{rule}, one pool{', with reading' if read else ''}", JOBS, cpu_s(lambda one=one: simulate_quickly(one)))
    one = story(planning, FEW, read=False)
    row(f"{rule}, the planner itself", FEW, cpu_s(lambda: simulate(one)))


def theirs() -> None:
    """AccaSim and simpy in this run, and how many jobs AccaSim starts when we do."""
    try:
        python = peer.environment()
    except peer.Missing as error:
        print(f"AccaSim and simpy were not measured: {error}")
        return
    alike = []
    for rule in ("FCFS", "EASY"):
        one = story(WAITS[rule][0], JOBS, read=False)
        told = peer.run(python, one.arrivals(), HPC2N.processors, rule)
        row(f"{rule}, AccaSim {peer.VERSION}, with reading", JOBS, told.cpu_s)
        starts = {job.name: job.started_s for job in simulate_quickly(one).measures.workloads}
        same = sum(told.starts.get(name) == at_s for name, at_s in starts.items())
        alike.append(f"{rule}: {same:,} of {JOBS:,} jobs start at the same second in both")
    row(f"a bare loop of simpy {peer.SIMPY}", JOBS, peer.simpy_cpu_s(python, JOBS))
    print("\n".join(alike))


def curve(sizes: Sequence[str]) -> None:
    """What a job costs over many clusters, by how many there are (or in these scenarios)."""
    print(f"\n{'over 200 clusters (or a scenario)':40} {'jobs':>9} {'CPU s':>9} {'µs a job':>9} {'peak MiB':>9}")
    for size in sizes:
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.grid", size], check=True, stdout=subprocess.PIPE, text=True
        )
        told = json.loads(made.stdout)
        each_us = told["cpu_s"] / told["jobs"] * 1e6
        name = f"mean wait {told['mean_wait_s']:,.0f} s" if size.isdecimal() else size[-40:]
        print(f"{name:40} {told['jobs']:9,} {told['cpu_s']:9,.1f} {each_us:9,.0f} {told['peak_mib']:9,.0f}", flush=True)


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description="How fast the simulator is.")
    options.add_argument("--jobs", default="10000,30000", help="sizes of the curve, by commas")
    options.add_argument("--scenario", action="append", default=[], help="a scenario to measure besides")
    asked = options.parse_args()
    print(f"{describe()}; medians of {TIMES}, seconds of CPU")
    print(f"{'':34} {'jobs/s':>9} {'CPU s':>9}")
    for rule in ("FCFS", "EASY"):
        ours(rule)
    row("a bare loop over a heap", JOBS, cpu_s(lambda: bare_loop(JOBS)))
    theirs()
    curve([*asked.jobs.split(","), *asked.scenario])
    print(f"peak memory of the rest {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
