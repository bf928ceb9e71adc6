"""The few calls the fake kubelet makes. aiohttp alone: quicker than a client library."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
WATCH_S = 60


class KubeError(RuntimeError):
    """The apiserver said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class KubeHttp:
    """One apiserver, one token."""

    def __init__(self, url: str, ca_file: Path, token: str, at_once: int = 32) -> None:
        tls = ssl.create_default_context(cafile=str(ca_file))
        self._url = url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=at_once),
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=15),
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Json | None = None, content: str = "application/json") -> Json:
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, self._url + path, data=data, headers={"Content-Type": content}
        ) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise KubeError(answer.status, text.decode(errors="replace")[:500])
            found: Json = json.loads(text)
            return found

    async def persist(
        self, method: str, path: str, body: Json | None = None, content: str = "application/json"
    ) -> Json | None:
        """Try until it is done. None when the object is gone or a newer one has its name."""
        pause_s = 0.1
        while True:
            try:
                return await self.call(method, path, body, content)
            except KubeError as error:
                if error.status == 404 or (error.status in (409, 422) and "uid" in str(error).lower()):
                    return None
                if error.status in (400, 401, 403, 422):
                    raise  # trying again would not make it right
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
                pass  # no apiserver for now; a kubelet goes on trying
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 1.0)

    async def watch(self, path: str, query: Mapping[str, str], version: str) -> AsyncIterator[Json]:
        """Events after ``version`` until the server ends the watch."""
        parameters = {
            **query, "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }  # fmt: skip
        limits = aiohttp.ClientTimeout(total=WATCH_S + 30)
        async with self._session.get(self._url + path, params=parameters, timeout=limits) as answer:
            if answer.status >= 400:
                raise KubeError(answer.status, (await answer.text())[:500])
            rest = b""
            async for piece in answer.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield json.loads(line)
