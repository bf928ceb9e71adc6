"""What the tests against real servers share: waiting for something, and a provider for a control plane."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings, names
from federator.model.intent import Observation, ObservedIntent, Order
from federator.ports import ClusterUnreachable
from tests.patience import PATIENCE_S
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
    quick: dict[str, Any] = {"kubeconfig": str(path), "namespace": "work", "timeout_s": PATIENCE_S, "qps": 0}
    chosen = KubernetesSettings(**{**quick, **settings})
    provider = KubernetesProvider("cern", chosen, clock=SystemClock(), random=Random(7), federation=federation)
    try:
        await provider.open()
        yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def hasty(plane: ControlPlane, timeout_s: float) -> AsyncIterator[KubernetesProvider]:
    """The same with a short deadline for each request; on a busy machine it may know the cluster at a later try."""
    settings = KubernetesSettings(kubeconfig=str(plane.kubeconfig), namespace="work", timeout_s=timeout_s, qps=0)
    provider = KubernetesProvider("cern", settings, clock=SystemClock(), random=Random(7), federation=FEDERATION)
    try:
        with contextlib.suppress(ClusterUnreachable):
            await provider.open()
        await back(provider)
        yield provider
    finally:
        await provider.close()


async def sent(provider: KubernetesProvider, order: Order) -> None:
    """Submit until it is taken, as the daemon does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await provider.submit(order)
            except ClusterUnreachable:
                await asyncio.sleep(0.2)


async def until(
    provider: KubernetesProvider, holds: Callable[[Observation], bool], timeout_s: float = PATIENCE_S
) -> Observation:
    """Wait until an observation is as wanted; says what it was last when it never is."""
    last: object = "nothing"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    seen = await provider.observe()
                except ClusterUnreachable as error:
                    last = error
                else:
                    if holds(seen):
                        return seen
                    last = seen.intents, seen.flavors
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await provider.changed()
    except TimeoutError:
        raise AssertionError(f"not within {timeout_s:g} s; last seen: {last}") from None


async def intent_until(
    provider: KubernetesProvider, name: str, holds: Callable[[ObservedIntent], bool], timeout_s: float = PATIENCE_S
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
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await provider.observe()
            except ClusterUnreachable:
                return
            await asyncio.sleep(0.1)


async def back(provider: Any) -> None:
    await until(provider, lambda seen: True)
