"""Orders, services and removals against a small API server in process."""

from __future__ import annotations

from pathlib import Path

import pytest

from federator.clusters.kubernetes import names
from federator.model.indexset import IndexSet
from federator.ports import OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.fake_api import FakeApi, Trouble
from tests.clusters.kubernetes.fake_member import forget, intent, opened, until
from tests.clusters.kubernetes.shapes import node, pod


@pytest.mark.parametrize("modern", [False, True], ids=["1.20", "1.33"])
async def test_it_tells_what_the_cluster_is_and_has(api: FakeApi, tmp_path: Path, modern: bool) -> None:
    api.modern = modern
    async with opened(api, tmp_path) as provider:
        seen = await provider.observe()
    assert seen.version == ("Kubernetes v1.33.1" if modern else "Kubernetes v1.20.2")
    assert {"container", "service", "manifest", "kind:kubeflow.org/v2beta1/MPIJob", "kind:/v1/Pod"} <= seen.abilities
    assert "process" not in seen.abilities
    assert seen.flavors is not None
    assert seen.flavors[0].count == 2


@pytest.mark.parametrize("modern", [False, True], ids=["1.20", "1.33"])
async def test_an_order_shows_at_once_and_sending_it_twice_makes_it_once(
    api: FakeApi, tmp_path: Path, modern: bool
) -> None:
    api.modern = modern
    order = orders.batch("w1", 3)
    async with opened(api, tmp_path) as provider:
        await provider.submit(order)
        seen = await intent(provider, "w1")
        assert seen is not None
        assert (str(seen.pending), seen.bound) == ("0-2", 0)
        await provider.submit(order)
    assert len(api.all("jobs")) == (1 if modern else 3)
    assert api.all("namespaces")[0]["metadata"]["name"] == "work"

    async with opened(api, tmp_path) as after_a_restart:
        await after_a_restart.submit(order)
    assert len(api.all("jobs")) == (1 if modern else 3)


async def test_a_lost_answer_makes_no_second_copy(api: FakeApi, tmp_path: Path) -> None:
    """The Job is there, but neither the answer nor the watch has told us."""
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
        forget(provider)
        await provider.submit(orders.batch("w1", 1))
    assert len(api.all("jobs")) == 1


async def test_somebody_else_s_job_of_the_same_name_is_left_alone(api: FakeApi, tmp_path: Path) -> None:
    theirs = {"metadata": {"name": "w1", "namespace": "work", "labels": {}}, "spec": {}}
    await api.put("jobs", theirs)
    async with opened(api, tmp_path) as provider:
        with pytest.raises(OrderRefused, match="not this intent's") as caught:
            await provider.submit(orders.batch("w1", 1))
    assert caught.value.permanent


@pytest.mark.parametrize("apply", [True, False], ids=["server-side apply", "without"])
async def test_a_service_is_scaled_without_touching_its_template(api: FakeApi, tmp_path: Path, apply: bool) -> None:
    api.apply = apply
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.service("s1", 2))
        before = api.objects["deployments"]["work", "s1"]["spec"]["template"]
        await api.put("nodes", node("c", cpu="16", labels={"new": "label"}))
        await provider.submit(orders.service("s1", 5, spec_hash="h2"))
        after = api.objects["deployments"]["work", "s1"]
        assert (after["spec"]["replicas"], after["spec"]["template"]) == (5, before)
        seen = await intent(provider, "s1")
        assert seen is not None
        assert (seen.replicas, seen.spec_hash, str(seen.pending)) == (5, "h2", "0-4")

        changed = orders.deployment("s1", 5, image="web:2", spec_hash="h3")
        await provider.submit(changed)
        rolled = api.objects["deployments"]["work", "s1"]["spec"]["template"]["spec"]["containers"][0]
        assert rolled["image"] == "web:2"


async def test_cancelling_removes_every_object_and_is_content_when_there_is_none(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 9))
        await provider.submit(orders.service("s1", 2))
        for name in ("w1", "s1", "w1", "never-seen"):
            await provider.cancel(name)
        await until(provider, lambda seen: not seen.intents)
    assert api.all("jobs") == api.all("deployments") == []
    assert ("DELETE", "/apis/batch/v1/namespaces/work/jobs") in api.requests


async def test_cancelling_finds_what_no_watch_has_told_of(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 2))
        forget(provider)
        await provider.cancel("w1")
    assert api.all("jobs") == []


async def test_an_object_stays_leaving_while_its_pods_stop(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
        await api.put("pods", pod("x", intent="w1", index=0, node="a", phase="Running"))
        await until(provider, lambda seen: bool(seen.intents["w1"].running))
        await provider.cancel("w1", grace_s=30.0)
        seen = await until(provider, lambda seen: seen.intents["w1"].leaving)
        assert str(seen.intents["w1"].running) == "0"
        await api.remove("pods", "x")
        await until(provider, lambda seen: not seen.intents)


async def test_a_pod_is_hurried_once_the_cluster_itself_has_asked_it_to_go(api: FakeApi, tmp_path: Path) -> None:
    """Sooner its owner's controller, which may not have heard of the removal yet, would put another in its place."""
    path = "/api/v1/namespaces/work/pods/x"
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
        await api.put("pods", pod("x", intent="w1", index=0, node="a", phase="Running"))
        await until(provider, lambda seen: bool(seen.intents["w1"].running))
        await provider.cancel("w1", grace_s=5.0)
        await until(provider, lambda seen: seen.intents["w1"].leaving)
        await provider._removal.tend()
        assert ("DELETE", path) not in api.requests
        going = pod("x", intent="w1", index=0, node="a", phase="Running", deleted="2026-01-01T00:00:30Z")
        await api.put("pods", going)
        await until(provider, lambda seen: not seen.intents)
    assert api.requests.count(("DELETE", path)) == 1


async def test_some_replicas_of_an_indexed_job_leave_for_good(api: FakeApi, tmp_path: Path) -> None:
    """One has a pod, which goes; the other's pod is made later by its Job, and goes as well."""
    api.modern = True
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 4))

        def place(index: int) -> dict[str, str]:
            return {names.COMPLETION_INDEX: str(index), names.INDICES: "0-3"}

        await api.put("pods", pod("p1", intent="w1", annotations=place(1), node="a", phase="Running"))
        await until(provider, lambda seen: bool(seen.intents["w1"].running))
        await provider.cancel("w1", 5.0, IndexSet.span(1, 3))
        seen = await until(provider, lambda seen: not seen.intents["w1"].running)
        assert str(seen.intents["w1"].pending) == "0,3"
        assert not seen.intents["w1"].leaving
        await api.put("pods", pod("p2", intent="w1", annotations=place(2), node="a"))
        await until(provider, lambda seen: str(seen.intents["w1"].pending) == "0,3" and not api.all("pods"))
    assert api.objects["jobs"]["work", "w1"]["metadata"]["annotations"][names.WITHDRAWN] == "1-2"


async def test_some_replicas_with_jobs_of_their_own_leave_with_them(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 4))
        await provider.cancel("w1", 5.0, IndexSet.span(1, 3))
        seen = await until(provider, lambda seen: str(seen.intents["w1"].pending) == "0,3")
        assert not seen.intents["w1"].leaving
    assert sorted(job["metadata"]["name"] for job in api.all("jobs")) == ["w1-0", "w1-3"]


async def test_objects_of_a_user_s_own_kind_are_found_again_after_a_restart(api: FakeApi, tmp_path: Path) -> None:
    manifest = {"apiVersion": "kubeflow.org/v2beta1", "kind": "MPIJob", "metadata": {}, "spec": {"replicas": 1}}
    order = orders.batch("m1", 4, manifest=manifest)
    async with opened(api, tmp_path) as provider:
        await provider.submit(order)
    async with opened(api, tmp_path) as after_a_restart:
        await until(after_a_restart, lambda seen: "m1" in seen.intents)
        await after_a_restart.cancel("m1")
    assert api.all("mpijobs") == []


async def test_batch_and_service_are_both_known_again_after_a_restart(api: FakeApi, tmp_path: Path) -> None:
    """The lists of one kind must not make the other forgotten."""
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 2))
        await provider.submit(orders.service("s1", 2))
    for _ in range(3):
        async with opened(api, tmp_path) as after_a_restart:
            seen = (await after_a_restart.observe()).intents
            assert {name: found.spec_hash for name, found in seen.items()} == {"w1": "h1", "s1": "h1"}


async def test_a_kind_that_the_cluster_has_not_is_refused_for_ever(api: FakeApi, tmp_path: Path) -> None:
    order = orders.batch("r1", 1, manifest={"apiVersion": "ray.io/v1", "kind": "RayJob", "spec": {}})
    async with opened(api, tmp_path) as provider:
        with pytest.raises(OrderRefused) as caught:
            await provider.submit(order)
    assert (caught.value.reason, caught.value.permanent) == ("NotFound", True)


async def test_too_many_requests_is_told_with_the_server_s_own_waiting_time(api: FakeApi, tmp_path: Path) -> None:
    api.troubles.append(Trouble("POST", "/jobs", 429, "slow down", retry_after="7"))
    async with opened(api, tmp_path) as provider:
        with pytest.raises(OrderRefused) as caught:
            await provider.submit(orders.batch("w1", 3))
        assert (caught.value.permanent, caught.value.retry_after_s) == (False, 7.0)
        await provider.submit(orders.batch("w1", 3))
    assert len(api.all("jobs")) == 3


async def test_one_refused_job_of_a_wave_does_not_stop_the_others(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w0", 1))
        api.troubles.append(Trouble("POST", "/jobs", 500, "etcdserver: timeout", times=2))
        with pytest.raises(OrderRefused):
            await provider.submit(orders.batch("w1", 4))
        with pytest.raises(OrderRefused):
            await provider.submit(orders.batch("w1", 4))
        await provider.submit(orders.batch("w1", 4))
    assert len(api.all("jobs")) == 5


async def test_each_queue_has_its_namespace_where_that_is_wanted(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path, namespace_per_queue=True) as provider:
        await provider.submit(orders.batch("w1", 1))
        await provider.submit(orders.batch("w2", 1, namespace="special"))
        assert set((await provider.observe()).intents) == {"w1", "w2"}
    assert set(api.objects["jobs"]) == {("atlas", "w1"), ("special", "w2")}


async def test_a_namespace_that_was_removed_is_made_again(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
        await api.remove("namespaces", "work", "")
        api.troubles.append(Trouble("POST", "/jobs", 404, 'namespaces "work" not found'))
        await provider.submit(orders.batch("w2", 1))
    assert len(api.all("jobs")) == 2
    assert len(api.all("namespaces")) == 1
