"""trace info, convert and nodes: what is in a workload log; logs of any kind as others; lists of nodes as a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, document, say, table, yaml_text
from federator.simulator.traces import openb
from federator.simulator.traces.converting import WRITERS, convert
from federator.simulator.traces.opening import TraceError
from federator.simulator.traces.readers import READERS
from federator.simulator.traces.summary import summary

app = typer.Typer(no_args_is_help=True, help="Workload logs.")
LogArgument = Annotated[Path, typer.Argument(help="A log, packed with gzip or Zstandard or not.")]
ReadAsOption = Annotated[
    str | None, typer.Option("--format", help=f"{', '.join(READERS)}; left out: its name or first line tells.")
]


@app.callback()
def logs() -> None:
    """Workload logs."""


@app.command("info")
def info(file: LogArgument, read_as: ReadAsOption = None, form: FormatOption = Format.TABLE) -> None:
    """Tell what is in a log: its header, jobs, times, sizes, and what it does not tell."""
    try:
        found = summary(file, _known(read_as))
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    if form in (Format.JSON, Format.YAML):
        document(found, form)
        return
    rows = [("format", found.pop("format")), *((pair["key"], pair["value"]) for pair in found.pop("header"))]
    unknown = found.pop("unknown")
    rows += [(name, f"{value:,.0f}") for name, value in found.items()]
    rows += [(f"{name} unknown", f"{count:,} jobs") for name, count in unknown.items()]
    table(["OF THE LOG", "VALUE"], rows)


@app.command("convert")
def convert_log(
    file: LogArgument,
    to: Annotated[
        Path, typer.Option("--to", help=f"The log to write: its name ends in {' or '.join(WRITERS)}, then .gz or .zst.")
    ],
    read_as: ReadAsOption = None,
) -> None:
    """Write a log anew in the order of submission: in the Standard Workload Format, or in our own."""
    try:
        count = convert(file, to, _known(read_as))
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    say(f"{count} jobs written to {to}")


@app.command("nodes")
def nodes(
    file: Annotated[Path, typer.Argument(help="A list of nodes as openb has it.")],
    name: Annotated[str, typer.Option("--name", help="What the cluster is called.")] = "openb",
) -> None:
    """Print a list of nodes as a Cluster document, for scenarios."""
    try:
        found = openb.cluster(file, name)
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    sys.stdout.write(yaml_text(found))


def _known(read_as: str | None) -> str | None:
    if read_as is not None and read_as not in READERS:
        raise Failure(f"no format is called '{read_as}'; take one of {', '.join(READERS)}", WRONG_INPUT)
    return read_as
