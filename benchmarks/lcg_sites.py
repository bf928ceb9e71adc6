"""The sites of the LCG log as clusters: ``python -m benchmarks.lcg_sites LOG > simulations/lhc-grid/clusters.yaml``.

The log does not tell how large its sites were, nor how long jobs waited. A site gets half as many cores as it would
have needed at its busiest moment, had every job begun when it was handed in; nodes have two cores, as they had in 2005.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path

from federator.simulator.traces.swf import header, jobs

CORES = 2
"""Of a node."""
SHARE = 2
"""A site has one of so many parts of what it would have needed."""


def busiest(log: Path) -> dict[int, int]:
    """By partition, how many of its jobs would run at most, if none waited."""
    running: defaultdict[int, list[float]] = defaultdict(list)
    most: dict[int, int] = {}
    for job in sorted(jobs(log), key=lambda job: job.submit_s):
        ends = running[int(job.partition)]
        while ends and ends[0] <= job.submit_s:
            heappop(ends)
        heappush(ends, job.submit_s + max(0.0, job.run_s))
        most[int(job.partition)] = max(most.get(int(job.partition), 0), len(ends))
    return most


def names(log: Path) -> dict[int, str]:
    """By partition, the name of the site."""
    lines = (value.split() for key, value in header(log) if key == "Partition")
    return {int(number): name for number, name in lines}


def clusters(log: Path) -> Iterator[str]:
    """A document for each."""
    named = names(log)
    for partition, most in sorted(busiest(log).items()):
        nodes = -(-most // (SHARE * CORES))
        yield (
            "apiVersion: federator.dev/v1alpha1\n"
            "kind: Cluster\n"
            f"metadata: {{name: {named[partition]}, labels: {{partition: partition-{partition}}}}}\n"
            f"spec: {{provider: fake, flavors: [{{name: node, count: {nodes}, allocatable: {{cpu: {CORES}}}}}]}}\n"
        )


if __name__ == "__main__":
    print("# Made by benchmarks/lcg_sites.py from LCG-2005-1; README.md beside this file tells how.")
    print("---\n".join(clusters(Path(sys.argv[1]))), end="")
