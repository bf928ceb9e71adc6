"""What the tests against real servers share: waiting for something, and a provider for a control plane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings, names
from federator.model.intent import Observation, ObservedIntent
from federator.ports import ClusterUnreachable
from tests.servers.control_plane import ControlPlane

FEDERATION = "fed"


@asynccontextmanager
async def opened(
    plane: ControlPlane,
    *,
    kubeconfig: Path | None = None,
    url: str | None = None,
    federation: str = FEDERATION,
    **settings: Any,
) -> AsyncIterator[KubernetesProvider]:
    """A provider that watches the plane, by way of ``url`` if one is given."""
    path = kubeconfig or plane.kubeconfig_for("admin", url=url)
    quick: dict[str, Any] = {"kubeconfig": str(path), "namespace": "work", "timeout_s": 5.0, "qps": 0}
    chosen = KubernetesSettings(**{**quick, **settings})
    provider = KubernetesProvider("cern", chosen, clock=SystemClock(), random=Random(7), federation=federation)
    try:
        await provider.open()
        yield provider
    finally:
        await provider.close()


async def until(
    provider: KubernetesProvider, holds: Callable[[Observation], bool], timeout_s: float = 30.0
) -> Observation:
    """Wait until an observation is as wanted; says what it was last when it never is."""
    seen = await provider.observe()
    try:
        async with asyncio.timeout(timeout_s):
            while not holds(seen):
                await provider.changed()
                seen = await provider.observe()
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s:g} s; last seen: {seen.intents}, {seen.flavors}") from None
    return seen


async def intent_until(
    provider: KubernetesProvider, name: str, holds: Callable[[ObservedIntent], bool], timeout_s: float = 30.0
) -> ObservedIntent:
    """The same for one intent."""
    seen = await until(provider, lambda all_: name in all_.intents and holds(all_.intents[name]), timeout_s)
    return seen.intents[name]


async def call(plane: ControlPlane, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """As the admin, not through the provider."""
    return await asyncio.to_thread(plane.client.call, method, path, body)


async def leave(provider: Any, *intents: str) -> None:
    for name in intents:
        await provider.cancel(name, grace_s=1.0)
    await until(provider, lambda seen: not set(intents) & set(seen.intents))


async def left(plane: ControlPlane, intent: str) -> list[str]:
    """Everything at the cluster that carries the intent's label."""
    found = []
    for path in ("/apis/batch/v1/jobs", "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets", "/api/v1/pods"):
        listed = await call(plane, "GET", f"{path}?labelSelector={names.INTENT}%3D{intent}")
        found += [f"{path}/{item['metadata']['name']}" for item in listed["items"]]
    return found


async def unreachable(provider: Any) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await provider.observe()
            except ClusterUnreachable:
                return
            await asyncio.sleep(0.1)


async def back(provider: Any) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await provider.observe()
            except ClusterUnreachable:
                await asyncio.sleep(0.2)
            else:
                return
