"""A week's jobs over 200 clusters, with the planner: ``python -m benchmarks.grid JOBS`` tells the first so many.

A million jobs come in a week, fewer at night and at the weekend: sixty kinds, of ten queues and of six shapes from one
core to eight, log-normal with a median of 1 h 40 min. The clusters have 36,000 cores, of which they use nine in ten; by
day more comes than they can run, and that is made up for at night. A scenario's file in place of the number is told
instead. It prints one JSON document.
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
from typing import NamedTuple

from federator.cli.simulating import story_of
from federator.documents.sources import GeneratePart
from federator.model.cluster import Cluster, Flavor, NodeGroup
from federator.model.plan import Snapshot
from federator.model.policy import Planning
from federator.model.resources import Resources
from federator.simulator.chance import generated
from federator.simulator.run import Run, simulate_quickly
from federator.simulator.story import Arrival, Story

CLUSTERS, QUEUES, JOBS = 200, 10, 1_000_000


class Shape(NamedTuple):
    """What a job asks for, and which part of all jobs asks for that."""

    cores: int
    gib_a_core: int
    share: float


class Days(NamedTuple):
    """Days of the week, and which part of its jobs comes on each."""

    name: str
    first: int
    days: int
    each: float


SHAPES = (
    Shape(1, 2, 0.38), Shape(1, 3, 0.20), Shape(1, 4, 0.10), Shape(2, 2, 0.10), Shape(4, 2, 0.08), Shape(8, 2, 0.14),
)  # fmt: skip
WEEK = (Days("week", 0, 5, 0.152), Days("weekend", 5, 3, 0.12))
"""The third day of the weekend is there for what chance leaves to come of a million."""
SWING = "30%"
"""The rate at two in the afternoon is so much above the day's average, and at two at night so much below."""
NODE = Resources.of({"cpu": 60_000, "memory": 240 * 2**30})
NODES = (1, 2, 3, 4, 5)
"""Of the clusters, in turns: three on average, so that all have 36,000 cores."""


def cluster(at: int) -> Cluster:
    """One of them."""
    count = NODES[at % len(NODES)]
    return Cluster(f"site-{at:03}", flavors=(Flavor("node", count, NODE, (NodeGroup(NODE, count),)),))


def part(queue: int, shape: Shape, days: Days) -> GeneratePart:
    """The jobs of one shape that come in one queue on some days of the week."""
    each_day = JOBS * shape.share / QUEUES * days.each / 24
    return GeneratePart.model_validate(
        {
            "name": f"{days.name}-{shape.cores}x{shape.gib_a_core}-{queue}", "queue": f"queue-{queue}",
            "rate": f"{each_day:.1f}/h", "daily": SWING,
            "begins": f"{days.first}d", "lasts": f"{days.days}d",
            "requests": {"cpu": shape.cores, "memory": f"{shape.cores * shape.gib_a_core}Gi"},
            "duration": {"lognormal": {"median": "1h40m", "sigma": 0.8}}, "expected": [1, 3],
        }
    )  # fmt: skip


def arrivals(jobs: int) -> Iterator[Arrival]:
    """The first so many."""
    parts = [part(queue, shape, days) for queue in range(QUEUES) for shape in SHAPES for days in WEEK]
    return islice(merge(*(generated(one, 1, None) for one in parts), key=lambda one: one.at_s), jobs)


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
