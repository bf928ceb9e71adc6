"""A week's jobs over 200 clusters, with the planner: ``python -m benchmarks.grid JOBS`` tells the first so many.

A million jobs come in a week, four of five with one core and one with eight, log-normal with a median of 1 h 40 min, of
ten queues; the clusters have 36,000 cores, of which they use nine in ten. A scenario's file in place of the number is
told instead. It prints one JSON document.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from itertools import islice
from pathlib import Path

from federator.cli.simulating import story_of
from federator.documents.scenario import GeneratePart
from federator.model.cluster import Cluster, Flavor, NodeGroup
from federator.model.plan import Snapshot
from federator.model.policy import Planning
from federator.model.resources import Resources
from federator.simulator.chance import generated
from federator.simulator.run import Run, simulate_quickly
from federator.simulator.story import Arrival, Story

CLUSTERS, QUEUES, WEEK_S, JOBS = 200, 10, 604_800, 1_000_000
NODE = Resources.of({"cpu": 60_000, "memory": 240 * 2**30})
NODES = (1, 2, 3, 4, 5)
"""Of the clusters, in turns: three on average, so that all have 36,000 cores."""


def cluster(at: int) -> Cluster:
    """One of them."""
    count = NODES[at % len(NODES)]
    return Cluster(f"site-{at:03}", flavors=(Flavor("node", count, NODE, (NodeGroup(NODE, count),)),))


def part(name: str, queue: int, share: float, cores: int) -> GeneratePart:
    """The jobs of one size that come in one queue."""
    return GeneratePart.model_validate(
        {
            "name": f"{name}-{queue}", "queue": f"queue-{queue}", "rate": f"{JOBS * share / QUEUES / 168:.1f}/h",
            "requests": {"cpu": cores, "memory": f"{2 * cores}Gi"},
            "duration": {"lognormal": {"median": "1h40m", "sigma": 0.8}}, "expected": [1, 3],
        }
    )  # fmt: skip


def arrivals(jobs: int) -> Iterator[Arrival]:
    """The first so many."""
    parts = [part(*one) for at in range(QUEUES) for one in (("one", at, 0.8, 1), ("eight", at, 0.2, 8))]
    return islice(merge(*(generated(one, 1, WEEK_S * 2) for one in parts), key=lambda one: one.at_s), jobs)


def story(jobs: int) -> Story:
    """The week, or its beginning."""
    clusters = tuple(cluster(at) for at in range(CLUSTERS))
    return Story(Snapshot(clusters=clusters, planning=Planning()), lambda: arrivals(jobs))


def measured(one: Story) -> dict[str, float]:
    """Tell a story; what that cost. What is compiled once is compiled, or loaded, before."""
    begin = list(islice(one.arrivals(), 20))
    simulate_quickly(replace(one, arrivals=lambda: iter(begin)))
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    run: Run = simulate_quickly(one)
    jobs = len(run.measures.workloads)
    return {
        "jobs": jobs,
        "finished": sum(told.ended_s is not None for told in run.measures.workloads),
        "simulated_s": run.ended_s,
        "mean_wait_s": sum(told.wait_s for told in run.measures.workloads if told.started_s is not None) / jobs,
        "plans": len(run.plan_s),
        "cpu_s": time.process_time() - began_cpu_s,
        "wall_s": time.perf_counter() - began_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    said = sys.argv[1]
    print(json.dumps(measured(story(int(said)) if said.isdecimal() else story_of(Path(said), None, None))))
