"""Writes that may be repeated: the answer to a key is remembered, and given again to the same request."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

from federator.api.call import Call, Memory
from federator.api.problems import Problem

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEY = re.compile(r"[\x21-\x7e]{1,255}")

log = structlog.get_logger(__name__)


class Repeats:
    """Gives each key to one request at a time, and remembers the answers of those that succeeded.

    A refused request changed nothing, so that repeating it is safe, and it may succeed the next time: its answer is
    not kept.
    """

    def __init__(self, memory: Memory, now_s: Callable[[], float]) -> None:
        self._memory = memory
        self._now_s = now_s
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}

    async def once(self, call: Call, act: Callable[[Call], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        """The remembered answer to this key, else that of ``act``. Raises Problem for a key that is misused."""
        given = call.request.headers.get(HEADER)
        if given is None:
            return await act(call)
        if not KEY.fullmatch(given):
            raise Problem(400, "bad-key", f"{HEADER} must be 1 to 255 printable characters without spaces")
        key = hashlib.sha256(f"{call.owner}\0{given}".encode()).hexdigest()
        fingerprint = _fingerprint(call)
        async with self._alone(key):
            known = await self._memory.recall(key)
            if known is not None:
                return _replay(known, fingerprint)
            response = await act(call)
            if isinstance(response, web.Response) and response.status < 300:
                await self._remember(key, fingerprint, response)
            return response

    async def _remember(self, key: str, fingerprint: str, response: web.Response) -> None:
        known: dict[str, Any] = {
            "fingerprint": fingerprint,
            "status": response.status,
            "type": response.content_type,
            "body": response.text or "",
        }
        try:
            await self._memory.remember(key, known, self._now_s())
        except Exception:
            # The write itself is done and must be acknowledged; a repeat will find the same objects there.
            log.exception("answer not remembered under its key")

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock, waiting = self._busy.get(key, (asyncio.Lock(), 0))
        self._busy[key] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._busy.pop(key)
            if waiting > 1:
                self._busy[key] = (lock, waiting - 1)


def _fingerprint(call: Call) -> str:
    request = call.request
    parts = (request.method, request.path_qs, request.content_type if call.body else "")
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + call.body).hexdigest()


def _replay(known: Any, fingerprint: str) -> web.Response:
    if known["fingerprint"] != fingerprint:
        raise Problem(422, "key-reused", f"this {HEADER} was used for another request; take a new one")
    return web.Response(
        status=known["status"],
        text=known["body"],
        content_type=known["type"],
        charset="utf-8",
        headers={REPLAYED: "true"},
    )
