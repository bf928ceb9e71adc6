"""token new, list, revoke: through the server that runs, or in its database where it does not."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from federator.api.access import Role, new_token
from federator.cli.client import Client, Json
from federator.cli.connection import ServerOption, TokenOption, write_private
from federator.cli.failures import NO, WRONG_INPUT, Failure
from federator.cli.output import Format, FormatOption, complain, document, say, table
from federator.cli.running import at, duration, run, with_client
from federator.cli.settings import ConfigOption, DatabaseOption, database_url
from federator.model.records import Token
from federator.store import SqlStore

T = TypeVar("T")
app = typer.Typer(
    no_args_is_help=True, help="Make, list and revoke tokens (with --config or --database: past the server)."
)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    roles: Annotated[list[Role], typer.Option("--role", help="reader, submitter, operator or pilot.")],
    queues: Annotated[
        list[str] | None, typer.Option("--queue", help="A submitter's queue, or a glob of queues.")
    ] = None,
    site: Annotated[str, typer.Option(help="The site of a pilot.")] = "",
    expires: Annotated[str, typer.Option("--expires", help="Valid for so long (12h, 30d); else for ever.")] = "",
    to_file: Annotated[
        Path | None, typer.Option("--to-file", help="Write it there, mode 0600, not on the screen.")
    ] = None,
    form: FormatOption = Format.TABLE,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Make a token. It is shown once: only its hash is kept."""
    if Role.SUBMITTER in roles and not queues and Role.OPERATOR not in roles:
        raise Failure("a submitter needs --queue; '*' is all queues", WRONG_INPUT)
    expires_s = time.time() + duration("--expires", expires) if expires else None
    if config or database:
        secret = _in_database(config, database, lambda store: _make(store, name, roles, queues or [], site, expires_s))
    else:
        wanted: Json = {"name": name, "roles": [str(role) for role in roles], "queues": queues or [], "site": site}
        if expires_s is not None:
            wanted["expiresAt"] = expires_s
        made = with_client(server, token_file, lambda client: client.send_one("POST", "/tokens", wanted))
        secret = str(made["token"])
    if to_file:
        write_private(to_file, secret + "\n")
        complain(f"token {name} written to {to_file}")
    elif form in (Format.JSON, Format.YAML):
        document({"name": name, "token": secret}, form)
    else:
        say(secret)


@app.command("list")
def list_tokens(
    form: FormatOption = Format.TABLE,
    config: ConfigOption = None,
    database: DatabaseOption = None,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """List tokens, without what is secret."""
    if config or database:
        found = [_view(token) for token in _in_database(config, database, lambda store: store.tokens())]
    else:
        found = with_client(server, token_file, lambda client: client.all("tokens"))
    if form in (Format.JSON, Format.YAML):
        document({"items": found}, form)
    elif form is Format.NAME:
        for one in found:
            say(f"token/{one['name']}")
    else:
        rows = [
            [one["name"], ", ".join(one["roles"]), ", ".join(one["queues"]), one["site"], _until(one["expiresAt"])]
            for one in found
        ]
        table(["NAME", "ROLES", "QUEUES", "SITE", "EXPIRES"], rows)


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Which token.")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Make a token void, at once."""
    if config or database:
        if not _in_database(config, database, lambda store: store.drop_token(name)):
            raise Failure(f"there is no token {name!r}", NO)
    else:
        with_client(server, token_file, lambda client: _revoke(client, name))
    say(f"token/{name} revoked")


async def _revoke(client: Client, name: str) -> None:
    await client.send("DELETE", at("tokens", name))


async def _make(
    store: SqlStore, name: str, roles: Sequence[Role], queues: Sequence[str], site: str, expires_s: float | None
) -> str:
    if any(token.name == name for token in await store.tokens()):
        raise Failure(f"there is a token {name!r} already; revoke it first, or take another name", NO)
    try:
        secret, token = new_token(name, roles, queues, site=site, expires_s=expires_s)
    except ValueError as error:
        raise Failure(str(error), WRONG_INPUT) from error
    await store.put_token(token)
    return secret


def _in_database(config: Path | None, database: str | None, act: Callable[[SqlStore], Awaitable[T]]) -> T:
    """Act on the database itself. Raises StoreUnavailable while a daemon holds it."""

    async def whole() -> T:
        store = SqlStore(database_url(config, database, make=True))
        try:
            await store.open()
            return await act(store)
        finally:
            await store.close()

    return run(whole())


def _view(token: Token) -> Json:
    return {
        "name": token.name,
        "roles": list(token.roles),
        "queues": list(token.queues),
        "site": token.site,
        "expiresAt": token.expires_s,
    }


def _until(expires_s: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(expires_s)) if expires_s else "never"
