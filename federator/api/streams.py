"""Answers without a known end: logs and events. Bounded in number; they end when the client or the server goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType

from aiohttp import web

from federator.api.call import Call
from federator.api.problems import Problem, problem_of

MAX_STREAMS = 256
LOOK_S = 1.0
"""How often we look whether a silent stream still has a listener."""
WRITE_LIMIT_S = 30.0
"""A client that takes nothing for so long is cut off."""


class Stream:
    """One streamed answer. Nothing is sent before the first piece is there, so that an error still has its status.

    With ``keep_alive`` bytes the answer starts at once and these are sent whenever it was quiet for long.
    """

    def __init__(self, call: Call, content_type: str, keep_alive: bytes = b"") -> None:
        self._call = call
        self._keep_alive = keep_alive
        self.response = web.StreamResponse(
            headers={"Content-Type": content_type, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    async def __aenter__(self) -> Stream:
        if len(self._call.streams) >= MAX_STREAMS:
            raise Problem(
                503, "too-many-streams", "too many logs and events are followed", headers={"Retry-After": "5"}
            )
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._call.streams.add(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.streams.discard(self._task)

    async def copy(self, pieces: AsyncIterator[bytes]) -> None:
        """Send all pieces. An error after the first cuts the connection, so that the client sees it is not whole."""
        ahead: asyncio.Task[bytes | None] | None = None
        quiet_s = 0.0
        try:
            while True:
                ahead = ahead or asyncio.create_task(_next(pieces))
                await asyncio.wait({ahead}, timeout=LOOK_S)
                if self._gone():
                    return
                if ahead.done():
                    piece, ahead, quiet_s = ahead.result(), None, 0.0
                    if piece is None:
                        break
                    await self._write(piece)
                    continue
                quiet_s += LOOK_S
                if self._keep_alive and quiet_s >= self._call.keep_alive_s:
                    quiet_s = 0.0
                    await self._write(self._keep_alive)
            await self._write(b"")
            await self.response.write_eof()
        except Exception as error:
            self._cut(error)
        finally:
            if ahead is not None and not ahead.done():
                ahead.cancel()
                await asyncio.wait({ahead})
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def _write(self, piece: bytes) -> None:
        if not self.response.prepared:
            await self.response.prepare(self._call.request)
        if piece:
            async with asyncio.timeout(WRITE_LIMIT_S):
                await self.response.write(piece)

    def _gone(self) -> bool:
        transport = self._call.request.transport
        return transport is None or transport.is_closing()

    def _cut(self, error: Exception) -> None:
        """Before the first piece the error gets its own answer; after it only the connection can tell."""
        if not self.response.prepared:
            raise error
        transport = self._call.request.transport
        if transport is not None:
            transport.abort()
        if not isinstance(error, ConnectionError | TimeoutError) and problem_of(error) is None:
            raise error


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    """The next piece, None at the end."""
    return await anext(pieces, None)
