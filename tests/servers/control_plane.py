"""A real Kubernetes control plane of our own: etcd, apiserver, controllers, scheduler.

It has no nodes; ``tests.servers.kubelet`` brings them. Everything listens on
127.0.0.1 and lives in a temporary directory.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers import kube_flags
from tests.servers.binaries import find_kubernetes
from tests.servers.certificates import Authority, write_key
from tests.servers.kubeconfigs import PlainClient, User, write_kubeconfig, write_tokens
from tests.servers.processes import (
    Server,
    ServerFailed,
    free_port,
    keep_directory,
    remove_directory,
    temporary_directory,
)
from tests.servers.proxy import Proxy

# Below this, every service account waits for a token secret, and pods are refused until it has one.
NO_TOKEN_SECRETS = (1, 24)


class ControlPlaneServers:
    """The processes of one control plane. Blocking; ``ControlPlane`` adds the same for ``await``.

    ``proxy=True`` (or a ``slow_watch_s``) puts a ``Proxy`` in front: ``url`` and every
    kubeconfig then lead through it, ``direct_url`` does not.
    """

    def __init__(
        self,
        name: str = "cluster",
        *,
        slow_watch_s: float = 0.0,
        proxy: bool = False,
        node_grace_s: float = 40.0,
        feature_gates: Mapping[str, bool] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.binaries = find_kubernetes()
        self._given_directory = directory
        self._tuning = kube_flags.Tuning(node_grace_s, feature_gates or {})
        self._servers: dict[str, Server] = {}
        self._wants_proxy = proxy or slow_watch_s > 0
        self._slow_watch_s = slow_watch_s
        self._proxy: Proxy | None = None
        # Two people beside the admin: one with no rights at all, one a test may give some by RBAC.
        self.users: Mapping[str, User] = {
            "admin": User("admin", secrets.token_hex(16), ("system:masters",)),
            "stranger": User("stranger", secrets.token_hex(16)),
            "federator": User("federator", secrets.token_hex(16)),
        }

    # -- where things are ------------------------------------------------

    @property
    def url(self) -> str:
        return self._proxy.url if self._proxy else self.direct_url

    @property
    def direct_url(self) -> str:
        return f"https://127.0.0.1:{self.ports.apiserver}"

    @property
    def ca_file(self) -> Path:
        return self.files.ca

    @property
    def token(self) -> str:
        return self.users["admin"].token

    @property
    def kubeconfig(self) -> Path:
        return self.kubeconfig_for("admin")

    @property
    def proxy(self) -> Proxy:
        if self._proxy is None:
            raise ServerFailed(f"control plane {self.name} was started without proxy=True")
        return self._proxy

    @property
    def client(self) -> PlainClient:
        """The admin, not through the proxy."""
        return PlainClient(self.direct_url, self.ca_file, self.token)

    def kubeconfig_for(self, user: str, token: str | None = None, url: str | None = None) -> Path:
        """A kubeconfig file for one of ``users``, or for any name with the token given.

        ``url`` leads elsewhere than usual: past the proxy, or through another one.
        """
        token = self.users[user].token if token is None else token
        url = url or self.url
        path = self.directory / f"{user}-{url.rpartition(':')[2]}.kubeconfig"
        return write_kubeconfig(path, self.name, url, self.ca_file, user, token)

    def new_proxy(self, slow_watch_s: float = 0.0, seed: int = 0) -> Proxy:
        """One more way in, not started yet, with troubles of its own."""
        certificate = (self.files.serving_cert, self.files.serving_key)
        return Proxy(self.direct_url, self.ca_file, certificate, slow_watch_s, seed)

    def new_namespace(self, prefix: str, timeout_s: float = 60.0) -> str:
        """A namespace of one's own, in which pods can be created by now. Blocking."""
        created = self.client.call("POST", "/api/v1/namespaces", {"metadata": {"generateName": f"{prefix}-"}})
        name: str = created["metadata"]["name"]
        controllers = self._servers["kube-controller-manager"]
        controllers.wait_until(lambda: self.takes_pods(name), timeout_s, f"serving namespace {name}")
        return name

    def log(self, server: str) -> Path:
        """The log of ``etcd``, ``kube-apiserver``, ``kube-controller-manager`` or ``kube-scheduler``."""
        return self.directory / f"{server}.log"

    # -- life ------------------------------------------------------------

    def start_blocking(self, timeout_s: float = 120.0) -> None:
        """Start everything and wait until a pod could be created."""
        try:
            self._prepare()
            self._servers["etcd"].start()
            self.start_apiserver_blocking(timeout_s)
            if self._wants_proxy:
                self._proxy = self.new_proxy(self._slow_watch_s)
                self._proxy.start()
            self.wait_ready_blocking(timeout_s)
        except BaseException:
            self.stop_blocking(keep_logs=True)
            raise

    def stop_blocking(self, keep_logs: bool = False) -> None:
        if self._proxy is not None:
            self._proxy.stop()
            self._proxy = None
        for server in reversed(self._servers.values()):
            server.send(signal.SIGCONT)
            server.stop()
        self._servers.clear()
        if self._given_directory is None and hasattr(self, "directory"):
            (keep_directory if keep_logs else remove_directory)(self.directory)

    def stop_apiserver_blocking(self) -> None:
        """An outage: connections break at once and the port refuses new ones. The data stay."""
        self._servers["kube-apiserver"].stop()

    def start_apiserver_blocking(self, timeout_s: float = 120.0) -> None:
        """Start the apiserver, again on the same port with the same data, and whatever else is down."""
        apiserver = self._servers["kube-apiserver"]
        apiserver.start()
        apiserver.wait_until(self.answers, timeout_s, "ready")
        for name in ("kube-controller-manager", "kube-scheduler"):
            self._servers[name].start()

    def freeze(self) -> None:
        """The apiserver accepts connections and answers nothing: the worst kind of silence."""
        self._servers["kube-apiserver"].send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._servers["kube-apiserver"].send(signal.SIGCONT)

    def answers(self) -> bool:
        return self.client.says("/readyz") == "ok"

    def is_ready(self) -> bool:
        """Whether /readyz says ok and pods can be created in the default namespace."""
        return self.answers() and self.takes_pods("default")

    def takes_pods(self, namespace: str) -> bool:
        """Without its default service account, and in older versions that one's token, pods are refused."""
        text = self.client.says(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        if text is None:
            return False
        return self.binaries.version >= NO_TOKEN_SECRETS or bool(json.loads(text).get("secrets"))

    def wait_ready_blocking(self, timeout_s: float = 120.0) -> None:
        self._servers["kube-controller-manager"].wait_until(self.is_ready, timeout_s, "serving the default namespace")

    # -- inside ------------------------------------------------------------

    def _prepare(self) -> None:
        self.directory = self._given_directory or temporary_directory(self.name)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.ports = kube_flags.Ports(*(free_port() for _ in range(5)))
        authority = Authority(self.directory, self.name)
        certificate, key = authority.serving("apiserver")
        admin = self.users["admin"]
        self.files = kube_flags.Files(
            directory=self.directory,
            ca=authority.ca_file,
            serving_cert=certificate,
            serving_key=key,
            service_account_key=write_key(self.directory / "service-accounts.key"),
            tokens=write_tokens(self.directory / "tokens.csv", self.users),
            # The control plane's own parts do not suffer from the proxy.
            kubeconfig=write_kubeconfig(
                self.directory / "parts.kubeconfig", self.name, self.direct_url, authority.ca_file,
                admin.name, admin.token,
            ),
        )  # fmt: skip
        binaries, ports, files, tuning = self.binaries, self.ports, self.files, self._tuning
        commands = {
            "etcd": kube_flags.etcd(binaries, ports, files),
            "kube-apiserver": kube_flags.apiserver(binaries, ports, files, tuning),
            "kube-controller-manager": kube_flags.controller_manager(binaries, ports, files, tuning),
            "kube-scheduler": kube_flags.scheduler(binaries, ports, files, tuning),
        }
        self._servers = {name: Server(f"{self.name}/{name}", words, self.log(name)) for name, words in commands.items()}


class ControlPlane(ControlPlaneServers):
    """``async with ControlPlane("north") as plane: ...``

    The waiting is done in threads, so it works in any event loop and blocks none.
    Fixtures and commands without a loop use the ``..._blocking`` methods.
    """

    async def start(self, timeout_s: float = 120.0) -> None:
        await asyncio.to_thread(self.start_blocking, timeout_s)

    async def stop(self) -> None:
        await asyncio.to_thread(self.stop_blocking)

    async def stop_apiserver(self) -> None:
        await asyncio.to_thread(self.stop_apiserver_blocking)

    async def start_apiserver(self, timeout_s: float = 120.0) -> None:
        await asyncio.to_thread(self.start_apiserver_blocking, timeout_s)

    async def ready(self) -> bool:
        return await asyncio.to_thread(self.is_ready)

    async def wait_ready(self, timeout_s: float = 120.0) -> None:
        await asyncio.to_thread(self.wait_ready_blocking, timeout_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
