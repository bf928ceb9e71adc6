"""Kubernetes clusters keep the contract: a real API server, scheduler and controllers, only the kubelet pretended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from federator.clock import SystemClock
from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.provider import KubernetesProvider
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.model.intent import Container
from tests.contracts.harness import Behaviour, Member
from tests.contracts.provider_contract import ProviderContract
from tests.servers.fixtures import Cluster, KubernetesPair, kubernetes_pair
from tests.servers.proxy import Proxy
from tests.servers.runs import Run

__all__ = ["kubernetes_pair"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class KubernetesMember(Member):
    """A namespace of its own in a shared cluster, reached through a proxy that can be told to refuse."""

    short_s = 1.0

    def __init__(self, cluster: Cluster, proxy: Proxy, namespace: str) -> None:
        super().__init__()
        self.cluster = cluster
        self.proxy = proxy
        self.namespace = namespace

    def make_provider(self) -> KubernetesProvider:
        kubeconfig = self.cluster.plane.kubeconfig_for("admin", url=self.proxy.url)
        settings = KubernetesSettings(kubeconfig=str(kubeconfig), namespace=self.namespace, timeout_s=10.0)
        return KubernetesProvider(
            "member", settings, clock=SystemClock(), random=Random(7), federation=f"contract-{self.namespace}"
        )

    def container(self, behaviour: Behaviour) -> Container:
        env = {"FAKE_KUBELET_EXIT_CODE": str(behaviour.exit_code)}
        env["FAKE_KUBELET_RUNS_FOR"] = f"{behaviour.runs_for_s or 3600}s"
        return Container(image="docker://example.org/none:1", command=("none",), env=env)

    def runs(self, intent_id: str) -> list[Run]:
        mine = [run for run in list(self.cluster.kubelet.runs) if run.namespace == self.namespace]
        return [run for run in mine if run.labels.get(names.INTENT) == intent_id]

    def starts(self, intent_id: str) -> list[int]:
        return [_index(run) for run in self.runs(intent_id)]

    def running(self, intent_id: str) -> list[int]:
        return [_index(run) for run in self.runs(intent_id) if run.ended_at is None]

    async def cut_off(self) -> None:
        await asyncio.to_thread(self.proxy.refuse)

    async def reconnect(self) -> None:
        await asyncio.to_thread(self.proxy.accept)

    async def clear(self) -> None:
        await super().clear()
        await self.reconnect()
        path = f"/api/v1/namespaces/{self.namespace}"
        await asyncio.to_thread(self.cluster.plane.client.call, "DELETE", path)


def _index(run: Run) -> int:
    """The replicas of a Deployment have no index."""
    return 0 if run.replica == "-" else int(run.replica)


@pytest.fixture
def proxy(kubernetes_pair: KubernetesPair) -> Proxy:
    """A way in that can be made to fail. Its thread ends with pytest: stopping it would wait for idle watches."""
    proxy = kubernetes_pair.cern.plane.new_proxy()
    proxy.start()
    return proxy


class TestKubernetes(ProviderContract):
    @pytest.fixture
    async def member(self, kubernetes_pair: KubernetesPair, proxy: Proxy) -> AsyncIterator[Member]:
        cluster = kubernetes_pair.cern
        namespace = await asyncio.to_thread(cluster.plane.new_namespace, "contract")
        member = KubernetesMember(cluster, proxy, namespace)
        yield member
        await member.clear()
