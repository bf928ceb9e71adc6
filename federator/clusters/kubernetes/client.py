"""The one module that touches kubernetes-asyncio: configuration, transport, and errors in our words.

JSON goes in and comes out as plain dicts: the library's typed models cost more than the request itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import yaml
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from federator.clusters.kubernetes.errors import ApiError
from federator.clusters.kubernetes.kubeconfig import BadKubeconfig, Source, find_source
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.ports import Clock, ClusterUnreachable

Json = dict[str, Any]
# Watches and probes need connections beside the writes'.
SPARE_CONNECTIONS = 64
# A refused token is read again from its file no more often than this.
RELOAD_S = 5.0

# The library logs whole response bodies, secrets included, where debugging is on for everything.
logging.getLogger("kubernetes_asyncio").setLevel(logging.WARNING)


class KubernetesClient:
    """Requests to one API server. Credentials are read when first needed, and again when they are refused."""

    def __init__(self, cluster: str, settings: KubernetesSettings, clock: Clock) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._api: ApiClient | None = None
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
        api, self._api = self._api, None
        if api is not None:
            await api.close()

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
            api = await self._connected()
            response = await self._send(api, method, path, query, timeout, headers, data)
            if response.status == 401 and (fresh := await self._renewed(api)) is not None:
                response.release()
                response = await self._send(fresh, method, path, query, timeout, headers, data)
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

    async def _send(
        self,
        api: ApiClient,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
        headers: dict[str, str],
        data: bytes | None,
    ) -> aiohttp.ClientResponse:
        configuration = api.configuration
        sent = dict(headers)
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            sent["Authorization"] = token
        url = str(configuration.host) + path + (f"?{urlencode(query)}" if query else "")
        session: aiohttp.ClientSession = api.rest_client.pool_manager
        options: dict[str, Any] = {"proxy": configuration.proxy} if configuration.proxy else {}
        if configuration.tls_server_name:
            options["server_hostname"] = configuration.tls_server_name
        return await session.request(
            method, url, data=data, headers=sent, timeout=timeout, allow_redirects=False, **options
        )

    async def _connected(self) -> ApiClient:
        if self._api is None:
            configuration = await self._load()
            if self._api is None:
                self._api = ApiClient(configuration=configuration)
        return self._api

    async def _load(self) -> Configuration:
        """Read the credentials. The library's messages are not passed on: they may quote a token."""
        try:
            self._source = find_source(self._settings)
            configuration = Configuration()
            if self._source.path:
                await load_kube_config(
                    config_file=self._source.files,
                    context=self._source.context,
                    client_configuration=configuration,
                    persist_config=False,
                )
            else:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except BadKubeconfig as error:
            raise ClusterUnreachable(self._cluster, str(error)) from None
        except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            kind = type(error).__name__
            raise ClusterUnreachable(
                self._cluster,
                f"the credentials of {self._source} cannot be used ({kind}): check its certificates, token or plugin",
            ) from None
        configuration.connection_pool_maxsize = self._settings.concurrency + SPARE_CONNECTIONS
        self._loaded_s = self._clock.now_s()
        return configuration

    async def _renewed(self, refused: ApiClient) -> ApiClient | None:
        """Read the credentials anew: what was renewed in its file is taken up without a restart. None: nothing new.

        Certificates are read when a connection is made, so everything is made anew.
        """
        async with self._renewing:
            if self._api is not refused:
                return self._api  # another request has been here already
            if self._clock.now_s() - self._loaded_s < RELOAD_S:
                return None
            fresh = await self._load()
            has_certificate = bool(fresh.cert_file)
            if fresh.api_key == refused.configuration.api_key and not has_certificate:
                return None
            self._api = ApiClient(configuration=fresh)
            await refused.close()
            return self._api

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
