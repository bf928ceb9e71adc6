"""A provider for the small API server in process, and how tests wait for what it sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings
from federator.model.intent import Observation, ObservedIntent
from federator.ports import ClusterUnreachable
from tests.clusters.kubernetes.fake_api import FakeApi

QUICK = KubernetesSettings(namespace="work", timeout_s=5.0, qps=0)


@asynccontextmanager
async def opened(api: FakeApi, directory: Path, token: str = "good", **more: Any) -> AsyncIterator[KubernetesProvider]:
    settings = replace(QUICK, kubeconfig=api.kubeconfig(directory, token), **more)
    provider = KubernetesProvider("cern", settings, clock=SystemClock(), random=Random(7), federation="fed")
    try:
        await provider.open()
        yield provider
    finally:
        await provider.close()


async def until(provider: KubernetesProvider, holds: Callable[[Observation], bool]) -> Observation:
    async with asyncio.timeout(8):
        while True:
            seen = await provider.observe()
            if holds(seen):
                return seen
            await provider.changed()


async def intent(provider: KubernetesProvider, name: str) -> ObservedIntent | None:
    return (await provider.observe()).intents.get(name)


def forget(provider: KubernetesProvider) -> None:
    """As if neither an answer nor a watch had told of anything."""
    provider._cache.intents.clear()
    for table in provider._cache._objects.values():
        table.rows.clear()


async def unreachable(provider: KubernetesProvider) -> str:
    async with asyncio.timeout(8):
        while True:
            try:
                await provider.observe()
            except ClusterUnreachable as error:
                return str(error)
            await asyncio.sleep(0.05)


async def back(provider: KubernetesProvider) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await provider.observe()
            except ClusterUnreachable:
                await asyncio.sleep(0.05)
            else:
                return
