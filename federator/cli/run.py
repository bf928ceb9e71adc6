"""run: the daemon, its API, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import structlog
import typer

from federator.api.access import Access, Role, new_token
from federator.api.composed import make_access, make_settings
from federator.api.server import RunningApi, start_api
from federator.cli.connection import write_endpoint, write_private
from federator.cli.failures import WRONG_INPUT, Failure
from federator.cli.live import LiveTable, LogTail
from federator.cli.output import say
from federator.daemon.compose import Daemon, compose
from federator.documents import Configuration, read_configuration
from federator.engine.warm import warm
from federator.ports import Store
from federator.telemetry.logs import configure_logs

ADMIN = "admin"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOP_MARGIN_S = 15.0
"""What a stop may take beyond the grace that the configuration gives to calls under way."""

log = structlog.get_logger(__name__)


def run_daemon(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A Configuration; else the defaults.")] = None,
    live: Annotated[
        bool | None, typer.Option("--live/--no-live", help="Show a live table; by default in a terminal.")
    ] = None,
) -> None:
    """Run the daemon until it is told to stop (Ctrl-C, SIGTERM). A second signal ends it at once."""
    configuration = read_configuration(config)
    tail = LogTail() if (sys.stdout.isatty() if live is None else live) else None
    form = configuration.log.format
    configure_logs(
        level=configuration.log.level,
        as_json=None if form == "auto" else form == "json",
        sink=tail.add if tail else None,
    )
    if tail:
        say("making the planner ready: a moment, or half a minute after an installation")
    warm()  # compiling would hold up the event loop
    asyncio.run(_serve(configuration, config, tail))


async def _serve(configuration: Configuration, config: Path | None, tail: LogTail | None) -> None:
    stopping = _on_signals()
    daemon = await compose(configuration, config)
    async with _started(daemon, configuration, stopping), _listening(daemon, configuration) as api:
        if stopping.is_set():
            return
        async with _announced(configuration, api):
            if tail is None:
                await stopping.wait()
            else:
                title = f"{api.url}   token in {configuration.token_file}"
                await LiveTable(daemon.service, tail, title).show(stopping)


def _on_signals() -> asyncio.Event:
    """An event that the first signal sets; the second ends the process."""
    stopping = asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        log.info("stopping", signal=signal.Signals(number).name)
        stopping.set()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    return stopping


@asynccontextmanager
async def _started(daemon: Daemon, configuration: Configuration, stopping: asyncio.Event) -> AsyncIterator[None]:
    """The daemon at work; a signal while it starts ends that too."""
    start, stop = asyncio.create_task(daemon.start()), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
        yield
    finally:
        stop.cancel()
        if not start.done():
            start.cancel()
            await asyncio.wait({start})
        try:
            async with asyncio.timeout(configuration.shutdown_grace + STOP_MARGIN_S):
                await daemon.stop()
        except TimeoutError:
            log.warning("stopped late", detail="calls under way were cut off; the next start settles them")
        log.info("stopped")


@asynccontextmanager
async def _listening(daemon: Daemon, configuration: Configuration) -> AsyncIterator[RunningApi]:
    """The API, open to whoever has a token."""
    access = await _access(configuration, daemon.store)
    settings = make_settings(configuration, daemon.store, daemon.audit)
    try:
        api = await start_api(daemon.service, access, settings, daemon.metrics)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise Failure(f"cannot listen on {place}: {error}; see spec.listen", WRONG_INPUT) from error
    try:
        yield api
    finally:
        await api.stop()


async def _access(configuration: Configuration, store: Store) -> Access:
    """Who may do what; the first start makes a token for the operator."""
    tokens = list(await store.tokens())
    if not tokens:
        secret, token = new_token(ADMIN, [Role.OPERATOR])
        # The file first: a token without its file would lock the operator out, a file without its token only waits.
        await asyncio.to_thread(write_private, configuration.token_file, secret + "\n")
        await store.put_token(token)
        tokens = [token]
        log.info("admin token written", file=str(configuration.token_file))
    return make_access(configuration, tokens)


@asynccontextmanager
async def _announced(configuration: Configuration, api: RunningApi) -> AsyncIterator[None]:
    """Say where we are, to people and to the commands of this user, for as long as we are there."""
    token_file = configuration.token_file if configuration.token_file.exists() else None
    path = write_endpoint(configuration.state_directory, api.url, token_file)
    log.info("listening", url=api.url, token_file=str(token_file or ""))
    say(f"federator listens on {api.url}")
    say(f"token file: {token_file}" if token_file else f"token file: none; {configuration.token_file} is gone")
    sys.stdout.flush()
    try:
        yield
    finally:
        _forget(path)


def _forget(path: Path) -> None:
    """Remove the address, unless another daemon has put its own there since."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8")).get("pid") == os.getpid():
            path.unlink()
