"""cancel, wait, logs, explain: what is done with one workload."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from federator.cli import describe
from federator.cli.client import Client, Json
from federator.cli.connection import ServerOption, TokenOption
from federator.cli.failures import NO, WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, document, say
from federator.cli.running import at, duration, show, with_client

NameArgument = Annotated[str, typer.Argument(metavar="WORKLOAD", help="Its name.")]
STATES = ("waiting", "dispatched", "running", "finished", "failed", "cancelling", "cancelled")
OVER = ("finished", "failed", "cancelled")
PASSED = {"running": ("running", "finished"), "dispatched": ("dispatched", "running", "finished")}
"""States that show that the one waited for has come and gone."""


def cancel(
    names: Annotated[list[str], typer.Argument(metavar="WORKLOAD...", help="Their names.")],
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Stop workloads wherever they run; they stay listed."""

    async def act(client: Client) -> list[Json]:
        return [await client.send("POST", at("workloads", name, "cancel")) for name in names]

    found = with_client(server, token_file, act)
    if form is Format.TABLE:
        for one in found:
            say(f"workload/{one['name']} {one['state']}")
        return
    show("workloads", found[0] if len(found) == 1 else found, form)


def wait(
    name: NameArgument,
    target: Annotated[str, typer.Option("--for", help="finished, running, or another state.")] = "finished",
    timeout: Annotated[str, typer.Option(help="Give up after so long (90s, 30m, 2h).")] = "",
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Wait until a workload is in a state. Status 1 if it never will be, or not in time."""
    if target not in STATES:
        raise Failure(f"--for {target}: a state is one of {', '.join(STATES)}", WRONG_INPUT)
    limit_s = duration("--timeout", timeout) if timeout else None

    async def act(client: Client) -> Json:
        try:
            async with asyncio.timeout(limit_s):
                return await _wait(client, name, target)
        except TimeoutError as error:
            raise Failure(f"workload {name} is not {target} after {timeout}", NO) from error

    found = with_client(server, token_file, act)
    if form is Format.TABLE:
        say(f"workload/{name} {found['state']}")
    else:
        show("workloads", found, form)


async def _wait(client: Client, name: str, target: str) -> Json:
    """The workload, once it is where it should be; looked at again after every event of it."""
    after = await client.latest()
    found = await client.get(at("workloads", name))
    if _reached(found, target):
        return found
    async for event in client.events(after):
        if event.get("workload") == name:
            found = await client.get(at("workloads", name))
            if _reached(found, target):
                return found
    raise AssertionError("events go on for ever")


def _reached(found: Json, target: str) -> bool:
    state = found["state"]
    if state in PASSED.get(target, (target,)):
        return True
    if state in OVER:
        why = f": {found['message']}" if found.get("message") else ""
        raise Failure(f"workload {found['name']} is {state}, and will not be {target}{why}", NO)
    return False


def logs(
    name: NameArgument,
    replica: Annotated[int, typer.Option(min=0, help="Which replica.")] = 0,
    role: Annotated[str, typer.Option(help="Of which role.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on until the replica ends.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last so many lines.")] = None,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Show the output of one replica, as it was written."""

    async def act(client: Client) -> None:
        async for piece in client.logs(name, replica=replica, role=role, follow=follow, tail=tail):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

    with_client(server, token_file, act)


def explain(
    name: NameArgument,
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Say why a workload is where it is, and what would have to change for it to start."""
    found = with_client(server, token_file, lambda client: client.get(at("workloads", name, "explain")))
    if form in (Format.JSON, Format.YAML):
        document(found, form)
    elif form is Format.NAME:
        say(f"workload/{name}")
    else:
        describe.explain(found)
