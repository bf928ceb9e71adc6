"""cordon, uncordon, drain, undrain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federator.cli.connection import ServerOption, TokenOption
from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, say
from federator.cli.running import at, duration, show, with_client

NameArgument = Annotated[str, typer.Argument(metavar="CLUSTER", help="Its name.")]
DONE = {"cordon": "cordoned", "uncordon": "uncordoned", "drain": "draining", "undrain": "no longer draining"}


def cordon(
    name: NameArgument, form: FormatOption = Format.TABLE, server: ServerOption = None, token_file: TokenOption = None
) -> None:
    """Give a cluster no new work; what it has runs on."""
    _change(name, "cordon", form, server, token_file)


def uncordon(
    name: NameArgument, form: FormatOption = Format.TABLE, server: ServerOption = None, token_file: TokenOption = None
) -> None:
    """Give a cluster work again."""
    _change(name, "uncordon", form, server, token_file)


def drain(
    name: NameArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Stop draining it.")] = False,
    deadline: Annotated[
        str, typer.Option(metavar="2h", help="What has found no other place by then stops, and waits.")
    ] = "",
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Cordon a cluster and move its work elsewhere."""
    if undo and deadline:
        raise Failure("--undo ends draining, so it goes without --deadline", WRONG_INPUT)
    after = f"?deadline={round(duration('--deadline', deadline))}" if deadline else ""
    _change(name, "undrain" if undo else "drain", form, server, token_file, after)


def undrain(
    name: NameArgument, form: FormatOption = Format.TABLE, server: ServerOption = None, token_file: TokenOption = None
) -> None:
    """Stop draining a cluster."""
    _change(name, "undrain", form, server, token_file)


def _change(name: str, verb: str, form: Format, server: str | None, token_file: Path | None, query: str = "") -> None:
    found = with_client(server, token_file, lambda client: client.send("POST", at("clusters", name, verb) + query))
    if form is Format.TABLE:
        say(f"cluster/{name} {DONE[verb]}")
    else:
        show("clusters", found, form)
