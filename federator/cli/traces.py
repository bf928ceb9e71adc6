"""trace info and convert: what is in a workload log; other logs as SWF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, document, say, table
from federator.simulator.traces.converting import convert
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.summary import summary

app = typer.Typer(no_args_is_help=True, help="Workload logs.")


@app.callback()
def logs() -> None:
    """Workload logs."""


@app.command("info")
def info(
    file: Annotated[Path, typer.Argument(help="A log in the Standard Workload Format, packed with gzip or not.")],
    form: FormatOption = Format.TABLE,
) -> None:
    """Tell what is in a log: its header, jobs, times, sizes, and what it does not tell."""
    try:
        found = summary(file)
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    if form in (Format.JSON, Format.YAML):
        document(found, form)
        return
    rows = [(pair["key"], pair["value"]) for pair in found.pop("header")]
    unknown = found.pop("unknown")
    rows += [(name, f"{value:,.0f}") for name, value in found.items()]
    rows += [(f"{name} unknown", f"{count:,} jobs") for name, count in unknown.items()]
    table(["OF THE LOG", "VALUE"], rows)


@app.command("convert")
def convert_log(
    file: Annotated[Path, typer.Argument(help="What `sacct --parsable2` printed, packed with gzip or not.")],
    to: Annotated[Path, typer.Option("--to", help="The log to write; packed with gzip if it ends in .gz.")],
) -> None:
    """Turn what Slurm's sacct printed into a log in the Standard Workload Format, which scenarios read."""
    try:
        count = convert(file, to)
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    say(f"{count} jobs written to {to}")
