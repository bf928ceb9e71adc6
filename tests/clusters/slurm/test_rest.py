"""The way in by slurmrestd, against a small server that answers as it does, or does not."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from federator.clock import SystemClock
from federator.clusters.slurm import tokens
from federator.clusters.slurm.refusals import NoNode, Unreachable
from federator.clusters.slurm.rest import RestTransport
from federator.clusters.slurm.settings import SlurmSettings
from federator.ports import OrderRefused

SECRET = "header.payload.signature"
NOW_S = 1_000_000.0


class Stands(SystemClock):
    """A clock at which it is always the same time."""

    def now_s(self) -> float:
        return NOW_S


def token(**claims: Any) -> str:
    """A token that only its claims tell of."""
    return jwt.encode({"exp": NOW_S + 60, "sun": "fed", **claims}, "k" * 32, algorithm="HS256")


class Slurmrestd:
    """Answers everything with ``body`` and ``status``; remembers what it was asked."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {"jobs": [], "nodes": [], "partitions": [], "errors": []}
        self.status = 200
        self.hangs = False
        self.tokens: list[str | None] = []
        self.paths: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("X-SLURM-USER-TOKEN"))
        self.paths.append(f"{request.method} {request.path}")
        if self.hangs:
            await asyncio.sleep(3600)
        return web.json_response(self.body, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Slurmrestd, str]]:
    fake = Slurmrestd()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield fake, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def way(server: tuple[Slurmrestd, str], tmp_path: Path) -> AsyncIterator[tuple[Slurmrestd, RestTransport, Path]]:
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    settings = SlurmSettings(tmp_path, "/d", url=server[1], user="fed", token_file=str(file), timeout_s=0.5)
    transport = RestTransport(settings, Stands())
    await transport.open()
    yield server[0], transport, file
    await transport.close()


async def test_the_token_is_read_anew_for_every_call(way: tuple[Slurmrestd, RestTransport, Path]) -> None:
    fake, transport, file = way
    await transport.listing()
    file.write_text("SLURM_JWT=another.token.now\n")
    await transport.listing()
    assert set(fake.tokens[:3]) == {SECRET}
    assert set(fake.tokens[3:]) == {"another.token.now"}
    assert fake.paths[0] == "GET /slurm/v0.0.38/jobs"


@pytest.mark.parametrize("trouble", ["hung", "refused", "denied", "broken", "no token"])
async def test_trouble_is_told_in_time_and_without_the_token(
    way: tuple[Slurmrestd, RestTransport, Path], trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake, transport, file = way
    if trouble == "hung":
        fake.hangs = True
    elif trouble == "denied":
        fake.status = 401
    elif trouble == "broken":
        fake.status, fake.body = 500, {"errors": [{"error": "Unable to contact slurm controller (connect failure)"}]}
    elif trouble == "no token":
        file.unlink()
    else:
        await transport.close()
    async with asyncio.timeout(20):
        with pytest.raises(Unreachable) as told:
            await transport.listing()
    chain = [repr(told.value), str(told.value.__cause__), caplog.text]
    assert not any(SECRET in words for words in chain)


@pytest.mark.parametrize(
    ("words", "means"),
    [
        ("Requested node configuration is not available", NoNode),
        ("Invalid partition name specified", OrderRefused),
        ("Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)", OrderRefused),
        ("Something nobody has heard of", Unreachable),
    ],
)
async def test_an_answer_that_is_an_error_means_what_slurm_means(
    way: tuple[Slurmrestd, RestTransport, Path], words: str, means: type[Exception]
) -> None:
    fake, transport, _ = way
    fake.status, fake.body = 500, {"errors": [{"error_code": 1, "error": words}]}
    with pytest.raises(means) as told:
        await transport.listing()
    if isinstance(told.value, OrderRefused):
        assert told.value.permanent == words.startswith("Invalid")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (token(exp=NOW_S - 63), "tokenFile {file}: the token in it expired 63 s ago"),
        (token(sun="root"), "tokenFile {file}: the token in it is for 'root'"),
        (token(exp=None), "tokenFile {file}: the token in it has no time at which it expires (exp)"),
        ("rubbish", "tokenFile {file}: what is in it is no token (JWT)"),
        ("two words", "tokenFile {file}: 2 words are in it, and a token is one"),
        (token(), "slurmctld is away, or does not accept the token in tokenFile {file}"),
    ],
)
async def test_who_is_not_let_in_hears_what_is_wrong_with_the_token(
    way: tuple[Slurmrestd, RestTransport, Path], said: str, words: str
) -> None:
    """slurmrestd says the same of all of them, and where slurmctld is away."""
    fake, transport, file = way
    fake.status, fake.body = 500, {"errors": [{"error": "Unspecified error", "description": "Failed while looking"}]}
    file.write_text(said)
    with pytest.raises(Unreachable, match=re.escape(words.format(file=file))) as told:
        await transport.listing()
    assert said not in str(told.value)


def test_nothing_is_said_against_a_token_that_slurm_may_well_accept() -> None:
    assert not tokens.doubts(token(), "fed", NOW_S)
    assert not tokens.doubts(token(sun="", username="fed"), "fed", NOW_S)
