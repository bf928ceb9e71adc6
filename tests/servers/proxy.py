"""A proxy in front of an apiserver that is slow, refuses, errs or hangs up on request.

It ends TLS itself (with the control plane's own certificate), so it can tell a
watch from other requests. What it does to them is in ``faults`` and may be
changed at any time, from any thread. It has a thread and a loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from tests.servers.loop_thread import LoopThread
from tests.servers.processes import free_port

HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length",
}  # fmt: skip


@dataclass(frozen=True)
class Faults:
    """What goes wrong, each as a probability of one request or in seconds."""

    slow_watch_s: float = 0.0
    """Every piece of a watch arrives this much later, in order."""
    latency_s: float = 0.0
    """Every request waits this long before it is passed on."""
    error_rate: float = 0.0
    """How many requests are answered with one of ``statuses`` and not passed on."""
    statuses: tuple[int, ...] = (429, 500)
    lost_reply_rate: float = 0.0
    """How many requests are carried out, but the connection is cut instead of answered."""
    methods: frozenset[str] = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
    """Only these methods suffer errors and lost replies."""
    path_contains: str = ""
    """Only such paths suffer errors and lost replies."""


class Proxy:
    """``url`` leads to the apiserver by way of ``faults``."""

    def __init__(
        self, upstream: str, ca_file: Path, certificate: tuple[Path, Path], slow_watch_s: float = 0.0, seed: int = 0
    ) -> None:
        self.faults = Faults(slow_watch_s=slow_watch_s)
        self.requests = 0
        self.errors_given = 0
        self.replies_lost = 0
        self._upstream = upstream
        self._port = free_port()
        self._random = random.Random(seed)
        self._towards = ssl.create_default_context(cafile=str(ca_file))
        self._serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._serving.load_cert_chain(*certificate)
        self._listening = threading.Event()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._thread = LoopThread(f"proxy-{self._port}")
        self._thread.call(self._open())

    def stop(self) -> None:
        self._thread.call(self._close())
        self._thread.stop()

    def cut(self) -> None:
        """Break every connection there is now. New ones are welcome."""
        self._thread.call(self._cut())

    def refuse(self) -> None:
        """Break every connection and refuse new ones until ``accept``."""
        self._thread.call(self._refuse())

    def accept(self) -> None:
        self._thread.call(self._listen())

    # -- in the proxy's own loop ---------------------------------------------

    async def _open(self) -> None:
        # No limits: a watch holds its connection for minutes.
        connector = aiohttp.TCPConnector(ssl=self._towards, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        )
        application = web.Application(client_max_size=16 * 2**20, middlewares=[_quiet])
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, auto_decompress=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await self._listen()

    async def _close(self) -> None:
        await self._refuse()
        await self._runner.cleanup()
        await self._session.close()

    async def _listen(self) -> None:
        if not self._listening.is_set():
            self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._serving)
            await self._site.start()
            self._listening.set()

    async def _refuse(self) -> None:
        if self._listening.is_set():
            self._listening.clear()
            self._site._server.close()  # type: ignore[union-attr]  # site.stop() would wait for the clients
            self._runner._unreg_site(self._site)
        await self._cut()

    async def _cut(self) -> None:
        server = self._runner.server
        for connection in list(server.connections if server else ()):
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        faults = self.faults
        if faults.latency_s:
            await asyncio.sleep(faults.latency_s)
        suffers = request.method in faults.methods and faults.path_contains in request.path
        if suffers and self._random.random() < faults.error_rate:
            self.errors_given += 1
            return _error(self._random.choice(faults.statuses))
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self._session.request(
            request.method, self._upstream + request.raw_path, data=body or None, headers=headers, allow_redirects=False
        ) as answer:
            if suffers and self._random.random() < faults.lost_reply_rate:
                await answer.read()
                self.replies_lost += 1
                raise ConnectionResetError("the reply is lost on purpose")
            response = web.StreamResponse(
                status=answer.status,
                headers=[(k, v) for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP],
            )
            await response.prepare(request)
            is_watch = request.query.get("watch") in ("true", "1")
            async for piece in self._late(answer) if is_watch else answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def _late(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """Each piece ``slow_watch_s`` after it came; later pieces do not wait for earlier sleeps."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()

        async def read() -> None:
            try:
                async for piece in answer.content.iter_any():
                    pieces.put_nowait((loop.time() + self.faults.slow_watch_s, piece))
            finally:
                pieces.put_nowait((loop.time() + self.faults.slow_watch_s, None))

        reader = asyncio.create_task(read())
        try:
            while True:
                due, piece = await pieces.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if piece is None:
                    await reader  # an upstream that broke off breaks us off too
                    return
                yield piece
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
                await reader


@web.middleware
async def _quiet(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An upstream that is gone is passed on as a cut connection, which is what it was."""
    try:
        return await handler(request)
    except (aiohttp.ClientError, ConnectionError, TimeoutError):
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)


def _error(status: int) -> web.Response:
    reason = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}.get(status, "Unknown")
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "injected by the test proxy",
        "reason": reason,
        "code": status,
    }
    return web.json_response(body, status=status, headers={"Retry-After": "1"} if status in (429, 503) else None)
