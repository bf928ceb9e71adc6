"""policy diff: what would change if these policies were applied now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from federator.cli.files import FilesArgument, read, warn_of_none
from federator.cli.output import Format, FormatOption, document, say, table
from federator.cli.reporting import PartsOption, ReportOption, check_places, save
from federator.cli.running import duration
from federator.documents import to_snapshot
from federator.engine.planner import plan
from federator.model.plan import Snapshot
from federator.simulator.comparing import Difference, compared
from federator.simulator.looks import Looks
from federator.simulator.record import Record
from federator.simulator.recording import recorded
from federator.simulator.run import simulate
from federator.simulator.telling import onward as story_onward
from federator.simulator.telling import with_policies
from federator.simulator.whatif import Change, changes, sums

Json = dict[str, Any]


def diff(
    files: FilesArgument,
    policies: Annotated[Path, typer.Option(help="The policies that would take the place of all that are there.")],
    onward: Annotated[
        bool, typer.Option("--onward", help="Also simulate how it goes on, until all that is there has ended.")
    ] = False,
    lasts: Annotated[str, typer.Option(help="Simulate for so long at most (6h).")] = "",
    report: ReportOption = None,
    parts: PartsOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what would change if these policies were applied now, of what `federator snapshot` wrote: the plan, and,
    simulated onward, how long work waits."""
    check_places(report, folder=parts)
    documents = read(files)
    instead = with_policies(documents, policies)
    warn_of_none(instead, policies)
    now, then = to_snapshot(documents), to_snapshot(instead)
    plans = plan(now), plan(then)
    differ = changes(now, *plans)
    answer: Json = {
        "changes": [_without_role(asdict(one)) for one in differ], "now": sums(plans[0]), "then": sums(plans[1])
    }  # fmt: skip
    if onward or lasts or report or parts:
        records = [_goes_on(now, "now", lasts), _goes_on(then, f"under {policies.name}", lasts)]
        answer["onward"] = dict(zip(("now", "then"), (one.figures for one in records), strict=True))
        save(records, report, parts)
    if form in (Format.JSON, Format.YAML):
        document(answer, form)
        return
    _show(differ, answer)


def _goes_on(seen: Snapshot, name: str, lasts: str) -> Record:
    looks = Looks()
    story = story_onward(seen, name, duration("--lasts", lasts) if lasts else None)
    return recorded(simulate(story, watch=looks), name, looks)


def _without_role(change: Json) -> Json:
    return {key: value for key, value in change.items() if key != "role" or value}


def _show(differ: list[Change], answer: Json) -> None:
    if differ:
        roles = any(one.role for one in differ)
        rows = [
            (one.workload, *([one.role] if roles else []), one.cluster, one.runs, one.now, one.then) for one in differ
        ]
        table(["WORKLOAD", *(["ROLE"] if roles else []), "CLUSTER", "RUNS", "NOW", "THEN"], rows)
    else:
        say("The plan of now stays as it is.")
    say("")
    table(["REPLICAS", "NOW", "THEN"], [(key, answer["now"][key], answer["then"][key]) for key in answer["now"]])
    if "onward" in answer:
        say("\nSimulated onward, with nothing new handed in; waits count from now, of what does not run yet:\n")
        figures = compared([(answer["onward"]["now"], answer["onward"]["then"])])
        table(["FIGURE", "NOW", "THEN", "DIFFERENCE"], [_row(one) for one in figures])


def _row(one: Difference) -> tuple[str, ...]:
    return one.figure, f"{one.a:,.2f}", f"{one.b:,.2f}", f"{one.b - one.a:+,.2f}"
