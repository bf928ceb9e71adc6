"""The one module that touches kubernetes-asyncio: credentials and connections.

JSON goes in and comes out as plain dicts: the library's typed models cost more than the request itself. Its session is
left alone too: for every request it looks twice, in a thread, for a ~/.netrc and a proxy.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import yaml
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from federator.clusters.kubernetes.kubeconfig import BadKubeconfig, Source

# Objects may be as large as etcd allows, and one is one line of a watch.
READ_AHEAD_BYTES = 2**21

# The library logs whole response bodies, secrets included, where debugging is on for everything.
logging.getLogger("kubernetes_asyncio").setLevel(logging.WARNING)


class Connection:
    """Connections to one API server with one set of credentials."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._api = ApiClient(configuration=configuration)
        self._url = str(configuration.host)
        self._session = aiohttp.ClientSession(
            connector=self._api.rest_client.pool_manager.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_AHEAD_BYTES,
        )
        self._options: dict[str, Any] = {"allow_redirects": False}
        if proxy := configuration.proxy or proxy_for(self._url):
            self._options["proxy"] = proxy
        if configuration.tls_server_name:
            self._options["server_hostname"] = configuration.tls_server_name

    def differs_from(self, other: Connection) -> bool:
        """Whether the credentials may be others. What a certificate's file holds now cannot be told from its name."""
        return self._configuration.api_key != other._configuration.api_key or bool(self._configuration.cert_file)

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
        headers: Mapping[str, str],
        data: bytes | None,
    ) -> aiohttp.ClientResponse:
        """One request; the response's body is still to be read. Raises what aiohttp raises."""
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        sent = {**headers, "Authorization": token} if token else headers
        url = f"{self._url}{path}?{urlencode(query)}" if query else self._url + path
        return await self._session.request(method, url, data=data, headers=sent, timeout=timeout, **self._options)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()
        await self._api.close()


async def connect(source: Source, connections: int) -> Connection:
    """Read the credentials. Raises BadKubeconfig; the library's messages are not passed on: they may quote a token."""
    configuration = Configuration()
    try:
        if source.path:
            await load_kube_config(
                config_file=source.files,
                context=source.context,
                client_configuration=configuration,
                persist_config=False,
            )
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        configuration.connection_pool_maxsize = connections
        return Connection(configuration)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise BadKubeconfig(
            f"the credentials of {source} cannot be used ({type(error).__name__}): "
            "check its certificates, token or plugin"
        ) from None


def proxy_for(url: str) -> str | None:
    """The proxy that the environment (``HTTPS_PROXY``, ``NO_PROXY`` ...) names for this address."""
    address = urlsplit(url)
    return None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)
