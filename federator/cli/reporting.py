"""report: a page about one run or two side by side, from their records."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.output import complain
from federator.simulator.record import Record, read

ReportOption = Annotated[Path | None, typer.Option(help="Write a report there: one HTML page that needs nothing else.")]
PartsOption = Annotated[
    Path | None, typer.Option(help="Write its charts (SVG, PNG) and its tables (CSV) into this folder.")
]


def report(
    records: Annotated[
        list[Path],
        typer.Argument(metavar="RECORD [RECORD]", help="What `federator simulate --record` kept, of one run or two."),
    ],
    to: Annotated[Path, typer.Option("--to", help="Where to write the page.")] = Path("report.html"),
    parts: PartsOption = None,
) -> None:
    """Write a report about one run, or two side by side, as an HTML page that needs nothing else."""
    if len(records) > 2:
        raise Failure(f"{len(records)} records are given; a report shows one run, or two side by side", WRONG_INPUT)
    check_places(to, folder=parts)
    save([read(one) for one in records], to, parts)


def check_places(*files: Path | None, folder: Path | None = None) -> None:
    """Before a long run: raises Failure where what it gives could not be written in the end."""
    for file in (one for one in files if one is not None):
        if not file.parent.is_dir():
            raise Failure(f"{file}: there is no folder {file.parent}; make it first", WRONG_INPUT)
        if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise Failure(f"{file}: cannot be written there; name another file", WRONG_INPUT)
    if folder is not None:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            raise Failure(f"{folder}: cannot be a folder there; name another", WRONG_INPUT)


def save(runs: Sequence[Record], to: Path | None, parts: Path | None) -> None:
    """Write the page and its parts, as far as they are wanted."""
    if to is None and parts is None:
        return
    from federator.simulator.report.files import write_report  # slow to import, and seldom needed

    write_report(runs, to, parts)
    for written in (to, parts):
        if written is not None:
            complain(f"written: {written}")
