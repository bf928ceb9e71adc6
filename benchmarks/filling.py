"""What backfill gains and costs, in simulation, with recorded production and a filler that never runs out.

``python -m benchmarks.filling [LOG...]``: the first 300 jobs of ``HPC2N``, from the sample that ships, and of
``SDSC-SP2``, where ``FEDERATOR_TRACES`` names a folder that has it, both with EASY; and the first jobs of ``LCG``, from
the sample, on its 170 sites. Three plain ways to fill, then others. A run ends when the last job has arrived. Tasks
have one core, run three hours, save every ten minutes and have 30 s to end. The aims: use above 97%, the mean wait up
by less than the larger of 1% and the grace, less than 2% of the work lost.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
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
from federator.simulator.telling import read_scenario
from federator.simulator.telling import told as scenario_story

SAMPLE = Path(__file__).parents[1] / "simulations" / "traces" / "hpc2n-10300.swf.gz"
GRID = Path(__file__).parents[1] / "simulations" / "lhc-grid"
JOBS, GRID_JOBS = 300, 500
GRACE_S, EVERY_S, TASK_S = 30.0, 600.0, 10_800.0
SAVES: Mapping[str, Any] = {"stops_s": 5.0}
ANYWAY: Mapping[str, Any] = {"most_lost": 1_000_000}
WAYS: tuple[tuple[str, Mapping[str, Any] | None], ...] = (
    ("without", None),
    ("fill all", ANYWAY),
    ("10% stays free", {"keep_free": {"*": {"*": 100_000}}, **ANYWAY}),
    ("idle for 5 minutes", {"idle_for_s": 300.0, **ANYWAY}),
    ("idle for 1 h, at most 2%", {"idle_for_s": 3600.0, "idle_at_most": 20_000, **ANYWAY}),
    ("at most 2% lost", {"most_lost": 20_000}),
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


def stories() -> Iterator[tuple[str, int, Callable[[], Story]]]:
    """The logs that are there: names, how many jobs, and what tells of them."""
    easy = Planning(backfilling="easy")
    yield HPC2N.name, JOBS, lambda: pool_story(SAMPLE, HPC2N.processors, easy, {"first": JOBS})
    sdsc = next(log for log in LOGS if log.name == "SDSC-SP2")
    path = Path(os.environ.get("FEDERATOR_TRACES", "traces")) / sdsc.file
    if path.is_file():
        yield sdsc.name, JOBS, lambda: pool_story(path, sdsc.processors, easy, {"first": JOBS})
    yield "LCG", GRID_JOBS, grid_story


def grid_story() -> Story:
    """Jobs of the LHC grid, free to run at any of its sites."""
    scenario = GRID / "federated.yaml"
    document, documents = read_scenario(scenario)
    whole = scenario_story(document, documents, GRID)
    return replace(whole, arrivals=lambda: islice(whole.arrivals(), GRID_JOBS))


def used(told: Story, found: Mapping[str, Any]) -> float:
    """The part of all cores that was used."""
    cores = {one.name: one.allocatable["cpu"] for one in told.federation.clusters}
    busy: float = sum(found["utilization"][name]["cpu"] * count for name, count in cores.items())
    return busy / sum(cores.values())


def row(name: str, used: float, found: Mapping[str, Any], mean_s: float) -> str:
    """One line, with the marks of the aims that it meets: use, wait, loss."""
    wait, fill = found["wait_s"], found["backfill"]
    useful, lost = fill["cpu_s_useful"], fill["cpu_s_lost"]
    share = lost / useful if useful else 0.0
    more_s = wait["mean"] - mean_s
    aims = (used > 0.97, more_s < max(mean_s / 100, GRACE_S), share < 0.02)
    met = "".join("x" if aim else "-" for aim in aims) if useful else ""
    return (
        f"{name:26} {used:7.1%} {wait['mean']:10,.1f} {more_s:+8.1f} {wait['p95']:10,.0f} "
        f"{useful / 3600:10,.0f} {share:7.2%} {fill['evictions']:8,} {met:>5}"
    )


def main() -> None:
    """Print the tables of the logs that are asked for, or of all."""
    print(f"{describe()}; a filler without end, tasks of {TASK_S:g} s, a grace of {GRACE_S:g} s")
    for log, count, story in stories():
        if sys.argv[1:] and log not in sys.argv[1:]:
            continue
        told = story()
        jobs = list(told.arrivals())
        told = replace(told, arrivals=partial(iter, jobs), lasts_s=jobs[-1].at_s)
        print(f"\n{f'{log}, the first {count:,} jobs':26} {'used':>7} {'mean wait':>10} {'more':>8} {'95% wait':>10} "
              f"{'useful h':>10} {'lost':>7} {'evicted':>8} {'aims':>5}")  # fmt: skip
        mean_s = 0.0
        for name, way in WAYS:
            found = figures(told, way)
            mean_s = found["wait_s"]["mean"] if way is None else mean_s
            print(row(name, used(told, found), found, mean_s), flush=True)


if __name__ == "__main__":
    main()
