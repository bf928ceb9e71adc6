"""Pytest fixtures for the real servers. A conftest takes the ones it wants::

    from tests.servers.fixtures import kubernetes_pair, postgres_url  # noqa: F401

They are synchronous and bound to no event loop: the servers are processes, the
fake kubelets and the proxies have threads and loops of their own. So a test may
use them from any loop, and pytest-asyncio's loop scopes do not matter. The servers
start when the first test asks for them and stop when pytest ends; several
conftests that import them share one set, each pytest-xdist worker has its own.

When a server is missing the test fails and says which; nothing is skipped.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import pytest

from tests.patience import PATIENCE_S
from tests.servers.control_plane import ControlPlane
from tests.servers.fake_node import FakeNode, fake_nodes
from tests.servers.htcondor import Pool
from tests.servers.kubelet import KubeletThread
from tests.servers.postgres import Postgres
from tests.servers.slurm import Sizes, Slurm

CPU_NODE = {"cpu": "8", "memory": "32Gi"}
GPU_NODE = {**CPU_NODE, "nvidia.com/gpu": "4"}


@dataclass(frozen=True)
class Cluster:
    """A control plane and the kubelet that leads its nodes."""

    plane: ControlPlane
    kubelet: KubeletThread

    @property
    def name(self) -> str:
        return self.plane.name

    def clear(self, timeout_s: float = PATIENCE_S) -> None:
        """Take away what a test made, at once, and wait until all of it is gone. Blocking."""
        end = time.monotonic() + timeout_s
        for namespace in self._namespaces():
            self.plane.client.call("DELETE", f"/api/v1/namespaces/{namespace}")
            self.plane.client.call("DELETE", f"/api/v1/namespaces/{namespace}/pods?gracePeriodSeconds=0")
        while left := self._namespaces():
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout_s:g} s for the end of {', '.join(left)} at {self.name}")
            time.sleep(0.1)

    def _namespaces(self) -> list[str]:
        found = self.plane.client.call("GET", "/api/v1/namespaces")["items"]
        names = [item["metadata"]["name"] for item in found]
        return [name for name in names if name != "default" and not name.startswith("kube-")]

    def stop(self) -> None:
        self.kubelet.stop()
        self.plane.stop_blocking()


class KubernetesPair(NamedTuple):
    """Three nodes of 8 cpu and 32 GiB in the one; in the other two such, with 4 GPUs each."""

    cern: Cluster
    gpu: Cluster


def start_cluster(plane: ControlPlane, nodes: Sequence[FakeNode]) -> Cluster:
    """Blocking; safe to call from several threads for several clusters."""
    plane.start_blocking()
    try:
        kubelet = KubeletThread(plane, nodes)
        kubelet.start()
    except BaseException:
        plane.stop_blocking()
        raise
    return Cluster(plane, kubelet)


def start_pair() -> KubernetesPair:
    """Both at once: two take little longer than one. If one fails the other does not stay."""
    wanted = {
        "cern": fake_nodes("cern", 3, CPU_NODE, {"federator.test/site": "cern"}),
        "gpu": fake_nodes("gpu", 2, GPU_NODE, {"federator.test/site": "gpu"}),
    }
    with ThreadPoolExecutor(len(wanted)) as pool:
        starting = [pool.submit(start_cluster, ControlPlane(name), nodes) for name, nodes in wanted.items()]
    for failed in (future for future in starting if future.exception()):
        for other in starting:
            if not other.exception():
                other.result().stop()
        failed.result()
    return KubernetesPair(*(future.result() for future in starting))


@pytest.fixture
def kubernetes_pair(request: pytest.FixtureRequest) -> Iterator[KubernetesPair]:
    """Two clusters that share nothing. Use a namespace of your own and leave both running; it is cleared away, so that
    the next test finds every core free, whichever it is."""
    pair = _the_pair(request.config)
    yield pair
    for cluster in pair:
        cluster.clear()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Postgres:
    """For tests that stop or freeze the server."""
    return _the_postgres(request.config)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> str:
    """An empty database for this test alone, as SQLAlchemy wants it (``postgresql+asyncpg://``)."""
    return postgres_server.create_database()


@pytest.fixture(scope="session")
def slurm(request: pytest.FixtureRequest) -> Slurm:
    """Twenty nodes. Use a federation of your own, end your jobs, and leave it as it was."""
    return _the_slurm(request.config)


@pytest.fixture(scope="session")
def slurm_by_quality(request: pytest.FixtureRequest) -> Slurm:
    """Four nodes, with accounting: jobs make room by their quality of service (QOS). Otherwise as ``slurm``."""
    return _the_slurm_by_quality(request.config)


@pytest.fixture(scope="session")
def htcondor_pool(request: pytest.FixtureRequest) -> Pool:
    """A pool of one machine. Mark your jobs, and leave it running."""
    return _the_pool(request.config)


@functools.cache
def _the_pair(config: pytest.Config) -> KubernetesPair:
    pair = start_pair()
    for cluster in pair:
        config.add_cleanup(cluster.stop)
    return pair


@functools.cache
def _the_postgres(config: pytest.Config) -> Postgres:
    server = Postgres()
    server.start()
    config.add_cleanup(server.stop)
    return server


@functools.cache
def _the_slurm(config: pytest.Config) -> Slurm:
    server = Slurm()
    server.start()
    config.add_cleanup(server.stop)
    return server


@functools.cache
def _the_slurm_by_quality(config: pytest.Config) -> Slurm:
    server = Slurm(Sizes(cpu=3, gpu=1), by_quality=True)
    server.start()
    config.add_cleanup(server.stop)
    return server


@functools.cache
def _the_pool(config: pytest.Config) -> Pool:
    pool = Pool("pool")
    pool.start()
    config.add_cleanup(pool.stop)
    return pool
