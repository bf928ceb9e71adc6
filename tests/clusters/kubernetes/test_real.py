"""The provider against a real API server, scheduler and controllers; only the containers are pretended."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from federator.clusters.kubernetes import names
from federator.model.indexset import IndexSet
from federator.model.intent import Container
from federator.model.resources import Resources
from federator.ports import ClusterUnreachable, NoLogs, OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import call, intent_until, opened, until
from tests.clusters.kubernetes.relay import relayed
from tests.clusters.kubernetes.rights import grant_documented_rights
from tests.servers.control_plane import ControlPlane
from tests.servers.kubelet import KubeletThread

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]
LONG = {"fake.kubelet/runs-for": "1h"}


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
        async with asyncio.timeout(30):
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


async def test_foreign_pods_and_daemon_sets_lower_the_room_and_count_as_foreign(plane: ControlPlane) -> None:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [container]}}
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": template},
    }
    alone = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone"}, "spec": {"containers": [container]}}
    async with opened(plane) as provider:
        before = (await provider.observe()).foreign["cpu"]
        await call(plane, "POST", "/apis/apps/v1/namespaces/default/daemonsets", daemons)
        await call(plane, "POST", "/api/v1/namespaces/default/pods", alone)
        seen = await until(provider, lambda seen: seen.foreign["cpu"] == before + 2000)
        free = sum(group.free["cpu"] * group.count for flavor in seen.flavors or () for group in flavor.nodes)
        assert free == 3 * 8000 - 2000 - before
        await call(plane, "DELETE", "/apis/apps/v1/namespaces/default/daemonsets/agent")
        await call(plane, "DELETE", "/api/v1/namespaces/default/pods/alone")
        await until(provider, lambda seen: seen.foreign["cpu"] == before)


async def test_another_federation_s_work_is_foreign(plane: ControlPlane) -> None:
    async with opened(plane) as provider, opened(plane, federation="others") as other:
        await other.submit(orders.job("theirs-1", 2, notes=LONG))
        await intent_until(other, "theirs-1", lambda seen: seen.bound == 2)
        seen = await until(provider, lambda seen: seen.foreign["cpu"] >= 2000)
        assert "theirs-1" not in seen.intents
        await leave(other, "theirs-1")


async def test_a_quota_limits_and_what_it_refuses_may_be_tried_again(plane: ControlPlane) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight"},
        "spec": {"hard": {"requests.cpu": "2", "count/jobs.batch": "3"}},
    }
    async with opened(plane, namespace="quota") as provider:
        await provider.submit(orders.job("quota-1", 1, notes=LONG))
        await intent_until(provider, "quota-1", lambda seen: bool(seen.running))
        assert (await provider.observe()).limits is None
        await call(plane, "POST", "/api/v1/namespaces/quota/resourcequotas", quota)
        seen = await until(provider, lambda seen: seen.limits is not None and seen.limits["cpu"] == 1000)
        assert seen.limits == Resources.of({"cpu": 1000})

        await provider.submit(orders.batch("quota-2", 1, Resources.of({"cpu": 4000})))
        waiting = await intent_until(provider, "quota-2", lambda seen: bool(seen.notes))
        assert "exceeded quota" in waiting.notes[0].message
        await provider.submit(orders.job("quota-3", 1, notes=LONG))
        with pytest.raises(OrderRefused) as caught:
            await provider.submit(orders.batch("quota-4", 1))
        assert (caught.value.reason, caught.value.permanent) == ("QuotaExceeded", False)
        await leave(provider, "quota-1", "quota-2", "quota-3")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (
            orders.batch("never-1", 1, container=Container("not a valid image ref\n", ("x",), env={"1 bad": "x"})),
            "Invalid",
        ),
        (
            orders.batch("never-2", 1, manifest={"apiVersion": "kubeflow.org/v1", "kind": "MPIJob", "spec": {}}),
            "NotFound",
        ),
    ],
    ids=["invalid", "no such kind"],
)
async def test_what_the_server_will_never_take_is_refused_for_ever(
    plane: ControlPlane, order: Any, reason: str
) -> None:
    async with opened(plane) as provider:
        with pytest.raises(OrderRefused) as caught:
            await provider.submit(order)
        assert (caught.value.reason, caught.value.permanent) == (reason, True)
        assert order.intent.id not in (await provider.observe()).intents


async def test_a_stranger_is_told_what_is_missing(plane: ControlPlane) -> None:
    with pytest.raises(ClusterUnreachable, match="forbidden to list and watch") as caught:
        async with opened(plane, kubeconfig=plane.kubeconfig_for("stranger")):
            pass
    assert "docs/kubernetes.md" in str(caught.value)


async def test_a_wrong_token_is_told_without_showing_it(plane: ControlPlane) -> None:
    with pytest.raises(ClusterUnreachable, match="401") as caught:
        async with opened(plane, kubeconfig=plane.kubeconfig_for("x", "wrong-token")):
            pass
    assert "wrong-token" not in str(caught.value)


async def test_a_server_that_the_kubeconfig_s_authority_did_not_sign_is_not_trusted(
    plane: ControlPlane, tmp_path: Path
) -> None:
    config = json.loads(plane.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with pytest.raises(ClusterUnreachable, match="certificate"):
        async with opened(plane, kubeconfig=path):
            pass


async def test_the_rights_in_the_documentation_are_enough(plane: ControlPlane) -> None:
    """The YAML in docs/kubernetes.md, applied as it stands, and nothing else."""
    await grant_documented_rights(plane)
    settings = {"kubeconfig": plane.kubeconfig_for("federator"), "namespace": "federator"}
    async with opened(plane, **settings) as provider:
        await provider.submit(orders.batch("rights-1", 5))
        await provider.submit(orders.deployment("rights-2", 1))
        await intent_until(provider, "rights-1", lambda seen: len(seen.succeeded) == 5)
        await intent_until(provider, "rights-2", lambda seen: bool(seen.running))
        assert b"".join([piece async for piece in provider.logs("rights-1", 0)])
        await provider.submit(orders.deployment("rights-2", 2, spec_hash="h2"))
        await intent_until(provider, "rights-2", lambda seen: len(seen.running) == 2)
        await leave(provider, "rights-1", "rights-2")
        assert await left(plane, "rights-1") + await left(plane, "rights-2") == []


async def test_logs_come_whole_by_tail_and_while_they_are_written(plane: ControlPlane) -> None:
    async with opened(plane) as provider:
        await provider.submit(orders.job("logs-1", 2, notes={"fake.kubelet/runs-for": "3s"}))
        await intent_until(provider, "logs-1", lambda seen: len(seen.running) == 2)
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


async def test_cut_connections_lose_nothing(plane: ControlPlane) -> None:
    async with relayed(plane.url) as relay, opened(plane, url=relay.url) as provider:
        await provider.submit(orders.batch("cut-1", 12))
        for _ in range(4):
            relay.cut()
            await asyncio.sleep(0.7)
        seen = await intent_until(provider, "cut-1", lambda seen: len(seen.succeeded) == 12)
        assert not seen.failed
        assert relay.cuts >= 4, "no connection was cut, so this shows nothing"
        await leave(provider, "cut-1")


async def test_a_stopped_server_is_unreachable_and_its_work_is_known_again_when_it_returns(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has started anew knows no old versions: what was watched has to be listed again."""
    caplog.set_level(logging.INFO)
    async with opened(plane, timeout_s=3.0) as provider:
        await provider.submit(orders.job("out-1", 3, notes={"fake.kubelet/runs-for": "4s"}))
        await intent_until(provider, "out-1", lambda seen: len(seen.running) == 3)
        await plane.stop_apiserver()
        try:
            await unreachable(provider)
            with pytest.raises(ClusterUnreachable):
                await provider.submit(orders.batch("out-2", 1))
        finally:
            await plane.start_apiserver()
        await back(provider)
        await intent_until(provider, "out-1", lambda seen: len(seen.succeeded) == 3)
        assert "too old; listing again" in caplog.text
        await leave(provider, "out-1")


async def test_a_frozen_server_is_noticed_and_every_call_ends_in_time(plane: ControlPlane) -> None:
    async with opened(plane, timeout_s=2.0) as provider:
        plane.freeze()
        try:
            began = asyncio.get_running_loop().time()
            with pytest.raises(ClusterUnreachable, match="no answer within 2 s"):
                await provider.submit(orders.batch("ice-1", 1))
            assert asyncio.get_running_loop().time() - began < 4
            await unreachable(provider)
        finally:
            plane.thaw()
        await back(provider)
        await provider.submit(orders.batch("ice-1", 1))
        await intent_until(provider, "ice-1", lambda seen: bool(seen.succeeded))
        await leave(provider, "ice-1")


async def test_a_node_that_goes_away_takes_its_room_with_it(plane: ControlPlane) -> None:
    def count(seen: Any) -> int:
        return sum(flavor.count for flavor in seen.flavors or ())

    async with opened(plane) as provider:
        before = count(await provider.observe())
        await call(plane, "PATCH", "/api/v1/nodes/n-1", {"spec": {"unschedulable": True}})
        await until(provider, lambda seen: count(seen) == before - 1)
        await call(plane, "PATCH", "/api/v1/nodes/n-1", {"spec": {"unschedulable": None}})
        await until(provider, lambda seen: count(seen) == before)


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
