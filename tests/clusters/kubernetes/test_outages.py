"""Watches that break, servers that go silent, credentials that are bad: what is believed and what is survived."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from federator.clusters.kubernetes.connection import proxy_for
from federator.ports import ClusterUnreachable, NoLogs
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.fake_api import FakeApi, Trouble
from tests.clusters.kubernetes.fake_member import HASTE_S, back, hasty, intent, made, opened, unreachable, until
from tests.clusters.kubernetes.shapes import containers, pod
from tests.patience import PATIENCE_S


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
    async with hasty(api, tmp_path) as provider:
        await api.refuse()
        await unreachable(provider, rf":{api.port}\b.*(cannot be reached|broke off)")
        with pytest.raises(ClusterUnreachable):
            await provider.submit(orders.batch("w1", 1))
        await api.listen()
        await api.put("pods", pod("new", node="a", phase="Running"))
        await until(provider, lambda seen: seen.foreign["cpu"] == 1000)


async def test_a_server_that_accepts_and_never_answers_is_noticed(api: FakeApi, tmp_path: Path) -> None:
    async with hasty(api, tmp_path) as provider:
        api.hanging.set()
        await unreachable(provider, "no answer within")
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(ClusterUnreachable, match=f"no answer within {HASTE_S:g} s"):
                await provider.submit(orders.batch("w1", 1))
        api.hanging.clear()
        await back(provider)


async def test_a_part_of_the_server_that_is_silent_takes_only_its_own_kinds_with_it(
    api: FakeApi, tmp_path: Path
) -> None:
    """An aggregated API whose own server hangs: the cluster is used without it."""
    api.deaf = "/apis/kubeflow.org"
    async with hasty(api, tmp_path) as provider:
        seen = await until(provider, lambda seen: "container" in seen.abilities)
        assert not [kind for kind in seen.abilities if "kubeflow" in kind]


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
    provider = made(str(tmp_path / "kubeconfig"))
    with pytest.raises(ClusterUnreachable, match="is not there"):
        await provider.open()
    with pytest.raises(ClusterUnreachable, match="is not there"):
        await provider.observe()
    api.kubeconfig(tmp_path)
    await provider.submit(orders.batch("w1", 1))
    await back(provider)
    await provider.close()


async def test_passwords_that_the_user_keeps_for_others_are_left_alone(
    api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password for-others\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with opened(api, tmp_path) as provider:
        await provider.submit(orders.batch("w1", 1))
    assert len(api.all("jobs")) == 1


def test_a_proxy_is_taken_from_the_environment_where_it_names_one_for_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "inside.example.org")
    assert proxy_for("https://outside.example.org:6443") == "http://proxy.example.org:3128"
    assert proxy_for("https://inside.example.org:6443") is None
    assert proxy_for("http://outside.example.org") is None


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
