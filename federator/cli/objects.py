"""get, describe, apply, delete: what is the same for all kinds."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from federator.cli import describe, tables
from federator.cli.client import Client, Json
from federator.cli.connection import ServerOption, TokenOption
from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.kinds import plural, singular
from federator.cli.output import Format, FormatOption, complain, document, say, table
from federator.cli.running import at, name_of, show, with_client

QUIET_S = 0.2
"""Events that come closer together than this are shown as one change."""
KindArgument = Annotated[
    str, typer.Argument(help="workloads, clusters, queues, cohorts, limits, policies, backfills, placements or pilots.")
]


def get(
    kind: KindArgument,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Only these.")] = None,
    queue: Annotated[str, typer.Option("--queue", "-q", help="Only workloads of this queue.")] = "",
    state: Annotated[str, typer.Option(help="Only workloads in this state.")] = "",
    labels: Annotated[str, typer.Option("--selector", "-l", help="Only workloads with key=value,key=value.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on and show what changes.")] = False,
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show objects of a kind, or some of them by name."""
    kind = plural(kind)
    filters = {"queue": queue, "state": state, "labels": labels}
    if any(filters.values()) and kind != "workloads":
        raise Failure(f"--queue, --state and --selector choose among workloads, not {kind}", WRONG_INPUT)

    async def act(client: Client) -> None:
        found = await _find(client, kind, names or [], filters)
        if not watch:
            show(kind, found, form)
            return
        await _watch(client, kind, names or [], filters, form)

    with_client(server, token_file, act)


async def _find(client: Client, kind: str, names: list[str], filters: dict[str, str]) -> Json | list[Json]:
    if names and kind != "placements":
        found = [await client.get(at(kind, name)) for name in names]
        return found[0] if len(found) == 1 else found
    given = filters if kind == "workloads" else {}
    found = await client.all(kind, **given)
    return [one for one in found if not names or one["workload"] in names]


async def _watch(client: Client, kind: str, names: list[str], filters: dict[str, str], form: Format) -> None:
    """Show all, then whatever changed, after events; JSON as one document after the other."""
    shown: dict[str, Json] = {}
    first = True
    happened = asyncio.Event()
    listening = asyncio.create_task(_listen(client, await client.latest(), happened))
    try:
        while True:
            happened.clear()
            found = await _find(client, kind, names, filters)
            now = {name_of(one): one for one in (found if isinstance(found, list) else [found])}
            changed = [one for name, one in now.items() if shown.get(name) != one]
            _show_changes(kind, changed, [name for name in shown if name not in now], form, headings=first)
            shown, first = now, False
            await _either(happened, listening)
            await asyncio.sleep(QUIET_S)
    finally:
        listening.cancel()


async def _listen(client: Client, after: str, happened: asyncio.Event) -> None:
    async for _ in client.events(after):
        happened.set()


async def _either(happened: asyncio.Event, listening: asyncio.Task[None]) -> None:
    """Return when something happened; raise what ended the listening."""
    waiting = asyncio.create_task(happened.wait())
    await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if listening.done():
        listening.result()


def _show_changes(kind: str, changed: list[Json], gone: list[str], form: Format, *, headings: bool) -> None:
    if form in (Format.JSON, Format.YAML):
        for one in changed:
            document(one, form)
    elif form is Format.NAME:
        for one in changed:
            say(f"{singular(kind)}/{name_of(one)}")
    elif changed or headings:
        wide = form is Format.WIDE
        names = [column.heading if headings else "" for column in tables.columns(kind, wide)]
        table(names, [tables.row(kind, one, wide) for one in changed], headings=headings)
    for name in gone:
        complain(f"{singular(kind)} {name} is gone")


def describe_object(
    kind: KindArgument,
    name: Annotated[str, typer.Argument(help="Which one.")],
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show all that is known of one object, for a workload with its history."""
    kind = plural(kind)
    if kind == "placements":
        raise Failure("a placement has no more to show; try `federator explain WORKLOAD`", WRONG_INPUT)

    async def act(client: Client) -> None:
        found = await client.get(at(kind, name))
        history = (await client.get(at(kind, name, "history")))["items"] if kind == "workloads" else []
        describe.show(kind, found, history)

    with_client(server, token_file, act)
