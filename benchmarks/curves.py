"""How the time of one plan grows with the number of clusters and of autoclusters: ``python -m benchmarks.curves``.

The federation is that of the case ``regional`` of ``benchmarks/plan.py``: ten queues, each with ten tiers that begin
with its own region, 400,000 replicas in all, and nodes for nine of ten of them however many clusters they are in. The
medians are of five runs, of the processor's time.
"""

from __future__ import annotations

import statistics
import time
from random import Random

from benchmarks.plan import CLUSTERS, REPLICAS, SEED, WORKLOADS, clusters, machine, regional, workloads
from federator.daemon import garbage
from federator.engine.planner import plan
from federator.model.plan import Snapshot

RUNS = 5
BY_CLUSTERS = (20, 50, 100, 200, 500)
BY_AUTOCLUSTERS = (200, 500, 2000, 5000, 20_000)
NODES = 96 * CLUSTERS


def federation(members: int, autoclusters: int, shapes: int) -> Snapshot:
    """So many clusters and workloads; ``shapes`` is how many different requests there are."""
    random = Random(SEED)
    made = clusters(random, NODES // members, members)
    each = WORKLOADS * REPLICAS // autoclusters
    served = workloads(random, 10, shapes, autoclusters, each)
    return Snapshot(at_s=2e6, clusters=made, workloads=served, policies=regional(members))


def median_s(snapshot: Snapshot) -> tuple[float, int]:
    """The median time of a plan, and how many placements it has."""
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        made = plan(snapshot)
        times.append(time.process_time() - began)
    return statistics.median(times), len(made.placements)


def main() -> None:
    """Print both curves."""
    garbage.only_young()
    plan(federation(20, 200, 40))  # compiles, or loads what was compiled before
    print(f"{machine()}; {WORKLOADS * REPLICAS:,} replicas; seed {SEED}")
    print("clusters  autoclusters   40 shapes   all different   placements")
    sizes = [(members, WORKLOADS) for members in BY_CLUSTERS] + [(CLUSTERS, many) for many in BY_AUTOCLUSTERS]
    for members, autoclusters in sizes:
        alike, placements = median_s(federation(members, autoclusters, 40))
        different, _ = median_s(federation(members, autoclusters, autoclusters))
        print(f"{members:8} {autoclusters:13,} {alike:9.3f} s {different:13.3f} s {placements:12,}", flush=True)


if __name__ == "__main__":
    main()
