"""What client commands share: a loop, a connection, and how one or many objects are shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from federator.cli import tables
from federator.cli.client import Client, Json
from federator.cli.connection import connect
from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.kinds import singular
from federator.cli.output import Format, document, say, table

T = TypeVar("T")


def with_client(server: str | None, token_file: Path | None, act: Callable[[Client], Awaitable[T]]) -> T:
    """Run ``act`` with a client, to its end."""
    connection = connect(server, token_file)

    async def whole() -> T:
        async with Client(connection) as client:
            return await act(client)

    return asyncio.run(whole())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run something asynchronous to its end."""
    return asyncio.run(work)


def at(kind: str, name: str, verb: str = "") -> str:
    """The path of an object, or of something that can be done with it."""
    return f"/{kind}/{quote(name, safe='')}" + (f"/{verb}" if verb else "")


def show(kind: str, found: Json | list[Json], form: Format) -> None:
    """Show one object or a list of them."""
    many = found if isinstance(found, list) else [found]
    if form is Format.NAME:
        for one in many:
            say(f"{singular(kind)}/{name_of(one)}")
    elif form in (Format.JSON, Format.YAML):
        document({"items": found} if isinstance(found, list) else found, form)
    else:
        wide = form is Format.WIDE
        headings = [column.heading for column in tables.columns(kind, wide)]
        table(headings, [tables.row(kind, one, wide) for one in many])


def name_of(one: Mapping[str, Any]) -> str:
    """What an object is called; placements by workload, role and cluster."""
    if "name" in one:
        return str(one["name"])
    return "/".join(str(one[key]) for key in ("workload", "role", "cluster") if one.get(key))


def duration(option: str, text: str) -> float:
    """The seconds that ``90s``, ``30m`` stand for. Raises Failure."""
    from federator.documents.quantities import parse_duration  # slow to import, and seldom needed

    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise Failure(f"{option} {text}: {error}", WRONG_INPUT) from error
