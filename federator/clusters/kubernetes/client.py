"""Requests to an API server, and its errors in our words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from federator.clusters.kubernetes.connection import Connection, connect
from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.kubeconfig import BadKubeconfig, Source, find_source
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.ports import Clock, ClusterUnreachable

Json = dict[str, Any]
# Watches and probes need connections beside the writes'.
SPARE_CONNECTIONS = 64
# A refused token is read again from its file no more often than this.
RELOAD_S = 5.0


class KubernetesClient:
    """Requests to one API server. Credentials are read when first needed, and again when they are refused."""

    def __init__(self, cluster: str, settings: KubernetesSettings, clock: Clock) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._connection: Connection | None = None
        self._source = Source(settings.kubeconfig, settings.context)
        self._loaded_s = 0.0
        self._renewing = asyncio.Lock()
        self.answered_s: float | None = None
        """When the server last gave a sign of life; None: never."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_s: float | None = None,
    ) -> Json:
        """One request and its answer. Raises ApiError (the server said no) and ClusterUnreachable (it said nothing)."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Accept": accept}
        timeout = aiohttp.ClientTimeout(total=timeout_s or self._settings.timeout_s)
        async with self._request(method, path, query, timeout, headers, data) as response:
            text = await response.read()
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {}

    async def answers(self) -> None:
        """Ask for a sign of life. Raises ClusterUnreachable; any answer at all will do."""
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s / 2)
        try:
            async with self._request("GET", "/readyz", None, timeout, {}) as response:
                await response.read()
        except ApiError as error:
            if error.status >= 500:
                raise self._unreachable(f"is not ready ({error.status} {error.message})") from None

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, silence_s: float | None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a long answer, piece by piece; silence for longer than ``silence_s`` (None: ever) ends it."""
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._settings.timeout_s, sock_connect=self._settings.timeout_s, sock_read=silence_s
        )
        async with self._request("GET", path, query, timeout, {"Accept": "*/*"}) as response:
            yield self._pieces(response)

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        async for piece in response.content.iter_any():
            self.answered_s = self._clock.now_s()
            yield piece

    async def close(self) -> None:
        """Let go of the connections."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    # -- inside ------------------------------------------------------------

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
        headers: dict[str, str],
        data: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            connection = self._connection or await self._connected()
            response = await connection.send(method, path, query, timeout, headers, data)
            if response.status == 401 and (fresh := await self._renewed(connection)) is not None:
                response.release()
                response = await fresh.send(method, path, query, timeout, headers, data)
            async with response:
                self.answered_s = self._clock.now_s()
                if response.status == 401:
                    raise self._unreachable(
                        "does not accept the credentials (401): they are wrong or have expired; renew them"
                    )
                if not 200 <= response.status <= 299:
                    raise _api_error(response, await response.read())
                yield response
        except TimeoutError as error:
            limit_s = timeout.total or timeout.sock_read or timeout.connect
            raise self._unreachable(f"gave no answer within {limit_s:g} s") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise self._unreachable(
                "shows a certificate that the kubeconfig's authority did not sign; correct its certificate-authority"
            ) from error
        except aiohttp.ClientConnectorError as error:
            detail = error.os_error.strerror or str(error.os_error) or "no connection"
            raise self._unreachable(f"cannot be reached ({detail}); is the address right, and is it up?") from error
        except (aiohttp.ClientError, OSError) as error:
            detail = str(error) or type(error).__name__
            raise self._unreachable(f"broke off the connection ({detail})") from error

    async def _connected(self) -> Connection:
        if self._connection is None:
            fresh = await self._connect()
            if self._connection is None:
                self._connection = fresh
            else:
                await fresh.close()  # another request has been quicker
        return self._connection

    async def _connect(self) -> Connection:
        try:
            self._source = find_source(self._settings)
            connection = await connect(self._source, self._settings.concurrency + SPARE_CONNECTIONS)
        except BadKubeconfig as error:
            raise ClusterUnreachable(self._cluster, str(error)) from None
        self._loaded_s = self._clock.now_s()
        return connection

    async def _renewed(self, refused: Connection) -> Connection | None:
        """Read the credentials anew: what was renewed in its file is taken up without a restart. None: nothing new.

        Certificates are read when a connection is made, so everything is made anew.
        """
        async with self._renewing:
            if self._connection is not refused:
                return self._connection  # another request has been here already
            if self._clock.now_s() - self._loaded_s < RELOAD_S:
                return None
            fresh = await self._connect()
            if not fresh.differs_from(refused):
                await fresh.close()
                return None
            self._connection = fresh
            await refused.close()
            return fresh

    def _unreachable(self, what: str) -> ClusterUnreachable:
        return ClusterUnreachable(self._cluster, f"server {self._source.server} ({self._source}) {what}")


def _api_error(response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    try:
        status = json.loads(body)
    except ValueError:
        status = {}
    if not isinstance(status, dict):
        status = {}
    message = str(status.get("message") or body[:500].decode(errors="replace").strip() or response.reason or "")
    try:
        retry_after_s: float | None = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        retry_after_s = None
    return ApiError(response.status, str(status.get("reason") or response.reason or "Unknown"), message, retry_after_s)
