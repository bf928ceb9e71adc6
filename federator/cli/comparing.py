"""compare: a scenario under two sets of policies, seed by seed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from federator.cli.dask_cluster import on_dask
from federator.cli.failures import NO, WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, document, say, table
from federator.cli.reporting import PartsOption, ReportOption, check_places, save
from federator.cli.simulating import ScenarioArgument, story_of, told_as
from federator.simulator.answer import run_document
from federator.simulator.comparing import Difference, compared
from federator.simulator.looks import Looks
from federator.simulator.record import Record
from federator.simulator.recording import recorded
from federator.simulator.run import simulate_quickly
from federator.simulator.story import Story

Json = dict[str, Any]
Task = tuple[Path, Path, int]
"""A scenario, policies, a seed."""
DaskOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Run on the workers of this Dask cluster instead, say tcp://10.0.0.5:8786. They need the federator, and "
        "the files at the same places. Needs federator[dask].",
    ),
]


def compare(
    scenario: ScenarioArgument,
    policies: Annotated[list[Path], typer.Option(help="Policies to compare: give it twice, A and then B.")],
    seeds: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many stories: the scenario's seed, and those after it.")
    ] = 10,
    report: ReportOption = None,
    parts: PartsOption = None,
    workers: Annotated[int, typer.Option(min=0, help="Runs at a time; 0: one for each core.")] = 0,
    dask: DaskOption = "",
    form: FormatOption = Format.TABLE,
) -> None:
    """Run a scenario under two sets of policies with common random numbers, and tell what differs, how surely."""
    if len(policies) != 2:
        raise Failure(f"--policies is given {len(policies)} times; give it twice, A and then B", WRONG_INPUT)
    check_places(report, folder=parts)
    stories = [story_of(scenario, one, None) for one in policies]  # what is wrong is told before anything runs
    first = stories[0].seed
    tasks = [(scenario, one, seed) for seed in range(first, first + seeds) for one in policies]
    runs_of = partial(on_dask, dask) if dask else partial(_on_cores, workers or len(os.sched_getaffinity(0)))
    told = list(_watched(runs_of(_run, tasks), len(tasks)))
    runs = list(zip(told[::2], told[1::2], strict=True))
    differences = compared(runs)
    if report is not None or parts is not None:
        save([_record(*told) for told in zip(stories, policies, strict=True)], report, parts)
    if form in (Format.JSON, Format.YAML):
        document(
            {
                "a": str(policies[0]), "b": str(policies[1]), "seeds": list(range(first, first + seeds)),
                "figures": [asdict(one) for one in differences],
                "runs": [{"a": _without_engine(a), "b": _without_engine(b)} for a, b in runs],
            },
            form,
        )  # fmt: skip
        return
    say(f"A: {policies[0]}\nB: {policies[1]}\n{seeds} seeds from {first} on; B - A with 95% confidence\n")
    table(["FIGURE", "A", "B", "B - A", "BETTER"], [_row(one) for one in differences])


def _run(task: Task) -> Json:
    """One run, in a process of its own."""
    return run_document(simulate_quickly(story_of(*task)))


def _record(story: Story, policies: Path) -> Record:
    """The first seed's run, watched."""
    looks = Looks()
    return recorded(simulate_quickly(story, watch=looks), told_as(story, policies), looks)


def _on_cores(workers: int, run: Callable[[Task], Json], tasks: Sequence[Task]) -> Iterator[Json]:
    """The documents of all runs, in the order of the tasks, so many at a time in processes of their own.

    Where it is left early (Ctrl-C), runs that are under way are cut off. Raises Failure if one of them is killed.
    """
    before = set(active_children())
    with ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), initializer=_leave_interrupts) as pool:
        try:
            for future in [pool.submit(run, task) for task in tasks]:
                yield future.result()
        except BrokenProcessPool:
            cure = "with fewer --workers there is more memory for each"
            raise Failure(f"the process of a run was killed; {cure}", NO) from None
        except BaseException:
            for one in set(active_children()) - before:
                one.terminate()
            raise


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that leads; what it started ends with it, and says nothing."""
    signal(SIGINT, SIG_IGN)


def _watched(runs: Iterator[Json], count: int) -> Iterator[Json]:
    """The same, with a bar on standard error where somebody looks."""
    bar = Console(stderr=True)
    yield from track(runs, "simulating", total=count, console=bar, disable=not sys.stderr.isatty())


def _without_engine(run: Json) -> Json:
    return {key: value for key, value in run.items() if key != "engine"}


def _row(one: Difference) -> Sequence[str]:
    surely = "" if one.low is None or one.high is None else f"{one.low:+,.2f} to {one.high:+,.2f}"
    better = f"A in {one.a_better} of {one.seeds}, B in {one.b_better}" if one.a_better or one.b_better else "alike"
    return one.figure, f"{one.a:,.2f}", f"{one.b:,.2f}", surely, better
