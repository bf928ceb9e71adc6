"""What backfill gains and costs, in simulation, with recorded production and a filler that never runs out.

``python -m benchmarks.filling [JOBS]``: the first so many jobs (default 300) of HPC2N, from the sample that ships, and
of SDSC-SP2, where ``FEDERATOR_TRACES`` names a folder that has it; EASY. Three plain ways to fill, then others. A run
ends when the last job has arrived. Tasks have one core, run three hours, save every ten minutes and have 30 s to end.
The aims: use above 97%, the mean wait up by less than the larger of 1% and the grace, less than 2% of the work lost.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from benchmarks.validate import HPC2N, LOGS, pool_story
from federator.model.backfill import Filler
from federator.model.policy import Planning
from federator.model.resources import Resources
from federator.model.workload import Role, Workload
from federator.simulator.answer import run_document
from federator.simulator.run import simulate
from federator.simulator.story import Story

SAMPLE = Path(__file__).parents[1] / "simulations" / "traces" / "hpc2n-10300.swf.gz"
JOBS = 300
GRACE_S, EVERY_S, TASK_S = 30.0, 600.0, 10_800.0
SAVES: Mapping[str, Any] = {"stops_s": 5.0}
WAYS: tuple[tuple[str, Mapping[str, Any] | None], ...] = (
    ("without", None),
    ("fill all", {}),
    ("10% stays free", {"keep_free": {"*": {"*": 100_000}}}),
    ("idle for 5 minutes", {"idle_for_s": 300.0}),
    ("idle for 1 h, at most 2%", {"idle_for_s": 3600.0, "idle_at_most": 20_000}),
    ("all, saves in 5 s", SAVES),
    ("1 h, 2%, saves in 5 s", {"idle_for_s": 3600.0, "idle_at_most": 20_000, **SAVES}),
)


def filler(**way: Any) -> Filler:
    """Endless tasks of one core."""
    work = Workload(
        name="backfill-endless",
        roles=(Role("", 1_000_000, Resources.of({"cpu": 1000})),),
        needs=frozenset({"backfill"}),
        backfill=True,
        duration_s=TASK_S,
        checkpoint_every_s=EVERY_S,
    )
    return Filler(work, grace_s=GRACE_S, **way)


def figures(told: Story, way: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of a story filled so; its work is in memory."""
    fillers = () if way is None else (filler(**way),)
    return run_document(simulate(replace(told, federation=replace(told.federation, fillers=fillers))))


def logs() -> Iterator[tuple[str, Path, int]]:
    """The logs that are there: names, files, processors."""
    yield HPC2N.name, SAMPLE, HPC2N.processors
    sdsc = next(log for log in LOGS if log.name == "SDSC-SP2")
    path = Path(os.environ.get("FEDERATOR_TRACES", "traces")) / sdsc.file
    if path.is_file():
        yield sdsc.name, path, sdsc.processors


def row(name: str, found: Mapping[str, Any], mean_s: float) -> str:
    """One line, with the marks of the aims that it meets: use, wait, loss."""
    wait, fill = found["wait_s"], found["backfill"]
    useful, lost = fill["cpu_s_useful"], fill["cpu_s_lost"]
    share = lost / useful if useful else 0.0
    used, more_s = found["utilization"]["pool"]["cpu"], wait["mean"] - mean_s
    aims = (used > 0.97, more_s < max(mean_s / 100, GRACE_S), share < 0.02)
    met = "".join("x" if aim else "-" for aim in aims) if useful else ""
    return (
        f"{name:26} {used:7.1%} {wait['mean']:10,.1f} {more_s:+8.1f} {wait['p95']:10,.0f} "
        f"{useful / 3600:10,.0f} {share:7.2%} {fill['evictions']:8,} {met:>5}"
    )


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print(f"{describe()}; a filler without end, tasks of {TASK_S:g} s, a grace of {GRACE_S:g} s")
    for log, path, processors in logs():
        told = pool_story(path, processors, Planning(backfilling="easy"), {"first": count})
        jobs = list(told.arrivals())
        told = replace(told, arrivals=lambda jobs=jobs: iter(jobs), lasts_s=jobs[-1].at_s)
        print(f"\n{f'{log}, the first {count:,} jobs':26} {'used':>7} {'mean wait':>10} {'more':>8} {'95% wait':>10} "
              f"{'useful h':>10} {'lost':>7} {'evicted':>8} {'aims':>5}")  # fmt: skip
        mean_s = 0.0
        for name, way in WAYS:
            found = figures(told, way)
            mean_s = found["wait_s"]["mean"] if way is None else mean_s
            print(row(name, found, mean_s), flush=True)


if __name__ == "__main__":
    main()
