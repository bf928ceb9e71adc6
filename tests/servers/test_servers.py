"""The servers are what they claim to be. Without this, every other real test could lie."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import urllib.error
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from tests.patience import PATIENCE_S
from tests.servers.control_plane import ControlPlane
from tests.servers.fixtures import Cluster, KubernetesPair
from tests.servers.kube_http import KubeHttp
from tests.servers.kubeconfigs import PlainClient
from tests.servers.postgres import Postgres
from tests.servers.proxy import Faults

pytestmark = pytest.mark.real
Json = dict[str, Any]


def job(name: str, *, parallelism: int = 1, cpu: str = "1", index: str | None = None, **notes: str) -> Json:
    """A Job whose pods do as the notes say; ``runs_for="2s"`` becomes ``fake.kubelet/runs-for``."""
    container = {
        "name": "main",
        "image": "none",
        "resources": {"requests": {"cpu": cpu}},
        "env": [] if index is None else [{"name": "FEDERATOR_REPLICA_INDEX", "value": index}],
    }
    annotations = {f"fake.kubelet/{key.replace('_', '-')}": value for key, value in notes.items()}
    template = {
        "metadata": {"annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    spec = {"parallelism": parallelism, "completions": parallelism, "backoffLimit": 0, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


class Desk:
    """A namespace of one's own in a cluster, and the few calls these tests make."""

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.plane.client
        self.namespace = cluster.plane.new_namespace("test")
        self.kubelet = cluster.kubelet

    def submit(self, body: Json) -> None:
        self.client.call("POST", f"/apis/batch/v1/namespaces/{self.namespace}/jobs", body)

    def status(self, name: str) -> Json:
        found = self.client.call("GET", f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}")
        status: Json = found["status"]
        return status

    def pods(self) -> list[Json]:
        found: list[Json] = self.client.call("GET", f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return found

    def state(self) -> Json:
        """The state of the only pod's only container."""
        statuses = self.pods()[0]["status"].get("containerStatuses") or [{"state": {}}]
        state: Json = statuses[0]["state"]
        return state

    def runs(self) -> list[Any]:
        return [run for run in self.kubelet.runs if run.namespace == self.namespace]


def eventually(holds: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def desk(kubernetes_pair: KubernetesPair) -> Desk:
    return Desk(kubernetes_pair.cern)


def test_a_wide_job_runs_to_its_end_and_every_pod_runs_once(desk: Desk) -> None:
    """The real scheduler binds four pods, the fake kubelet runs each once, the real controller counts them."""
    desk.submit(job("wide", parallelism=4, index="7"))
    eventually(lambda: desk.status("wide").get("succeeded") == 4, "four pods succeeded")

    runs = desk.runs()
    assert len(runs) == len({run.uid for run in runs}) == 4
    assert {(run.job, run.replica_index, run.exit_code) for run in runs} == {("wide", "7", 0)}
    assert all(run.ended_at - run.started_at >= 1.0 for run in runs)
    assert {run.node for run in runs} <= {"cern-0", "cern-1", "cern-2"}


def test_no_node_runs_more_than_it_has(desk: Desk) -> None:
    """Twelve pods of three cpus for three nodes of eight: six run, six wait, and the peak says so."""
    desk.submit(job("crowd", parallelism=12, cpu="3", runs_for="5s"))
    eventually(lambda: len(desk.runs()) == 6, "six pods running")
    time.sleep(0.5)
    assert len(desk.runs()) == 6, "more were started than fit"
    eventually(lambda: desk.status("crowd").get("succeeded") == 12, "all twelve done")
    assert max(desk.kubelet.kubelet.peak_cpu.values()) <= 8.0
    assert max(desk.kubelet.kubelet.peak_cpu.values()) >= 6.0


@pytest.mark.parametrize(
    ("note", "value", "exit_code", "reason"),
    [("exit-code", "3", 3, "Error"), ("oom", "true", 137, "OOMKilled")],
    ids=["exit code", "out of memory"],
)
def test_a_pod_fails_as_its_annotation_says(desk: Desk, note: str, value: str, exit_code: int, reason: str) -> None:
    body = job("bad", runs_for="200ms")
    body["spec"]["template"]["metadata"]["annotations"][f"fake.kubelet/{note}"] = value
    desk.submit(body)
    eventually(lambda: desk.status("bad").get("failed") == 1, "the job failed")
    ended = desk.state()["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (exit_code, reason)


def test_a_pod_without_its_image_waits_and_never_runs(desk: Desk) -> None:
    desk.submit(job("stuck", waiting="ImagePullBackOff"))
    eventually(lambda: desk.pods() and "waiting" in desk.state(), "a waiting reason")
    assert desk.state()["waiting"]["reason"] == "ImagePullBackOff"
    assert desk.pods()[0]["status"]["phase"] == "Pending"
    assert desk.runs() == []


def test_a_deleted_pod_stops_and_goes_away(desk: Desk) -> None:
    desk.submit(job("long", runs_for="5m", stops_after="500ms"))
    eventually(lambda: [run for run in desk.runs() if run.ended_at is None], "it runs")
    asked = time.time()
    path = f"/apis/batch/v1/namespaces/{desk.namespace}/jobs/long"
    desk.client.call("DELETE", path, {"propagationPolicy": "Background"})
    eventually(lambda: not desk.pods(), "its pod is gone")
    (run,) = desk.runs()
    assert run.exit_code is None
    assert run.ended_at - asked >= 0.5, "it stopped sooner than it said it would"


def test_logs_come_through_the_apiserver_and_can_be_followed(desk: Desk) -> None:
    desk.submit(job("talker", index="5", runs_for="8s"))
    eventually(lambda: desk.pods() and "running" in desk.state(), "it runs")
    pod = desk.pods()[0]
    node = pod["spec"]["nodeName"]
    path = f"/api/v1/namespaces/{desk.namespace}/pods/{pod['metadata']['name']}/log"
    assert desk.client.text("GET", path).startswith(f"replica 5 on node {node}\n")

    followed = desk.client.text("GET", f"{path}?follow=true&tailLines=1")
    lines = followed.splitlines()
    assert len(lines) >= 5, "following showed no more than was there"
    assert lines[-1] == f"replica 5 on node {node}: line 40"
    assert desk.client.text("GET", path).splitlines()[-len(lines) :] == lines


def test_a_pod_that_may_restart_is_started_again_in_its_place(desk: Desk) -> None:
    body = job("stubborn", runs_for="200ms", exit_code="1")
    body["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    body["spec"]["backoffLimit"] = 6
    desk.submit(body)
    eventually(lambda: len(desk.runs()) >= 2, "a second start")
    assert {run.uid for run in desk.runs()} == {desk.pods()[0]["metadata"]["uid"]}
    assert [run.restart for run in desk.runs()][:2] == [0, 1]


async def test_an_outage_ends_with_the_data_still_there(kubernetes_pair: KubernetesPair) -> None:
    """While the apiserver is away its pods go on, and what they did is told when it is back."""
    plane = kubernetes_pair.gpu.plane
    desk = await asyncio.to_thread(Desk, kubernetes_pair.gpu)
    desk.submit(job("before", runs_for="2s"))
    eventually(desk.runs, "it runs")
    url = plane.url

    await plane.stop_apiserver()
    assert desk.client.says("/readyz") is None
    (run,) = desk.runs()
    await asyncio.to_thread(eventually, lambda: run.ended_at is not None, "it ends though nobody can be told")
    assert run.exit_code == 0, "the outage stopped a pod that knew nothing of it"

    await plane.start_apiserver()
    assert plane.url == url
    eventually(lambda: desk.status("before").get("succeeded") == 1, "the job is counted after the outage")
    assert len(desk.runs()) == 1


def test_a_frozen_apiserver_says_nothing_until_it_thaws(kubernetes_pair: KubernetesPair) -> None:
    plane = kubernetes_pair.gpu.plane
    hasty = PlainClient(plane.direct_url, plane.ca_file, plane.token, timeout_s=1.0)
    plane.freeze()
    try:
        assert hasty.says("/readyz") is None
    finally:
        plane.thaw()
    eventually(plane.answers, "it answers again")


def test_only_those_with_rights_are_let_in(kubernetes_pair: KubernetesPair) -> None:
    plane = kubernetes_pair.cern.plane
    for token, expected in ((plane.users["stranger"].token, 403), ("nonsense", 401)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            PlainClient(plane.url, plane.ca_file, token).call("GET", "/api/v1/namespaces/default/pods")
        assert caught.value.code == expected
    assert kubernetes_pair.gpu.plane.url != plane.url
    assert plane.kubeconfig.read_text() != plane.kubeconfig_for("stranger").read_text()


def test_a_dropped_node_takes_its_pods_along_and_may_come_back(kubernetes_pair: KubernetesPair) -> None:
    desk = Desk(kubernetes_pair.gpu)
    desk.submit(job("doomed", runs_for="5m"))
    eventually(lambda: desk.pods() and "running" in desk.state(), "it runs")
    (run,) = desk.runs()
    desk.kubelet.drop(run.node)
    assert run.ended_at is not None
    assert "running" in desk.state(), "the apiserver cannot know yet"
    desk.kubelet.revive(run.node)
    eventually(lambda: desk.status("doomed").get("failed") == 1, "the node reported the loss")
    assert len(desk.runs()) == 1, "a pod that must not restart was started again"


async def test_the_proxy_is_late_errs_and_hangs_up_on_request(kubernetes_pair: KubernetesPair) -> None:
    plane = kubernetes_pair.cern.plane
    namespace = await asyncio.to_thread(plane.new_namespace, "proxy")
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    proxy = await asyncio.to_thread(plane.new_proxy, slow_watch_s=1.5)
    await asyncio.to_thread(proxy.start)
    direct, through = (KubeHttp(url, plane.ca_file, plane.token) for url in (plane.direct_url, proxy.url))
    try:
        version = (await through.call("GET", maps))["metadata"]["resourceVersion"]
        asked = time.monotonic()
        await direct.call("POST", maps, {"metadata": {"name": "seen-late"}})
        async for event in through.watch(maps, {}, version):
            assert event["object"]["metadata"]["name"] == "seen-late"
            break
        assert time.monotonic() - asked >= 1.4

        # The write is done though its reply is lost: the worst case for whoever must not write twice.
        proxy.faults = Faults(lost_reply_rate=1.0, methods=frozenset({"POST"}))
        name = f"lost-{uuid.uuid4().hex[:6]}"
        with pytest.raises(aiohttp.ClientError):
            await through.call("POST", maps, {"metadata": {"name": name}})
        assert proxy.replies_lost == 1
        assert (await through.call("GET", f"{maps}/{name}"))["metadata"]["name"] == name

        proxy.faults = Faults(error_rate=0.5)
        answers = [await _status(through, maps) for _ in range(40)]
        assert {200, 429, 500} == set(answers)
        assert proxy.errors_given == 40 - answers.count(200)

        proxy.faults = Faults()
        proxy.refuse()
        with pytest.raises(aiohttp.ClientConnectorError):
            await through.call("GET", maps)
        proxy.accept()
        assert await _status(through, maps) == 200
    finally:
        await direct.close()
        await through.close()
        await asyncio.to_thread(proxy.stop)


async def _status(client: KubeHttp, path: str) -> int:
    async with client._session.get(client._url + path) as answer:
        return answer.status


async def test_postgres_answers_and_keeps_its_data_through_an_outage(
    postgres_server: Postgres, postgres_url: str
) -> None:
    address = postgres_url.replace("+asyncpg", "")
    connection = await asyncpg.connect(address)
    await connection.execute("create table kept (a int); insert into kept values (42)")
    await asyncio.to_thread(postgres_server.halt)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("select a from kept")
    await asyncio.to_thread(postgres_server.resume)
    connection = await asyncpg.connect(address)
    assert await connection.fetchval("select a from kept") == 42
    await connection.close()


def test_each_test_gets_an_empty_database(postgres_url: str, postgres_server: Postgres) -> None:
    assert postgres_url != postgres_server.create_database()


def test_nothing_is_left_when_the_test_run_is_killed() -> None:
    """A program starts a server and is killed with no chance to clean up; the server ends all the same."""
    program = """
import time
from tests.servers.processes import Server, temporary_directory
directory = temporary_directory("killed")
server = Server("sleep", ["sleep", "300"], directory / "log")
server.start()
print(server.pid, directory, flush=True)
time.sleep(300)
"""
    root = Path(__file__).parents[2]
    victim = subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    pid, directory = victim.stdout.readline().split()
    assert Path(f"/proc/{pid}").exists()
    victim.kill()
    victim.wait()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the server ended too")
    eventually(lambda: not Path(directory).exists(), "its directory is gone")


def test_a_missing_server_is_named_and_not_skipped(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(RuntimeError, match="lacks kube-apiserver, etcd, kube-controller-manager, kube-scheduler"):
        ControlPlane("none")
