"""A small API server in process; one real control plane with a fake kubelet for all real tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clusters.kubernetes.fake_api import FakeApi
from tests.clusters.kubernetes.shapes import node
from tests.servers.control_plane import ControlPlane
from tests.servers.fake_node import fake_nodes
from tests.servers.kubelet import KubeletThread


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """With two nodes."""
    async with FakeApi() as found:
        await found.put("nodes", node("a"))
        await found.put("nodes", node("b"))
        yield found


@pytest.fixture(scope="package")
def plane() -> Iterator[ControlPlane]:
    """A control plane of our own: the tests stop it, freeze it and take its nodes away."""
    plane = ControlPlane("cern")
    plane.start_blocking()
    try:
        yield plane
    finally:
        plane.stop_blocking()


@pytest.fixture(scope="package")
def kubelet(plane: ControlPlane) -> Iterator[KubeletThread]:
    """Three nodes of 8 cores; one of them has two GPUs."""
    plain = fake_nodes("n", 2, {"cpu": "8", "memory": "32Gi"})
    gpus = fake_nodes("g", 1, {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}, {"gpu": "v100"})
    kubelet = KubeletThread(plane, [*plain, *gpus], runs_for_s=1.0)
    kubelet.start()
    try:
        yield kubelet
    finally:
        kubelet.stop()
