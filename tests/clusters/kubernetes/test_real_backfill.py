"""Backfill gives way at a real API server: its own scheduler ends it, whoever's work it is that needs the room."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from federator.clusters.kubernetes import KubernetesProvider, names
from federator.model.intent import PREEMPTED, ObservedIntent
from federator.model.resources import Resources
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import call, intent_until, leave, opened, until
from tests.patience import PATIENCE_S
from tests.servers.control_plane import ControlPlane
from tests.servers.kubelet import KubeletThread
from tests.servers.runs import Run

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]
CORES = 24
WHOLE_NODE = Resources.of({"cpu": 8000})
GRACE_S = 4.0
SAVES = {"FAKE_KUBELET_RUNS_FOR": "1h", "FAKE_KUBELET_STOPS_AFTER": "1s", "FAKE_KUBELET_STOPS_WITH": "0"}
BY_ITSELF = ("Deleted", PREEMPTED)
"""Servers before 1.26 say no more than that the pod was deleted."""


def filler(name: str, replicas: int) -> Any:
    order = orders.batch(name, replicas, Resources.of({"cpu": 1000}), backfill=True, grace_s=GRACE_S)
    assert order.container is not None
    order.container.env.update(SAVES)
    return order


@pytest.fixture
async def full(plane: ControlPlane) -> AsyncIterator[KubernetesProvider]:
    """Every core runs backfill."""
    async with opened(plane) as provider:
        await provider.submit(filler("fill-1", CORES))
        await intent_until(provider, "fill-1", lambda seen: len(seen.running) == CORES)
        yield provider
        await leave(provider, "fill-1")


async def test_a_full_cluster_shows_itself_free_and_starts_work_as_soon_as_backfill_has_saved(
    full: KubernetesProvider, plane: ControlPlane, kubelet: KubeletThread
) -> None:
    seen = await full.observe()
    assert "backfill" in seen.abilities
    assert max(group.free["cpu"] for flavor in seen.flavors or () for group in flavor.nodes) == 8000
    began_s = time.time()
    await full.submit(orders.job("work-1", 1, WHOLE_NODE, notes={"fake.kubelet/runs-for": "1h"}))
    await intent_until(full, "work-1", lambda seen: bool(seen.running))
    (run,) = runs_of(kubelet, "work-1")
    took_s = run.started_at - began_s
    assert 1.0 <= took_s < GRACE_S + 10.0, "backfill takes a second to save what it has"

    found = await intent_until(full, "fill-1", given_way(8))
    assert not found.succeeded, "they ended well, and have not done their work"
    assert {failure.reason for failure in found.failed} <= set(BY_ITSELF)
    assert not any(failure.own_fault for failure in found.failed)
    await leave(full, "work-1")


async def test_work_that_comes_by_another_door_displaces_backfill_while_the_federator_is_dead(
    plane: ControlPlane, kubelet: KubeletThread
) -> None:
    """An ordinary pod of somebody else, without any class; nobody of ours watches."""
    async with opened(plane) as provider:
        await provider.submit(filler("fill-2", CORES))
        await intent_until(provider, "fill-2", lambda seen: len(seen.running) == CORES)
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}
    theirs = {"metadata": {"name": "theirs"}, "spec": {"containers": [container]}}
    await call(plane, "POST", "/api/v1/namespaces/default/pods", {"apiVersion": "v1", "kind": "Pod", **theirs})
    async with asyncio.timeout(PATIENCE_S):
        while not [run for run in kubelet.runs if run.pod == "theirs"]:
            await asyncio.sleep(0.1)
    async with opened(plane) as provider:
        seen = await until(provider, lambda seen: seen.foreign["cpu"] >= 2000)
        found = await intent_until(provider, "fill-2", given_way(2))
        assert seen.foreign["cpu"] >= 2000
        assert not found.succeeded, "nobody saw how they ended, and they saved only what they had"
        assert {(failure.reason, failure.own_fault) for failure in found.failed} <= {("PodLost", False)}
        await call(plane, "DELETE", "/api/v1/namespaces/default/pods/theirs")
        await leave(provider, "fill-2")


async def test_backfill_never_displaces_anything(full: KubernetesProvider, kubelet: KubeletThread) -> None:
    await full.submit(filler("fill-3", 1))
    await intent_until(full, "fill-3", lambda seen: any(note.reason == "Unschedulable" for note in seen.notes))
    assert len((await full.observe()).intents["fill-1"].running) == CORES
    assert not runs_of(kubelet, "fill-3")
    await leave(full, "fill-3")


def given_way(count: int) -> Callable[[ObservedIntent], bool]:
    """So many of the filler do not run any more: they ended, or wait anew where a Job of 1.20 had not counted them."""
    return lambda seen: len(seen.running) == CORES - count and len(seen.failed) + len(seen.pending) == count


def runs_of(kubelet: KubeletThread, intent: str) -> list[Run]:
    return [run for run in kubelet.runs if run.labels.get(names.INTENT) == intent]
