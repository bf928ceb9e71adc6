"""Native manifests and what a cluster does to pods, through the daemon, at a real API server."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, batch, kubernetes, until
from tests.servers.fixtures import Cluster, KubernetesPair
from tests.servers.runs import Run

pytestmark = pytest.mark.real

IMAGE = "example.org/payload:1"
REQUESTS = {"requests": {"cpu": "500m", "memory": "64Mi"}}


class Site:
    """One namespace of one cluster, past the federator, as its owner with kubectl has it."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def path(self, kind: str, name: str = "") -> str:
        """Where objects of a kind are."""
        group = {"jobs": "/apis/batch/v1", "deployments": "/apis/apps/v1", "replicasets": "/apis/apps/v1"}
        return f"{group.get(kind, '/api/v1')}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def items(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return list(self.cluster.plane.client.call("GET", self.path(kind))["items"])

    def left(self) -> list[str]:
        """Whatever of ours is still there."""
        kinds = ("jobs", "deployments", "replicasets", "pods")
        return [f"{kind}/{item['metadata']['name']}" for kind in kinds for item in self.items(kind)]

    def until_empty(self) -> None:
        """Wait until nothing of ours is left."""
        until(lambda: not self.left(), "nothing to be left", lambda: str(self.left()))

    def runs(self) -> list[Run]:
        """What truly ran here."""
        return [run for run in list(self.cluster.kubelet.runs) if run.namespace == self.namespace]

    def completed(self) -> Counter[str]:
        """How often each replica index ran to a good end."""
        return Counter(run.replica for run in self.runs() if run.exit_code == 0)


@pytest.fixture
def site(kubernetes_pair: KubernetesPair) -> Site:
    """A namespace at CERN."""
    return Site(kubernetes_pair.cern, kubernetes_pair.cern.plane.new_namespace("manifests"))


@pytest.fixture
def federation(federator: Federator, site: Site) -> Federator:
    """A daemon over that one cluster."""
    federator.write([kubernetes("cern", site.cluster.plane.kubeconfig, site.namespace)])
    federator.start()
    return federator


def job(name: str, pod: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A batch/v1 Job as a user has it."""
    template = {"metadata": {"annotations": annotations or {}}, "spec": {"restartPolicy": "Never", **pod}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"federator.dev/queue": "atlas"}},
        "spec": {"template": template, **spec},
    }


def container(**more: Any) -> dict[str, Any]:
    """A container of half a core."""
    return {"name": "main", "image": IMAGE, "command": ["payload"], "resources": REQUESTS, **more}


def deployment(name: str, replicas: int, image: str = IMAGE) -> dict[str, Any]:
    """An apps/v1 Deployment as a user has it."""
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container(image=image)]}},
        },
    }


def told(federator: Federator, name: str, kind: str) -> list[dict[str, Any]]:
    """Entries of a kind in a workload's history."""
    return [entry for entry in federator.items(f"workloads/{name}/history") if entry["kind"] == kind]


def test_a_job_keeps_its_volumes_its_secret_and_its_node_selector(federation: Federator, site: Site) -> None:
    site.cluster.plane.client.call(
        "POST", site.path("secrets"), {"metadata": {"name": "robot"}, "stringData": {"password": "x"}}
    )
    pod = {
        "nodeSelector": {"federator.test/site": "cern"},
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "robot", "secret": {"secretName": "robot", "defaultMode": 256}},
        ],
        "containers": [
            container(
                volumeMounts=[
                    {"name": "scratch", "mountPath": "/scratch"},
                    {"name": "robot", "mountPath": "/robot", "readOnly": True},
                ],
                envFrom=[{"secretRef": {"name": "robot"}}],
            )
        ],
    }
    federation.submit(job("merge", pod, completions=3, parallelism=3))
    merged = federation.wait_for("merge", lambda w: w["state"] == "finished")
    assert merged["queue"] == "atlas"
    assert merged["finished"] == 3
    assert site.completed() == {"0": 1, "1": 1, "2": 1}
    pods = site.items("pods")
    assert len(pods) == 3, "ended pods stay a while, for their logs"
    for one in pods:
        spec = one["spec"]
        assert spec["nodeSelector"] == {"federator.test/site": "cern"}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        assert volumes["scratch"]["emptyDir"] == {}
        assert volumes["robot"]["secret"] == {"secretName": "robot", "defaultMode": 256}
        mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
        assert mounts["robot"]["readOnly"] is True
        assert spec["containers"][0]["envFrom"] == [{"secretRef": {"name": "robot"}}]
        assert spec["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "64Mi"}
    nowhere = {"nodeSelector": {"federator.test/site": "mars"}, "containers": [container()]}
    federation.submit(job("nowhere", nowhere))
    federation.wait_for("nowhere", lambda w: w["state"] == "waiting" and w["message"])
    assert "mars" in federation.cli("explain", "nowhere"), "it says which label no node has"
    assert len(site.items("jobs")) == 3, "what no node can hold is not sent"


def test_a_deployment_is_scaled_and_rolled_when_its_manifest_changes(federation: Federator, site: Site) -> None:
    federation.submit(deployment("hub", 2))
    federation.wait_for("hub", lambda w: w["running"] == 2)
    first = {pod["metadata"]["uid"] for pod in site.items("pods")}
    assert len(first) == 2

    path = federation.write_file("hub.yaml", [deployment("hub", 4)])
    assert "changed" in federation.cli("apply", "-f", str(path))
    federation.wait_for("hub", lambda w: w["running"] == 4)
    pods = {pod["metadata"]["uid"] for pod in site.items("pods")}
    assert len(pods) == 4
    assert first < pods, "more replicas are no reason to restart those that run"
    assert len(site.items("deployments")) == 1

    path = federation.write_file("hub.yaml", [deployment("hub", 3, image="example.org/payload:2")])
    assert "changed" in federation.cli("apply", "-f", str(path))

    def rolled() -> bool:
        running = [pod for pod in site.items("pods") if pod["status"].get("phase") == "Running"]
        images = [pod["spec"]["containers"][0]["image"] for pod in running]
        return images == ["example.org/payload:2"] * 3

    until(rolled, "three replicas of the new image, none of the old", federation.tail)
    federation.wait_for("hub", lambda w: w["running"] == 3 and w["replicas"] == 3)
    assert "unchanged" in federation.cli("apply", "-f", str(path))
    federation.cli("delete", "workload", "hub")
    site.until_empty()
    until(lambda: federation.workload("hub") is None, "the hub to be gone")


def test_an_image_that_cannot_be_pulled_is_told_by_explain_and_cancelling_it_leaves_nothing(
    federation: Federator, site: Site
) -> None:
    waiting = [{"name": "FAKE_KUBELET_WAITING", "value": "ImagePullBackOff"}]
    federation.submit(job("typo", {"containers": [container(env=waiting)]}))
    until(lambda: "ImagePullBackOff" in federation.cli("explain", "typo"), "explain to say why",
          lambda: federation.cli("explain", "typo"))  # fmt: skip
    shown = federation.workload("typo")
    assert shown["state"] == "dispatched"
    assert shown["pending"] == 1
    federation.cli("cancel", "typo")
    federation.wait_for("typo", lambda w: w["state"] == "cancelled")
    site.until_empty()


def test_a_kill_for_memory_and_exit_codes_reach_the_history(federation: Federator) -> None:
    federation.submit(
        batch("greedy", 1, ["payload"], retries=0, container={"env": {"FAKE_KUBELET_OOM": "true"}}),
        batch("broken", 2, ["payload"], retries=1, container={"env": {"FAKE_KUBELET_EXIT_CODE": "3"}}),
    )
    greedy = federation.wait_for("greedy", lambda w: w["state"] == "failed")
    assert "OOMKilled" in greedy["message"]
    (killed,) = told(federation, "greedy", "failed")[:1]
    assert killed["details"]["reason"] == "OOMKilled"
    assert killed["details"]["exit_code"] == 137
    broken = federation.wait_for("broken", lambda w: w["state"] == "failed", 90)
    assert "3" in broken["message"]
    failures = [entry for entry in told(federation, "broken", "failed") if "exit_code" in entry["details"]]
    assert {entry["details"]["exit_code"] for entry in failures} == {3}
    by_index = Counter(entry["details"]["index"] for entry in failures)
    assert max(by_index.values()) == 2, "one retry, then it has failed"
    done = federation.try_cli("wait", "broken", "--timeout", "60s")
    assert done.returncode == 1
    assert "failed" in done.stderr


def test_a_pod_that_somebody_deletes_runs_again_at_no_cost_and_counts_once(federation: Federator, site: Site) -> None:
    """With no retries at all: a pod is deleted, then a whole Job; both replicas run again and all complete once."""
    federation.submit(batch("victim", 3, ["payload"], retries=0, container={"env": {"FAKE_KUBELET_RUNS_FOR": "15s"}}))
    federation.wait_for("victim", lambda w: w["running"] == 3)
    client = site.cluster.plane.client
    pods = {run.replica: run for run in site.runs()}
    client.call("DELETE", site.path("pods", pods["1"].pod) + "?gracePeriodSeconds=0")
    job_of_second = pods["2"].job
    assert job_of_second is not None
    client.call("DELETE", site.path("jobs", job_of_second) + "?propagationPolicy=Background")
    done = federation.wait_for("victim", lambda w: w["state"] in ("finished", "failed"), 90)
    assert done["state"] == "finished", done["message"]
    assert done["finished"] == 3
    assert site.completed() == {"0": 1, "1": 1, "2": 1}
    started = Counter(run.replica for run in site.runs())
    assert started["1"] == 2
    assert started["2"] == 2
    assert started["0"] == 1
    assert done["failed"] == 0, "what others did is no failure of the workload"
    assert not told(federation, "victim", "duplicate")


def test_cancelling_leaves_no_job_no_deployment_and_no_pod(federation: Federator, site: Site) -> None:
    """The pods need a while to stop; nothing of them starts again meanwhile."""
    env = {"FAKE_KUBELET_RUNS_FOR": "1h", "FAKE_KUBELET_STOPS_AFTER": "1s"}
    federation.submit(
        batch("long", 5, ["payload"], container={"env": env}),
        job("native", {"containers": [container()]}, {"fake.kubelet/runs-for": "1h"}, completions=3),
        deployment("web", 2),
    )
    for name, count in {"long": 5, "native": 3, "web": 2}.items():
        federation.wait_for(name, lambda w, n=count: w["running"] == n)
    federation.cli("cancel", "long", "native", "web")
    for name in ("long", "native", "web"):
        federation.wait_for(name, lambda w: w["state"] == "cancelled")
    site.until_empty()
    assert [run.pod for run in site.runs() if run.ended_at is None] == []
    runs = [f"{run.pod} {run.started_at:.1f} to {run.ended_at or 0.0:.1f}" for run in site.runs()]
    assert len(runs) == 10, f"something started again while it was being cancelled: {sorted(runs)}"
    assert not federation.items("placements")
    assert {w["name"] for w in federation.items("workloads")} == {"long", "native", "web"}, "they stay listed"
