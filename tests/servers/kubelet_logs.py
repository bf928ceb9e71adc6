"""Pod logs, the way the apiserver asks a kubelet for them: HTTPS, ``/containerLogs/...``.

Nothing is stored. A pod writes one line when it starts and one every 0.2 s, so
its log can be told from the time alone.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from tests.servers.certificates import Authority
from tests.servers.processes import free_port
from tests.servers.runs import Run

LINE_EVERY_S = 0.2


def line(run: Run, number: int) -> str:
    first = f"replica {run.replica} on node {run.node}"
    return f"{first}\n" if number == 0 else f"{first}: line {number}\n"


def lines_so_far(run: Run) -> int:
    lasted = (run.ended_at or time.time()) - run.started_at
    return 1 + int(lasted / LINE_EVERY_S)


class LogServer:
    """Answers for all nodes of one kubelet; ``find`` gives the latest run of a pod."""

    def __init__(self, find: Callable[[str, str], Run | None]) -> None:
        self._find = find
        self.port = free_port()

    async def start(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(*Authority(Path(directory), "kubelet").serving("kubelet"))
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        run = self._find(request.match_info["namespace"], request.match_info["pod"])
        if run is None:
            return web.Response(status=404, text="this pod has not started here")
        if run.output is not None:
            return web.Response(body=run.output.read_bytes() if run.output.exists() else b"")
        there = lines_so_far(run)
        tail = request.query.get("tailLines")
        first = max(0, there - int(tail)) if tail is not None else 0
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        await response.write("".join(line(run, n) for n in range(first, there)).encode())
        if request.query.get("follow") == "true":
            while run.ended_at is None or there < lines_so_far(run):
                await asyncio.sleep(LINE_EVERY_S / 4)
                if there < (so_far := lines_so_far(run)):
                    await response.write("".join(line(run, n) for n in range(there, so_far)).encode())
                    there = so_far
        await response.write_eof()
        return response
