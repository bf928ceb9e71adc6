"""A provider for the small API server in process, and how tests wait for what it sees."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings
from federator.clusters.outcomes import uncounted
from federator.model.checkpoints import plain
from federator.model.intent import Observation, ObservedIntent
from federator.ports import ClusterUnreachable
from tests.clusters.kubernetes.fake_api import FakeApi
from tests.patience import PATIENCE_S

SETTINGS = KubernetesSettings(namespace="work", timeout_s=PATIENCE_S, qps=0)
HASTE_S = 1.0


@asynccontextmanager
async def opened(api: FakeApi, directory: Path, token: str = "good", **more: Any) -> AsyncIterator[KubernetesProvider]:
    """A provider that knows the cluster; its requests may take as long as the machine needs."""
    provider = made(api.kubeconfig(directory, token), **more)
    try:
        await provider.open()
        yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def hasty(api: FakeApi, directory: Path) -> AsyncIterator[KubernetesProvider]:
    """A provider that knows the cluster and gives each request ``HASTE_S``.

    On a busy machine a first request may overrun that; the provider goes on trying, and so do we.
    """
    provider = made(api.kubeconfig(directory), timeout_s=HASTE_S)
    try:
        with contextlib.suppress(ClusterUnreachable):
            await provider.open()
        await back(provider)
        yield provider
    finally:
        await provider.close()


def made(kubeconfig: str, **more: Any) -> KubernetesProvider:
    """A provider, not opened."""
    told = {"sign": more.pop("sign", plain), "kept": more.pop("kept", uncounted)}
    settings = replace(SETTINGS, kubeconfig=kubeconfig, **more)
    return KubernetesProvider("cern", settings, clock=SystemClock(), random=Random(7), federation="fed", **told)


async def until(provider: KubernetesProvider, holds: Callable[[Observation], bool]) -> Observation:
    """The first observation that is as wished."""
    last: object = "nothing"
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    seen = await provider.observe()
                except ClusterUnreachable as error:
                    last = error
                else:
                    if holds(seen):
                        return seen
                    last = seen
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await provider.changed()
    except TimeoutError:
        raise AssertionError(f"in vain waited {PATIENCE_S:g} s; last seen: {last}") from None


async def intent(provider: KubernetesProvider, name: str) -> ObservedIntent | None:
    return (await provider.observe()).intents.get(name)


def forget(provider: KubernetesProvider) -> None:
    """As if neither an answer nor a watch had told of anything."""
    provider._cache.intents.clear()
    for table in provider._cache._objects.values():
        table.rows.clear()


async def unreachable(provider: KubernetesProvider, words: str) -> None:
    """Wait until the cluster counts as unreachable, and these words (a regular expression) say why."""
    last: object = "it is reachable"
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await provider.observe()
                except ClusterUnreachable as error:
                    if re.search(words, str(error)):
                        return
                    last = error
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"in vain waited {PATIENCE_S:g} s for {words!r}; last seen: {last}") from None


async def back(provider: KubernetesProvider) -> None:
    """Wait until the cluster is reachable."""
    await until(provider, lambda seen: True)
