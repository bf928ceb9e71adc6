"""Holds the simulator against published results, on the logs in the folder that FEDERATOR_TRACES names.

``python -m benchmarks.validate`` prints what was published beside what comes out, and ends with status 1 where any
digit differs. What each line means, and where the figures are from, is told in docs/simulating.md.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from federator.documents.sources import TracePart
from federator.model.cluster import Cluster, Flavor, NodeGroup
from federator.model.plan import Snapshot
from federator.model.policy import Planning
from federator.model.resources import Resources
from federator.simulator.run import Run, simulate_quickly
from federator.simulator.story import Story
from federator.simulator.traces.workloads import arrivals

SEQUENCES = (1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085)
LENGTH = 1024
ORDERS = ("fifo", "shortest", "f1")


@dataclass(frozen=True)
class Log:
    """A log of the batch-queue table (RLScheduler, SC'20): its file, its processors, what was published.

    ``plain`` and ``backfilled`` are average bounded slowdowns, by order as in ``ORDERS``.
    """

    name: str
    file: str
    processors: int
    plain: tuple[float, float, float]
    backfilled: tuple[float, float, float]


HPC2N = Log(
    "HPC2N", "hpc2n/HPC2N-2002-2.2-cln.swf.gz", 240, (297.18, 157.71, 118.01), (127.38, 122.04, 71.95)
)  # fmt: skip
LOGS = (
    Log("Lublin-1", "lublin/lublin_256.swf.gz", 256, (7273.77, 277.35, 258.37), (235.82, 73.31, 75.07)),
    Log(
        "SDSC-SP2", "sdsc-sp2/SDSC-SP2-1998-4.2-cln.swf.gz", 128,
        (1727.54, 2680.55, 1232.06), (1595.12, 2167.84, 1098.22),
    ),
    HPC2N,
)  # fmt: skip
WAITS: Mapping[str, tuple[Planning, float]] = {
    "FCFS": (Planning(blocked_head="wait"), 15712.85),
    "SJF": (Planning(blocked_head="wait", order="shortest"), 6917.78),
    "EASY": (Planning(backfilling="easy"), 5666.42),
}
"""Mean waits of the first 10,000 jobs of HPC2N, as published; EASY with what happens in one second seen together."""


def pool_story(log: Path, processors: int, planning: Planning, part: Mapping[str, object], **more: bool) -> Story:
    """Jobs of a log on one pool of processors."""
    whole = Resources.of({"cpu": 1000 * processors})
    pool = Cluster("pool", flavors=(Flavor("node", 1, whole, (NodeGroup(whole, 1),)),))
    trace = TracePart.model_validate({"file": log.name, "jobsAre": "cores", "queueBy": "none", **part})
    return Story(Snapshot(clusters=(pool,), planning=planning), lambda: arrivals(trace, log), **more)


def mean_wait(log: Path, planning: Planning) -> float:
    """Of the first 10,000 jobs of HPC2N."""
    run = simulate_quickly(pool_story(log, HPC2N.processors, planning, {"first": 10_000}))
    waits = [one.wait_s for one in run.measures.workloads]
    return sum(waits) / len(waits)


def mean_slowdown(log: Path, processors: int, planning: Planning) -> float:
    """The mean over the sequences of the paper of their average bounded slowdowns, under its conditions."""
    means = [_slowdown(run) for run in _sequences(log, processors, planning)]
    return sum(means) / len(means)


def _sequences(log: Path, processors: int, planning: Planning) -> Iterator[Run]:
    for start in SEQUENCES:
        part = {
            "skip": start, "first": LENGTH, "zeroRun": False, "unknownRun": "10s", "processors": "larger",
        }  # fmt: skip
        yield simulate_quickly(pool_story(log, processors, planning, part, one_by_one=True))


def _slowdown(run: Run) -> float:
    slowdowns = [one.slowdown for one in run.measures.workloads]
    return sum(slowdowns) / len(slowdowns)


def row(log: Path, processors: int, *, backfilled: bool) -> list[float]:
    """One half of a row of the table."""
    rules = {"backfilling": "once"} if backfilled else {"blocked_head": "stay"}
    return [round(mean_slowdown(log, processors, Planning(order=order, **rules)), 2) for order in ORDERS]


def main() -> int:
    """Print the table; the exit status."""
    folder = Path(os.environ.get("FEDERATOR_TRACES", "traces"))
    missing = [log.file for log in LOGS if not (folder / log.file).is_file()]
    if missing:
        print(f"{folder} has no {', '.join(missing)}: let FEDERATOR_TRACES name a folder that has", file=sys.stderr)
        return 1
    wrong, began = 0, time.process_time()
    print(f"{'mean wait, first 10,000 of HPC2N':48} {'expected':>10} {'simulated':>10}")
    for name, (planning, expected) in WAITS.items():
        found = round(mean_wait(folder / HPC2N.file, planning), 2)
        wrong += _tell(name, expected, found)
    print(f"\n{'average bounded slowdown, 10 sequences of 1,024':48} {'published':>10} {'simulated':>10}")
    for log in LOGS:
        for backfilled, published in ((False, log.plain), (True, log.backfilled)):
            found = row(folder / log.file, log.processors, backfilled=backfilled)
            wrong += _tell_row(log.name + (", backfilling" if backfilled else ""), published, found)
    print(f"\n{'all as expected' if not wrong else f'{wrong} differ'}; {time.process_time() - began:.1f} s of CPU")
    return 1 if wrong else 0


def _tell(name: str, expected: float, found: float) -> int:
    same = expected == found
    print(f"{name:48} {expected:10.2f} {found:10.2f}{'' if same else '  differs'}")
    return not same


def _tell_row(name: str, published: Sequence[float], found: Sequence[float]) -> int:
    names = (f"{name}, {order}" for order in ("FCFS", "SJF", "F1"))
    return sum(_tell(*line) for line in zip(names, published, found, strict=True))


if __name__ == "__main__":
    sys.exit(main())
