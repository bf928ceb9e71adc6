"""Lost answers and errors on the way to a real server: whatever is sent again is made once."""

from __future__ import annotations

import asyncio

import pytest

from federator.clusters.kubernetes import names
from federator.ports import ClusterUnreachable, OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import call, intent_until, opened, until
from tests.servers.control_plane import ControlPlane
from tests.servers.kubelet import KubeletThread
from tests.servers.proxy import Faults

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]


async def test_lost_answers_and_errors_make_no_second_copy(plane: ControlPlane, kubelet: KubeletThread) -> None:
    """Three of ten writes fail: some are not passed on, of others only the answer is lost."""
    proxy = plane.new_proxy(seed=3)
    proxy.start()
    async with opened(plane, url=proxy.url) as provider:
        await provider.submit(orders.batch("warm-1", 1))
        writes = frozenset({"POST", "PATCH", "DELETE"})
        proxy.faults = Faults(error_rate=0.15, lost_reply_rate=0.15, methods=writes, statuses=(429, 500, 503))
        failures = 0
        for number in range(8):
            order = orders.batch(f"loss-{number}", 4)
            while True:
                try:
                    await provider.submit(order)
                    break
                except (OrderRefused, ClusterUnreachable) as error:
                    failures += 1
                    if isinstance(error, OrderRefused) and error.permanent:
                        raise
        assert failures, "nothing went wrong, so this shows nothing"
        for number in range(8):
            await intent_until(provider, f"loss-{number}", lambda seen: len(seen.succeeded) == 4)
        mine = [run for run in kubelet.runs if run.labels.get(names.INTENT, "").startswith("loss-")]
        runs = [f"{run.labels[names.INTENT]}/{run.replica}" for run in mine]
        assert len(runs) == len(set(runs)) == 32

        for name in ["warm-1", *(f"loss-{number}" for number in range(8))]:
            while True:
                try:
                    await provider.cancel(name, grace_s=1.0)
                    break
                except ClusterUnreachable:
                    await asyncio.sleep(0.05)
        await until(provider, lambda seen: not seen.intents)
        jobs = await call(plane, "GET", f"/apis/batch/v1/namespaces/work/jobs?labelSelector={names.INTENT}")
        assert jobs["items"] == []


async def test_an_order_shows_at_once_though_the_watch_is_late(plane: ControlPlane) -> None:
    """With the watch five seconds late, what was sent is pending at once, and what was cancelled leaving."""
    proxy = plane.new_proxy(slow_watch_s=5.0)
    proxy.start()
    async with opened(plane, url=proxy.url) as provider:
        await provider.submit(orders.job("late-1", 3, notes={"fake.kubelet/runs-for": "1h"}))
        seen = (await provider.observe()).intents["late-1"]
        assert (str(seen.pending), seen.bound, seen.leaving) == ("0-2", 0, False)
        await provider.submit(orders.deployment("late-2", 1))
        await provider.submit(orders.deployment("late-2", 2, spec_hash="h2"))
        seen = (await provider.observe()).intents["late-2"]
        assert (seen.replicas, seen.spec_hash) == (2, "h2")
        await provider.cancel("late-1", grace_s=1.0)
        await provider.cancel("late-2", grace_s=1.0)
        assert (await provider.observe()).intents["late-1"].leaving
        assert (await provider.observe()).intents["late-2"].leaving
        await until(provider, lambda seen: not seen.intents)
