"""The way in by slurmrestd, against a small server that answers as it does, or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from federator.clusters.slurm.refusals import NoNode, Unreachable
from federator.clusters.slurm.rest import RestTransport
from federator.clusters.slurm.settings import SlurmSettings
from federator.ports import OrderRefused

SECRET = "header.payload.signature"


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
    token = tmp_path / "token"
    token.write_text(SECRET + "\n")
    settings = SlurmSettings(tmp_path, "/d", url=server[1], user="fed", token_file=str(token), timeout_s=0.5)
    transport = RestTransport(settings)
    await transport.open()
    yield server[0], transport, token
    await transport.close()


async def test_the_token_is_read_anew_for_every_call(way: tuple[Slurmrestd, RestTransport, Path]) -> None:
    fake, transport, token = way
    await transport.listing()
    token.write_text("another.token.now")
    await transport.listing()
    assert set(fake.tokens[:3]) == {SECRET}
    assert set(fake.tokens[3:]) == {"another.token.now"}
    assert fake.paths[0] == "GET /slurm/v0.0.38/jobs"


@pytest.mark.parametrize("trouble", ["hung", "refused", "denied", "broken", "no token"])
async def test_trouble_is_told_in_time_and_without_the_token(
    way: tuple[Slurmrestd, RestTransport, Path], trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake, transport, token = way
    if trouble == "hung":
        fake.hangs = True
    elif trouble == "denied":
        fake.status = 401
    elif trouble == "broken":
        fake.status, fake.body = 500, {"errors": [{"error": "Unable to contact slurm controller (connect failure)"}]}
    elif trouble == "no token":
        token.unlink()
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
