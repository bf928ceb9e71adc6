"""The whole provider against a small API server in process: what it asks, what it believes, what it survives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings, names
from federator.model.indexset import IndexSet
from federator.model.intent import Observation, ObservedIntent
from federator.ports import ClusterUnreachable, NoLogs, OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.fake_api import FakeApi, Trouble
from tests.clusters.kubernetes.shapes import containers, node, pod

QUICK = KubernetesSettings(namespace="work", timeout_s=5.0, qps=0)


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi() as found:
        await found.put("nodes", node("a"))
        await found.put("nodes", node("b"))
        yield found


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
    assert api.all("priorityclasses")[0]["preemptionPolicy"] == "Never"
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


async def test_it_goes_without_a_priority_class_where_it_may_not_make_one_and_says_so_once(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.troubles.append(Trouble("POST", "/priorityclasses", 403, "cannot create", times=9))
    with caplog.at_level(logging.WARNING):
        async with opened(api, tmp_path) as provider:
            await provider.submit(orders.batch("w1", 1))
            await provider.submit(orders.batch("w2", 1))
    assert "priorityClassName" not in api.all("jobs")[0]["spec"]["template"]["spec"]
    assert len([r for r in caplog.records if "PriorityClass" in r.getMessage()]) == 1


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


async def test_a_list_of_many_pages_is_read_to_its_end(api: FakeApi, tmp_path: Path) -> None:
    api.page = 3
    for number in range(20):
        await api.put("pods", pod(f"p{number}", node="a", phase="Running", cpu="100m"))
    async with opened(api, tmp_path) as provider:
        assert (await provider.observe()).foreign["cpu"] == 2000


async def test_a_watch_that_is_cut_goes_on_where_it_was(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await api.put("pods", pod("one", node="a", phase="Running"))
        await until(provider, lambda seen: seen.foreign["cpu"] == 1000)
        listed = api.requests.count(("GET", "/api/v1/pods"))
        await api.cut()
        await api.put("pods", pod("two", node="a", phase="Running"))
        await until(provider, lambda seen: seen.foreign["cpu"] == 2000)
        again = [query for query in api.requests if query == ("GET", "/api/v1/pods")]
        assert len(again) == listed + 1, "it listed everything again instead of going on"


async def test_a_version_that_is_too_old_is_answered_by_a_new_list(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await api.put("pods", pod("one", node="a", phase="Running"))
        await api.put("pods", pod("two", node="a", phase="Running"))
        await until(provider, lambda seen: seen.foreign["cpu"] == 2000)
        await api.refuse()
        await api.remove("pods", "one")
        api.history.clear()
        api.oldest = api.version + 1
        api.version += 1
        await api.listen()
        await until(provider, lambda seen: seen.foreign["cpu"] == 1000)


async def test_a_server_that_refuses_connections_is_unreachable_and_then_is_back(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path, timeout_s=1.0) as provider:
        await api.refuse()
        message = await unreachable(provider)
        assert "cannot be reached" in message or "broke off" in message
        assert str(api.port) in message
        with pytest.raises(ClusterUnreachable):
            await provider.submit(orders.batch("w1", 1))
        await api.listen()
        await api.put("pods", pod("new", node="a", phase="Running"))
        await back(provider)
        await until(provider, lambda seen: seen.foreign["cpu"] == 1000)


async def test_a_server_that_accepts_and_never_answers_is_noticed(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path, timeout_s=1.0) as provider:
        api.hanging.set()
        assert "no answer within" in await unreachable(provider)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ClusterUnreachable, match="no answer within"):
            await provider.submit(orders.batch("w1", 1))
        assert asyncio.get_running_loop().time() - began < 3
        api.hanging.clear()
        await back(provider)


async def test_a_token_that_is_renewed_in_its_file_is_taken_up(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        provider._client._loaded_s = 0.0
        api.token = "renewed"
        with pytest.raises(ClusterUnreachable, match="401") as caught:
            await provider.submit(orders.batch("w1", 1))
        assert "good" not in str(caught.value)
        api.kubeconfig(tmp_path, "renewed")
        provider._client._loaded_s = 0.0
        await provider.submit(orders.batch("w1", 1))
    assert len(api.all("jobs")) == 1


async def test_a_kubeconfig_that_is_put_there_later_is_found(api: FakeApi, tmp_path: Path) -> None:
    settings = replace(QUICK, kubeconfig=str(tmp_path / "kubeconfig"))
    provider = KubernetesProvider("cern", settings, clock=SystemClock(), random=Random(7), federation="fed")
    with pytest.raises(ClusterUnreachable, match="is not there"):
        await provider.open()
    with pytest.raises(ClusterUnreachable, match="is not there"):
        await provider.observe()
    api.kubeconfig(tmp_path)
    await provider.submit(orders.batch("w1", 1))
    await back(provider)
    await provider.close()


@pytest.mark.parametrize("what", ["nodes", "pods", "jobs"])
async def test_what_it_may_not_see_is_named_with_the_cure(api: FakeApi, tmp_path: Path, what: str) -> None:
    api.troubles.append(Trouble("GET", f"/{what}", 403, f'{what} is forbidden: User "u" cannot list', times=99))
    with pytest.raises(ClusterUnreachable, match=r"docs/kubernetes\.md") as caught:
        async with opened(api, tmp_path):
            pass
    assert what in str(caught.value)


async def test_where_it_may_see_jobs_in_its_own_namespace_only_it_looks_there(api: FakeApi, tmp_path: Path) -> None:
    api.troubles.append(Trouble("GET", "/apis/batch/v1/jobs", 403, "cannot list", times=99))
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
        assert await intent(provider, "w1") is not None
        await provider.cancel("w1")
        await provider.cancel("unknown")


async def test_a_replica_without_a_running_container_has_no_logs(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
        with pytest.raises(NoLogs, match="no pod"):
            _ = [piece async for piece in provider.logs("w1", 0)]
        status = containers("waiting", reason="ImagePullBackOff", message="no such image")
        await api.put("pods", pod("x", intent="w1", index=0, node="a", status=status))
        await until(provider, lambda seen: bool(seen.intents["w1"].notes))
        with pytest.raises(NoLogs, match="no such image"):
            _ = [piece async for piece in provider.logs("w1", 0)]


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
