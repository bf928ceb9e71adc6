"""cordon, uncordon, drain, undrain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from federator.cli.connection import ServerOption, TokenOption
from federator.cli.output import Format, FormatOption, say
from federator.cli.running import at, show, with_client

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
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Cordon a cluster and move its work elsewhere."""
    _change(name, "undrain" if undo else "drain", form, server, token_file)


def undrain(
    name: NameArgument, form: FormatOption = Format.TABLE, server: ServerOption = None, token_file: TokenOption = None
) -> None:
    """Stop draining a cluster."""
    _change(name, "undrain", form, server, token_file)


def _change(name: str, verb: str, form: Format, server: str | None, token_file: Path | None) -> None:
    found = with_client(server, token_file, lambda client: client.send("POST", at("clusters", name, verb)))
    if form is Format.TABLE:
        say(f"cluster/{name} {DONE[verb]}")
    else:
        show("clusters", found, form)
