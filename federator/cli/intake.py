"""intake: idle jobs of a schedd become workloads, and are shown there as they are here. Runs until it is ended."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from federator.cli.client import Client
from federator.cli.connection import ServerOption, TokenOption
from federator.cli.failures import UNREACHABLE, WRONG_INPUT, Failure, Refused
from federator.cli.running import at, duration, with_client
from federator.clusters.htcondor.helper import CallFailed, Helper
from federator.clusters.htcondor.settings import Access
from federator.intake.ads import plain
from federator.intake.files import OwnersFiles
from federator.intake.mirror import View
from federator.intake.router import Router, Settings
from federator.intake.sides import OutputGone, OutputLater, QueueAway, Rejected

NO_ENTRY, NOT_THERE = 401, 404
EVENTS_PAGE = 1000


def intake(
    collector: Annotated[str, typer.Option(help="HOST:PORT of the pool's collector.")],
    schedd: Annotated[str, typer.Option(help="Name of the schedd whose jobs are taken.")],
    condor_token: Annotated[
        Path | None,
        typer.Option(help="File with the IDTOKEN or SciToken of a queue super user there; none: FS."),
    ] = None,
    condor_ca: Annotated[
        Path | None, typer.Option(help="File with the authorities of the pool's certificates, for SciTokens.")
    ] = None,
    where: Annotated[
        str, typer.Option(help="Which idle jobs are taken, as a ClassAd expression.")
    ] = "WantFederator =?= true",
    queue: Annotated[str, typer.Option(help="The queue of jobs that do not say FederatorQueue.")] = "default",
    most: Annotated[int, typer.Option(min=1, help="So many taken jobs wait at most.")] = 5000,
    output: Annotated[
        bool, typer.Option(help="Whether what jobs write is written to their owners' files on this machine.")
    ] = True,
    every: Annotated[str, typer.Option(help="How often both sides are looked at.")] = "2s",
    server: ServerOption = None,
    token_file: TokenOption = None,
) -> None:
    """Take idle jobs of an HTCondor schedd in as workloads, and show in its queue what becomes of them."""
    if not plain(schedd):
        raise Failure(f"--schedd: {schedd!r} has no letter or digit to name workloads by", WRONG_INPUT)
    if condor_token is not None and not condor_token.is_file():
        raise Failure(f"--condor-token: there is no file {condor_token}", WRONG_INPUT)
    settings = Settings(plain(schedd), where, queue, most, duration("--every", every))
    access = Access(collector, schedd, str(condor_token or ""), str(condor_ca or ""))
    with_client(server, token_file, lambda client: _run(settings, access, client, output))


async def _run(settings: Settings, access: Access, client: Client, output: bool) -> None:
    """Until SIGTERM or Ctrl-C: between two calls, so that the turn after the next start goes on from there."""
    with tempfile.TemporaryDirectory(prefix="federator-intake-") as directory:
        helper = Helper(access, Path(directory))
        router = Router(settings, _Queue(helper), _Daemon(client), OwnersFiles() if output else None)
        running = asyncio.create_task(router.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        try:
            await asyncio.wait({running})
        finally:
            await helper.close()
        if not running.cancelled():
            running.result()


class _Queue:
    """The schedd, through a process of its own."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper

    async def call(self, name: str, **arguments: object) -> Any:
        try:
            return await self._helper.call(name, **arguments)
        except (CallFailed, TimeoutError) as error:
            raise QueueAway(f"the schedd: {error}") from error


class _Daemon:
    """The federator, over HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def submit(self, documents: Sequence[Mapping[str, Any]]) -> None:
        await self._ask("POST", "/workloads", documents)

    async def look(self, name: str) -> View | None:
        found: View | None = await self._ask("GET", at("workloads", name))
        return found

    async def exit_code(self, name: str) -> int | None:
        entries = (await self._ask("GET", at("workloads", name, "history")) or {}).get("items", [])
        codes = [entry["details"].get("exit_code") for entry in entries if entry["kind"] == "failed"]
        return next((int(code) for code in reversed(codes) if code is not None), None)

    async def output(self, name: str) -> AsyncIterator[bytes]:
        try:
            async for piece in self._client.logs(name):
                yield piece
        except Refused as error:
            if error.http_status == NOT_THERE:
                raise OutputGone from error
            raise OutputLater(str(error)) from error
        except Failure as error:
            raise OutputLater(str(error)) from error

    async def cancel(self, name: str) -> None:
        await self._ask("POST", at("workloads", name, "cancel"))

    async def delete(self, name: str) -> None:
        await self._ask("DELETE", at("workloads", name))

    async def changed(self, since: str) -> tuple[set[str], str]:
        names: set[str] = set()
        while True:
            page = await self._ask("GET", f"/events?after={since or 'latest'}&limit={EVENTS_PAGE}") or {}
            names |= {str(entry["workload"]) for entry in page["items"]}
            since = str(page["next"])
            if len(page["items"]) < EVENTS_PAGE:
                return names, since

    async def _ask(self, method: str, path: str, objects: Sequence[Mapping[str, Any]] | None = None) -> Any:
        """What the server says; None: not there. A token that is not known is no word about what was asked."""
        try:
            return await (self._client.get(path) if method == "GET" else self._client.send(method, path, objects))
        except Refused as error:
            if error.http_status == NOT_THERE:
                return None
            if error.http_status == NO_ENTRY or error.http_status >= 500:
                raise ConnectionError(f"the federator: {error}") from error
            raise Rejected(str(error)) from error
        except Failure as error:
            if error.status != UNREACHABLE:
                raise
            raise ConnectionError(str(error)) from error
