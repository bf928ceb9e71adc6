"""snapshot: the live federation as documents, or what it has done as a log."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from federator.cli.client import Client
from federator.cli.connection import ServerOption, TokenOption
from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, document, say, yaml_text
from federator.cli.running import with_client

HistoryOption = Annotated[
    bool, typer.Option("--history", help="Print workloads that have ended, as a log that `simulate` reads.")
]
SinceArgument = Annotated[
    str, typer.Argument(help="With --history: only what was handed in so long ago at most (7d), or since a time.")
]


def snapshot(
    since: SinceArgument = "",
    history: HistoryOption = False,
    form: FormatOption = Format.YAML,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Print the live federation as documents, for `plan` and for bug reports."""
    if since and not history:
        raise Failure(f"'{since}' tells of which time the history is; write --history too", WRONG_INPUT)
    if history:
        since_s = _since_s(since) if since else None
        with_client(server, token_file, lambda client: _history(client, since_s))
        return
    items = with_client(server, token_file, lambda client: client.get("/snapshot"))["items"]
    if form is Format.JSON:
        document({"apiVersion": "v1", "kind": "List", "items": items}, form)
    elif form is Format.NAME:
        for one in items:
            say(f"{one['kind'].lower()}/{one['metadata']['name']}")
    else:
        sys.stdout.write(yaml_text(*items))


async def _history(client: Client, since_s: float | None) -> None:
    from federator.cli.histories import first_ends, jobs_of, remembered  # slow to import, and seldom needed
    from federator.simulator.traces.own import written

    found = await remembered(client, since_s)
    ends = await first_ends(client) if found else {}
    for job in jobs_of(found, ends):
        say(written(job))


def _since_s(text: str) -> float:
    """A time, or a duration before now, in seconds since 1970."""
    from federator.documents.quantities import parse_duration, parse_time

    try:
        return parse_time(text) if "T" in text else time.time() - parse_duration(text)
    except ValueError as error:
        raise Failure(f"SINCE {text}: {error}", WRONG_INPUT) from None
