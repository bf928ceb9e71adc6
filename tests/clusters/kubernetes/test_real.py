"""The provider against a real API server, scheduler and controllers; only the containers are pretended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from federator.clusters.kubernetes import names
from federator.model.indexset import IndexSet
from federator.model.resources import Resources
from federator.ports import NoLogs, OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import call, intent_until, leave, left, opened, until
from tests.patience import PATIENCE_S
from tests.servers.control_plane import ControlPlane
from tests.servers.kubelet import KubeletThread

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]
LONG = {"fake.kubelet/runs-for": "1h"}


async def test_a_batch_order_runs_every_replica_once_to_its_end(plane: ControlPlane, kubelet: KubeletThread) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.batch("run-1", IndexSet.parse("2-4,7")))
        await provider.submit(orders.batch("run-1", IndexSet.parse("2-4,7")))
        seen = await intent_until(provider, "run-1", lambda seen: len(seen.succeeded) == 4)

        assert str(seen.succeeded) == "2-4,7"
        assert (seen.failed, seen.bound, seen.replicas) == ((), 0, 4)
        assert seen.started_s is not None
        runs = [run for run in kubelet.runs if run.labels.get(names.INTENT) == "run-1"]
        assert sorted(run.replica for run in runs) == ["2", "3", "4", "7"]

        await leave(provider, "run-1")
        assert await left(plane, "run-1") == []


async def test_an_end_is_still_known_after_the_provider_began_anew(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.batch("again-1", 2))
        await intent_until(provider, "again-1", lambda seen: len(seen.succeeded) == 2)
    async with opened(plane) as provider:
        seen = (await provider.observe()).intents["again-1"]
        assert (str(seen.succeeded), seen.spec_hash) == ("0-1", "h1")
        await leave(provider, "again-1")


async def test_a_service_scales_without_a_roll_and_rolls_when_its_spec_changes(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.deployment("web-1", 2))
        await intent_until(provider, "web-1", lambda seen: len(seen.running) == 2)
        before = {pod["metadata"]["uid"] for pod in await pods(plane, "web-1")}

        await provider.submit(orders.deployment("web-1", 4, spec_hash="h2"))
        seen = await intent_until(provider, "web-1", lambda seen: len(seen.running) == 4)
        assert (seen.replicas, seen.spec_hash, seen.bound) == (4, "h2", 4)
        assert before <= {pod["metadata"]["uid"] for pod in await pods(plane, "web-1")}, "scaling replaced pods"

        await provider.submit(orders.deployment("web-1", 4, image="web:2", spec_hash="h3"))
        async with asyncio.timeout(PATIENCE_S):
            while {image(pod) for pod in await pods(plane, "web-1")} != {"web:2"}:
                await provider.changed()
                await provider.observe()
        await provider.submit(orders.deployment("web-1", 1, image="web:2", spec_hash="h3"))
        await intent_until(provider, "web-1", lambda seen: (seen.replicas, str(seen.running)) == (1, "0"))
        await leave(provider, "web-1")
        assert await left(plane, "web-1") == []


async def pods(plane: ControlPlane, intent: str) -> list[dict[str, Any]]:
    listed = await call(plane, "GET", f"/api/v1/pods?labelSelector={names.INTENT}%3D{intent}")
    return [pod for pod in listed["items"] if "deletionTimestamp" not in pod["metadata"]]


def image(pod: dict[str, Any]) -> str:
    found: str = pod["spec"]["containers"][0]["image"]
    return found


async def test_cancelling_what_runs_shows_it_leaving_and_leaves_nothing_behind(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("stop-1", 6, notes={**LONG, "fake.kubelet/stops-after": "1s"}))
        await intent_until(provider, "stop-1", lambda seen: len(seen.running) == 6)
        await provider.cancel("stop-1", grace_s=2.0)
        await provider.cancel("stop-1", grace_s=2.0)
        seen = await intent_until(provider, "stop-1", lambda seen: seen.leaving)
        assert seen.running, "it was gone before it could be seen to leave, so this test shows nothing"
        await until(provider, lambda seen: "stop-1" not in seen.intents)
        assert await left(plane, "stop-1") == []
        await provider.cancel("stop-1")


async def test_withdrawn_replicas_do_not_come_back_and_the_others_run_on(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("some-1", 4, notes=LONG))
        await intent_until(provider, "some-1", lambda seen: len(seen.running) == 4)
        await provider.cancel("some-1", 1.0, IndexSet.parse("1,3"))
        await intent_until(provider, "some-1", lambda seen: str(seen.running) == "0,2" and not seen.pending)
        await asyncio.sleep(2)
        seen = (await provider.observe()).intents["some-1"]
        assert (str(seen.running), str(seen.pending), seen.leaving) == ("0,2", "", False)
        await leave(provider, "some-1")


async def test_how_a_replica_failed_is_told(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("bad-1", 1, notes={"fake.kubelet/exit-code": "3"}))
        await provider.submit(orders.job("oom-1", 1, notes={"fake.kubelet/oom": "true"}))
        bad = await intent_until(provider, "bad-1", lambda seen: bool(seen.failed))
        oom = await intent_until(provider, "oom-1", lambda seen: bool(seen.failed))
        assert (bad.failed[0].reason, bad.failed[0].exit_code, bad.failed[0].own_fault) == ("Error", 3, True)
        assert (oom.failed[0].reason, oom.failed[0].exit_code) == ("OOMKilled", 137)
        assert bad.failed[0].node
        await leave(provider, "bad-1", "oom-1")


async def test_a_replica_whose_node_is_lost_was_not_at_fault(plane: ControlPlane, kubelet: KubeletThread) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("lost-1", 1, notes=LONG))
        await intent_until(provider, "lost-1", lambda seen: bool(seen.running))
        node = (await pods(plane, "lost-1"))[0]["spec"]["nodeName"]
        await asyncio.to_thread(kubelet.drop, node)
        await asyncio.to_thread(kubelet.revive, node)
        seen = await intent_until(provider, "lost-1", lambda seen: bool(seen.failed))
        assert seen.failed[0].own_fault is False
        await leave(provider, "lost-1")


async def test_what_keeps_a_replica_waiting_is_told(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("image-1", 1, notes={"fake.kubelet/waiting": "ImagePullBackOff"}))
        await provider.submit(orders.batch("huge-1", 1, Resources.of({"cpu": 64_000})))
        image_ = await intent_until(provider, "image-1", lambda seen: bool(seen.notes))
        huge = await intent_until(provider, "huge-1", lambda seen: bool(seen.notes))
        assert (image_.notes[0].reason, image_.bound) == ("ImagePullBackOff", 1)
        assert (huge.notes[0].reason, huge.bound) == ("Unschedulable", 0)
        assert "Insufficient cpu" in huge.notes[0].message
        with pytest.raises(NoLogs, match="Insufficient cpu"):
            _ = [piece async for piece in provider.logs("huge-1", 0)]
        await leave(provider, "image-1", "huge-1")


async def test_only_the_flavors_of_the_order_are_used(plane: ControlPlane, kubelet: KubeletThread) -> None:
    async with opened(plane) as provider:
        shown = (await provider.observe()).flavors or ()
        gpu = next(flavor.name for flavor in shown if "nvidia.com/gpu" in flavor.allocatable)
        assert gpu == "8cpu-2gpu"
        await provider.submit(orders.batch("gpu-1", 3, flavors=(gpu,)))
        await intent_until(provider, "gpu-1", lambda seen: len(seen.succeeded) == 3)
        nodes = {run.node for run in kubelet.runs if run.labels.get(names.INTENT) == "gpu-1"}
        assert nodes == {"g-0"}
        with pytest.raises(OrderRefused) as caught:
            await provider.submit(orders.batch("gpu-2", 1, flavors=("no-such",)))
        assert not caught.value.permanent
        await leave(provider, "gpu-1")


async def test_logs_come_whole_by_tail_and_while_they_are_written(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("logs-1", 2, notes={"fake.kubelet/runs-for": "5s"}))
        await intent_until(provider, "logs-1", lambda seen: not seen.pending)
        followed = b"".join([piece async for piece in provider.logs("logs-1", 1, follow=True)])
        seen = await intent_until(provider, "logs-1", lambda seen: 1 in seen.succeeded)
        assert seen
        whole = b"".join([piece async for piece in provider.logs("logs-1", 1)])
        assert whole == followed
        assert b"replica 1" in whole
        last = b"".join([piece async for piece in provider.logs("logs-1", 1, tail_lines=1)])
        assert whole.endswith(last)
        assert last.count(b"\n") == 1
        await leave(provider, "logs-1")
