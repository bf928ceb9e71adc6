"""The HTTP client behind all client commands: repeats what may be repeated, and says in words what went wrong."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import aiohttp

from federator.cli.connection import Connection
from federator.cli.failures import UNREACHABLE, WRONG_INPUT, Failure, Refused

Json = dict[str, Any]
PAUSES_S = (0.2, 0.5, 1.0)
"""Between attempts when the connection fails; every request is repeatable, writes by their key."""
ANSWER_LIMIT_S = 60.0
PAGE = 500


class Client:
    """One session with a server. Raises Refused for what the server refuses, Failure where it cannot be reached."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_tls(self._connection)),
            timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT_S, connect=10),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **params: Any) -> Json:
        """What is at ``/api/v1`` + path."""
        return await self._json("GET", path, params=params)

    async def send(self, method: str, path: str, objects: Sequence[Mapping[str, Any]] | None = None) -> Json:
        """Write; ``objects`` go as one JSON list with each object in a line of its own."""
        body = None if objects is None else "[\n" + ",\n".join(json.dumps(one) for one in objects) + "\n]"
        return await self._json(method, path, body=body)

    async def send_one(self, method: str, path: str, value: Mapping[str, Any]) -> Json:
        """Write one value."""
        return await self._json(method, path, body=json.dumps(value))

    async def all(self, kind: str, **params: Any) -> list[Json]:
        """A whole list, page by page."""
        items: list[Json] = []
        after = ""
        while True:
            page = await self.get(f"/{kind}", limit=PAGE, after=after, **params)
            items += page["items"]
            after = page.get("next") or ""
            if not after:
                return items

    async def logs(self, name: str, **params: Any) -> AsyncIterator[bytes]:
        """The output of a replica, in pieces."""
        timeout = aiohttp.ClientTimeout(total=None, connect=10)
        async with self._open("GET", f"/workloads/{name}/logs", params=params, timeout=timeout) as response:
            try:
                async for piece in response.content.iter_any():
                    yield piece
            except aiohttp.ClientError as error:
                raise Failure("the log ended early: the connection to the cluster was lost", UNREACHABLE) from error

    async def latest(self) -> str:
        """The event to go on after, for whoever looks at what there is now and wants to miss nothing that follows."""
        return str((await self.get("/events", after="latest", limit=1))["next"])

    async def events(self, after: str) -> AsyncIterator[Json]:
        """What happens after an event, for ever; a lost connection is taken up again."""
        timeout = aiohttp.ClientTimeout(total=None, connect=10, sock_read=60)
        headers = {"Accept": "text/event-stream"}
        while True:
            try:
                async with self._open(
                    "GET", "/events", params={"after": after}, headers=headers, timeout=timeout
                ) as got:
                    async for line in got.content:
                        if line.startswith(b"data: "):
                            event: Json = json.loads(line[len(b"data: ") :])
                            after = str(event["id"])
                            yield event
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(PAUSES_S[0])  # and connect again; _open gives up if nobody is there

    async def _json(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, body: str | None = None
    ) -> Json:
        headers = {"Accept": "application/json", **({"Content-Type": "application/json"} if body is not None else {})}
        if method != "GET":
            headers["Idempotency-Key"] = uuid.uuid4().hex
        for pause_s in (*PAUSES_S, None):
            try:
                async with self._open(method, path, params=params, headers=headers, data=body) as response:
                    found: Json = await response.json()
                    return found
            except (aiohttp.ClientError, TimeoutError) as error:
                if pause_s is None:
                    raise self._unreachable(error) from error
                await asyncio.sleep(pause_s)
            except ValueError as error:
                raise Failure(f"{self._connection.url} does not answer as a federator does", UNREACHABLE) from error
        raise AssertionError("the loop returns or raises")

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        data: str | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is not an error."""
        assert self._session is not None
        response = await self._connected(
            method,
            f"{self._connection.url}/api/v1{path}",
            headers,
            params={key: _text(value) for key, value in (params or {}).items() if value not in (None, "")},
            data=data.encode() if data is not None else None,
            allow_redirects=False,
            **({"timeout": timeout} if timeout else {}),
        )
        async with response:
            if response.status >= 300:
                raise Refused(response.status, await _problem(response))
            yield response

    async def _connected(
        self, method: str, url: str, headers: Mapping[str, str] | None, **options: Any
    ) -> aiohttp.ClientResponse:
        """The answer, after a few attempts where nobody answers at the address."""
        assert self._session is not None
        token = self._connection.current_token()
        sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        for pause_s in (*PAUSES_S, None):
            try:
                return await self._session.request(method, url, headers=sent, **options)
            except aiohttp.InvalidURL as error:
                raise Failure(f"{url} is not an address", UNREACHABLE) from error
            except aiohttp.ClientConnectorCertificateError as error:
                raise Failure(f"{url}: {error}; trust its authority with FEDERATOR_CA_FILE", UNREACHABLE) from error
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if pause_s is None:
                    raise self._unreachable(error) from error
                await asyncio.sleep(pause_s)
        raise AssertionError("the loop returns or raises")

    def _unreachable(self, error: Exception) -> Failure:
        words = str(error) or type(error).__name__
        return Failure(f"the server at {self._connection.url} cannot be reached: {words}", UNREACHABLE)


async def _problem(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    try:
        found = await response.json(content_type=None)
    except ValueError:
        found = None
    return (
        found
        if isinstance(found, dict)
        else {"detail": f"{response.url.host} answered {response.status} {response.reason}"}
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tls(connection: Connection) -> ssl.SSLContext | bool:
    if not connection.url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=connection.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise Failure(f"FEDERATOR_CA_FILE: {connection.ca_file} cannot be read: {error}", WRONG_INPUT) from error
