"""Users' own kinds at a real server: a CustomResourceDefinition that nobody but the test acts for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from federator.clusters.kubernetes import names
from federator.model.intent import WHOLE
from federator.model.workload import Role
from federator.ports import OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import call, intent_until, opened, until
from tests.patience import PATIENCE_S
from tests.servers.control_plane import ControlPlane
from tests.servers.kubelet import KubeletThread

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]
GROUP, VERSION = "farms.example.org", "v1"
COLLECTION = f"/apis/{GROUP}/{VERSION}/namespaces/work/farms"


def definition() -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "Farm", "plural": "farms", "singular": "farm", "listKind": "FarmList"},
        "versions": [version],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"farms.{GROUP}"},
        "spec": spec,
    }


def farm() -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    parts = {"head": {"template": template}, "workers": {"template": template, "replicas": 3}}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Farm", "metadata": {"name": "mine"}, "spec": parts}


async def test_a_user_s_own_kind_runs_is_found_again_ends_and_leaves_nothing(
    plane: ControlPlane, kubelet: KubeletThread
) -> None:
    """The test plays the operator: it makes a pod from the template, and writes the status."""
    roles = (Role("head", 1, orders.CORE), Role("workers", 3, orders.CORE))
    order = orders.batch("farm-1", 4, manifest=farm(), roles=roles)
    order = replace(order, intent=replace(order.intent, role=WHOLE))
    async with opened(plane) as provider:
        with pytest.raises(OrderRefused) as caught:
            await provider.submit(order)
        assert (caught.value.reason, caught.value.permanent) == ("NotFound", True)

        await call(plane, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition())
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await provider.submit(order)
                    break
                except OrderRefused:  # the server needs a moment to serve it
                    await asyncio.sleep(0.5)
        await provider.submit(order)
        seen = (await provider.observe()).intents["farm-1"]
        assert (str(seen.pending), seen.bound) == ("0-3", 0)
        assert f"kind:{GROUP}/{VERSION}/Farm" in (await provider.observe()).abilities

        made = await call(plane, "GET", f"{COLLECTION}/farm-1")
        template = made["spec"]["workers"]["template"]
        assert template["metadata"]["labels"][names.INTENT] == "farm-1"
        assert made["spec"]["workers"]["replicas"] == 3
        owner = {"apiVersion": made["apiVersion"], "kind": "Farm", "name": "farm-1", "uid": made["metadata"]["uid"]}
        metadata = {"name": "farm-1-0", "ownerReferences": [owner], "annotations": {"fake.kubelet/runs-for": "1h"}}
        pod = {**template, "metadata": {**template["metadata"], **metadata}}
        await call(plane, "POST", "/api/v1/namespaces/work/pods", pod)
        await intent_until(provider, "farm-1", lambda seen: len(seen.running) == 1 and seen.bound == 1)

    async with opened(plane) as provider:
        await intent_until(provider, "farm-1", lambda seen: len(seen.running) == 1)
        done = {"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}}
        await call(plane, "PATCH", f"{COLLECTION}/farm-1", done)
        seen = await intent_until(provider, "farm-1", lambda seen: bool(seen.succeeded))
        assert str(seen.succeeded) == "0-3"
        await provider.cancel("farm-1", grace_s=0.0)
        await until(provider, lambda seen: "farm-1" not in seen.intents)
        assert (await call(plane, "GET", COLLECTION))["items"] == []
