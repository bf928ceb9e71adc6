"""submit, apply, delete: what is written from files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from federator.cli.client import Client, Json
from federator.cli.connection import ServerOption, TokenOption
from federator.cli.failures import NO, WRONG_INPUT, Failure, Refused
from federator.cli.kinds import plural, singular
from federator.cli.output import Format, FormatOption, document, say
from federator.cli.running import at, with_client
from federator.cli.sources import FilesOption, in_their_files, read_sources
from federator.documents.entries import Entry


def submit(
    files: FilesOption,
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Hand in workloads (or native manifests): all of them or none."""
    sources = read_sources(files)
    items = with_client(server, token_file, lambda client: send_sources(client, "POST", "/workloads", sources))
    show_results(items, form)


def apply(
    files: FilesOption,
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Make objects of any kind be as the files say: all of them or none."""
    sources = read_sources(files)
    items = with_client(server, token_file, lambda client: send_sources(client, "PUT", "/apply", sources))
    show_results(items, form)


async def send_sources(client: Client, method: str, path: str, sources: Sequence[Entry]) -> list[Json]:
    """Write the documents of files: all or none."""
    try:
        answer = await client.send(method, path, [source.raw for source in sources])
    except Refused as refused:
        raise in_their_files(refused, sources) from None
    return list(answer["items"])


def show_results(items: list[Json], form: Format) -> None:
    """What became of each object."""
    if form in (Format.JSON, Format.YAML):
        document({"items": items}, form)
        return
    for item in items:
        name = f"{str(item.get('kind', 'workload')).lower()}/{item['name']}"
        say(name if form is Format.NAME else f"{name} {item.get('result', '')}")


def delete(
    kind: Annotated[str | None, typer.Argument(help="The kind of what to remove.")] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Which of them.")] = None,
    files: Annotated[list[str] | None, typer.Option("--filename", "-f", help="Remove what these files hold.")] = None,
    missing_ok: Annotated[bool, typer.Option("--ignore-not-found", help="What is not there is no failure.")] = False,
    form: FormatOption = Format.TABLE,
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Remove objects by name, or those that files hold. Workloads are cancelled first."""
    if bool(files) == bool(kind):
        raise Failure("say what to remove: KIND NAME, or -f FILE", WRONG_INPUT)
    if kind and not names:
        raise Failure(f"say which of the {plural(kind)} to remove", WRONG_INPUT)
    if files:
        targets = [(_kind_of(source), source.name) for source in read_sources(files)]
    else:
        targets = [(plural(kind or ""), name) for name in names or []]

    async def act(client: Client) -> list[Json]:
        gone: list[Json] = []
        problems: list[str] = []
        for of_kind, name in targets:
            try:
                await client.send("DELETE", at(of_kind, name))
                gone.append({"kind": singular(of_kind), "name": name, "result": "deleted"})
            except Refused as error:
                if error.http_status != 404 or not missing_ok:
                    problems.append(str(error))
        show_results(gone, form)
        if problems:
            raise Failure("\n".join(problems), NO)
        return gone

    with_client(server, token_file, act)


def _kind_of(source: Entry) -> str:
    try:
        return plural(source.kind)
    except Failure:
        return "workloads"  # a native manifest
