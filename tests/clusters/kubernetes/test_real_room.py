"""Room, foreign use, quotas and refusals at a real server."""

from __future__ import annotations

from typing import Any

import pytest

from federator.model.intent import Container
from federator.model.resources import Resources
from federator.ports import OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import call, intent_until, leave, opened, until
from tests.servers.control_plane import ControlPlane

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]
LONG = {"fake.kubelet/runs-for": "1h"}


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


async def test_a_node_that_goes_away_takes_its_room_with_it(plane: ControlPlane) -> None:
    def count(seen: Any) -> int:
        return sum(flavor.count for flavor in seen.flavors or ())

    async with opened(plane) as provider:
        before = count(await provider.observe())
        await call(plane, "PATCH", "/api/v1/nodes/n-1", {"spec": {"unschedulable": True}})
        await until(provider, lambda seen: count(seen) == before - 1)
        await call(plane, "PATCH", "/api/v1/nodes/n-1", {"spec": {"unschedulable": None}})
        await until(provider, lambda seen: count(seen) == before)
