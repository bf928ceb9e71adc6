"""simulate: one run of a scenario, without a daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.files import warn_of_none
from federator.cli.output import Format, FormatOption, complain, document, table
from federator.cli.progress import shown
from federator.cli.reporting import PartsOption, ReportOption, check_places, save
from federator.model.resources import CPU
from federator.simulator.answer import run_document
from federator.simulator.delaying import delay, delay_document, without_fillers
from federator.simulator.looks import Looks
from federator.simulator.record import Delay, write
from federator.simulator.recording import recorded
from federator.simulator.run import Run, simulate, simulate_quickly
from federator.simulator.story import Story
from federator.simulator.telling import read_scenario, told
from federator.simulator.traces.opening import TraceError

MOST_CLUSTERS = 12
"""Of more clusters than this only so many are shown."""
TRACES = "FEDERATOR_TRACES"
"""Names the folder of logs that are not beside the scenario."""

ScenarioArgument = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A file with a document of kind Scenario.")]


def traces_folder() -> Path:
    """Where larger logs are."""
    return Path(os.environ.get(TRACES, "traces"))


def story_of(scenario: Path, policies: Path | None, seed: int | None) -> Story:
    """The story that a file tells. Raises DocumentErrors and Failure."""
    if str(scenario) == "-":
        raise Failure("a scenario is read from a file, since the files that it names are beside it", WRONG_INPUT)
    one, documents = read_scenario(scenario, policies)
    for warning in documents.warnings:
        complain(f"warning: {warning}")
    if policies is not None:
        warn_of_none(documents, policies)
    try:
        return told(one, documents, traces_folder(), seed)
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None


def told_as(story: Story, policies: Path | None) -> str:
    """What a run of it is called in reports."""
    return story.name if policies is None else f"{story.name} under {policies.name}"


def simulate_scenario(
    scenario: ScenarioArgument,
    policies: Annotated[Path | None, typer.Option(help="Take these policies instead of the scenario's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="What chance begins with, instead of the scenario's.")] = None,
    every_plan: Annotated[
        bool, typer.Option("--every-plan", help="Ask the planner even where a shortcut gives the same.")
    ] = False,
    measure_delay: Annotated[
        bool,
        typer.Option("--measure-delay", help="Run it once more without its fillers: how much longer production waits."),
    ] = False,
    report: ReportOption = None,
    parts: PartsOption = None,
    record: Annotated[Path | None, typer.Option(help="Keep what a report needs there, for `federator report`.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Run a scenario in simulated time, with the planner that the daemon runs, and show its figures."""
    check_places(report, record, folder=parts)
    story, looks = story_of(scenario, policies, seed), Looks()
    watch = looks if report or parts or record else None
    if measure_delay and not story.federation.fillers:
        raise Failure(
            "the scenario has no fillers, so there is no delay to be measured; leave --measure-delay out", WRONG_INPUT
        )
    tell = simulate if every_plan else simulate_quickly
    try:
        with shown(story) as one:
            run = tell(one, watch=watch)
        cost = None
        if measure_delay:
            with shown(without_fillers(story)) as one:
                cost = delay(run, tell(one))
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    if watch is not None:
        kept = replace(recorded(run, told_as(story, policies), looks), delay=cost)
        if record is not None:
            write(kept, record)
        save([kept], report, parts)
    if form in (Format.JSON, Format.YAML):
        document(run_document(run) | ({} if cost is None else {"delay": delay_document(cost)}), form)
    else:
        show(run, cost)


def show(run: Run, cost: Delay | None = None) -> None:
    """The figures for people. ``cost``: what fillers cost production, where that was measured."""
    answer = run_document(run)
    waits, slow, jobs, engine = answer["wait_s"], answer["bounded_slowdown"], answer["jobs"], answer["engine"]
    filled = answer["backfill"]
    ran_s = filled["cpu_s_useful"] + filled["cpu_s_lost"]
    rows = [
        ("jobs", ", ".join(f"{count:,} {state}" for state, count in jobs.items())),
        ("simulated", f"{answer['simulated_s']:,.0f} s"),
        ("makespan", f"{answer['makespan_s']:,.0f} s"),
        (
            "wait",
            f"mean {waits['mean']:,.2f} s, 50% {waits['p50']:,.0f}, 95% {waits['p95']:,.0f}, most {waits['max']:,.0f}",
        ),
        ("bounded slowdown", f"mean {slow['mean']:,.2f}, 95% {slow['p95']:,.2f}"),
        ("moves, preemptions", f"{answer['moves']:,}, {answer['preemptions']:,}"),
        *(
            [
                (
                    "backfill",
                    f"{filled['cpu_s_useful'] / 3600:,.0f} CPU hours useful, {filled['cpu_s_lost'] / ran_s:.2%} lost; "
                    f"{filled['evictions']:,} evictions",
                )
            ]
            if ran_s
            else ()
        ),
        *(
            [
                (
                    "delay of production",
                    f"mean {cost.longer_s['mean']:+,.2f} s, 95% {cost.longer_s['p95']:+,.0f}; {cost.later:.1%} of jobs "
                    f"start later; mean wait without fillers {cost.wait_s['mean']:,.2f} s",
                )
            ]
            if cost is not None
            else ()
        ),
        ("cost, carbon", f"{answer['cost']:,.2f}, {answer['carbon_g'] / 1000:,.2f} kg CO2e"),
        ("fairness of queues", f"{answer['fairness_jain']:.3f} (Jain's index of their slowdowns)"),
        *_used(answer),
        ("plans", f"{engine['plans']:,} made, {engine['skipped']:,} needless; {engine['wall_s']:.2f} s in all"),
    ]
    table(["FIGURE", "VALUE"], rows)


def _used(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was used of each cluster; of many, of those of which most was, and between what bounds of the others."""
    used, told = answer["utilization"], answer["clusters"]
    names = list(used)
    if len(names) > MOST_CLUSTERS:
        most = sorted(used, key=lambda name: (-used[name].get(CPU, 0.0), name))[:MOST_CLUSTERS]
        names = [name for name in most if told[name]["first_start_s"] is not None]
    for name in names:
        yield f"used of {name}", _parts(used[name], told[name])
    others = sorted(used[name].get(CPU, 0.0) for name in used.keys() - set(names))
    if others:
        middle = others[len(others) // 2]
        yield (
            f"used of {len(others)} others",
            f"cpu {others[0]:.1%} to {others[-1]:.1%}, half of them {middle:.1%} or more",
        )


def _parts(parts: Mapping[str, float], told: Mapping[str, float | None]) -> str:
    if told["first_start_s"] is None:
        return "nothing"
    used = ", ".join(f"{name} {part:.1%}" for name, part in parts.items())
    return f"{used}; first at {told['first_start_s']:,.0f} s; cost {told['cost']:,.2f}"
