"""Two real API servers and one local cluster under one daemon: the main job, from end to end."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.e2e.federator_process import Federator, batch, kubernetes, local, named, until
from tests.e2e.test_local import RSP
from tests.servers.fixtures import Cluster, KubernetesPair

pytestmark = pytest.mark.real

POLICIES = [
    named(
        "PlacementPolicy",
        "gpu-goes-to-gpu-cluster",
        {
            "order": 10,
            "match": {"where": 'workload.requests["nvidia.com/gpu"] > 0'},
            "tiers": [{"name": "gpu", "selector": {"matchLabels": {"gpu": "true"}}}],
        },
    ),
    named(
        "PlacementPolicy",
        "fill-cern-before-cloud",
        {"order": 100, "tiers": [{"name": "cern", "clusters": ["cern"]}, {"name": "cloud", "clusters": ["exoscale"]}]},
    ),
]
SLEEP = ["sh", "-c", "sleep 1"]


@pytest.fixture
def namespace(kubernetes_pair: KubernetesPair) -> str:
    """A namespace of this name on both clusters."""
    name = f"e2e-{random.SystemRandom().randrange(16**8):08x}"
    for cluster in kubernetes_pair:
        cluster.plane.client.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    for cluster in kubernetes_pair:
        until(lambda c=cluster: _account_exists(c, name), "the namespace's service account")
    return name


def _account_exists(cluster: Cluster, namespace: str) -> bool:
    accounts = cluster.plane.client.call("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts")
    return any(item["metadata"]["name"] == "default" for item in accounts["items"])


@pytest.fixture
def federation(federator: Federator, kubernetes_pair: KubernetesPair, namespace: str) -> Federator:
    """A daemon over both clusters and a local cloud."""
    federator.write(
        [
            kubernetes("cern", kubernetes_pair.cern.plane.kubeconfig, namespace, site="on-prem"),
            kubernetes("gpu", kubernetes_pair.gpu.plane.kubeconfig, namespace, gpu="true"),
            local("exoscale", 8, site="cloud"),
            *POLICIES,
            RSP,
        ]
    )
    federator.start()
    return federator


def runs_of(cluster: Cluster, namespace: str) -> Counter[str]:
    """How often each (workload intent, replica index) ran to its end at a cluster."""
    return Counter(
        f"{run.labels.get('federator.dev/intent')}/{run.replica_index}"
        for run in cluster.kubelet.kubelet.runs
        if run.namespace == namespace and run.exit_code is not None
    )


def objects_in(cluster: Cluster, namespace: str) -> list[str]:
    """What of ours is left in a namespace."""
    left = []
    for path in (f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/apis/apps/v1/namespaces/{namespace}/deployments",
                 f"/api/v1/namespaces/{namespace}/pods"):  # fmt: skip
        left += [item["metadata"]["name"] for item in cluster.plane.client.call("GET", path)["items"]]
    return left


def test_cern_fills_before_the_cloud_and_gpu_work_goes_where_it_should(
    federation: Federator, kubernetes_pair: KubernetesPair, namespace: str
) -> None:
    """CERN has 24 cores: of 30 long replicas it takes 24 and the cloud 6. GPU work goes to the GPU cluster."""
    federation.submit(
        batch("reco", 30, ["sh", "-c", "sleep 10"], container={"env": {"FAKE_KUBELET_RUNS_FOR": "10s"}}),
        batch("training", 2, SLEEP, requests={"nvidia.com/gpu": "1"}),
    )
    reco = federation.wait_for("reco", lambda w: sum(w["placements"].values()) == 30)
    assert reco["placements"] == {"cern": 24, "exoscale": 6}
    training = federation.wait_for("training", lambda w: w["state"] == "finished")
    assert training["finished"] == 2
    assert sum(runs_of(kubernetes_pair.gpu, namespace).values()) == 2
    federation.wait_for("reco", lambda w: w["state"] == "finished", 90)
    assert sum(runs_of(kubernetes_pair.cern, namespace).values()) >= 24


def test_the_preference_of_cern_lands_six_and_three_and_a_delete_leaves_nothing(
    federation: Federator, kubernetes_pair: KubernetesPair, namespace: str
) -> None:
    federation.submit(
        batch("jupyterhub", 1, ["sh", "-c", "while true; do sleep 1; done"], cpu="500m", lifetime="service")
    )
    hub = federation.wait_for("jupyterhub", lambda w: w["running"] == 9)
    assert hub["placements"] == {"cern": 6, "exoscale": 3}
    federation.cli("delete", "workload", "jupyterhub")
    until(lambda: not objects_in(kubernetes_pair.cern, namespace), "nothing of the hub to be left",
          lambda: str(objects_in(kubernetes_pair.cern, namespace)))  # fmt: skip


def test_work_leaves_a_cluster_that_stays_away_and_the_surplus_is_removed_at_its_return(
    federation: Federator, kubernetes_pair: KubernetesPair, namespace: str
) -> None:
    """CERN's API server is stopped for longer than the grace. Its six hubs are placed elsewhere as far as the policy
    lets them, and when it is back there are nine in all, not more."""
    federation.write_file("planning.yaml", [named("Planning", "default", {"outageGrace": "5s"})])
    documents = (federation.folder / "federation.yaml").read_text()
    planning = (federation.folder / "planning.yaml").read_text()
    (federation.folder / "federation.yaml").write_text(documents + "---\n" + planning)
    federation.submit(
        batch("jupyterhub", 1, ["sh", "-c", "while true; do sleep 1; done"], cpu="500m", lifetime="service")
    )
    federation.wait_for("jupyterhub", lambda w: w["running"] == 9)
    plane = kubernetes_pair.cern.plane
    plane.stop_apiserver_blocking()
    try:
        until(lambda: federation.http("/api/v1/clusters/cern")["health"] == "lost", "CERN to be lost")
        explained = federation.cli("explain", "jupyterhub")
        assert "has not answered" in explained
        refused = federation.workload("jupyterhub")
        assert refused["placements"].get("exoscale") == 3, "the policy allows the cloud no more than three"
    finally:
        plane.start_apiserver_blocking()
    back = federation.wait_for("jupyterhub", lambda w: w["running"] == 9, 90)
    assert back["placements"] == {"cern": 6, "exoscale": 3}
    federation.cli("delete", "workload", "jupyterhub")
    until(lambda: not objects_in(kubernetes_pair.cern, namespace), "nothing of the hub to be left")


def test_a_daemon_killed_over_a_real_api_server_loses_nothing_and_runs_nothing_twice(
    federation: Federator, kubernetes_pair: KubernetesPair, namespace: str
) -> None:
    """Sixty replicas over both kinds of clusters, four kills at moments drawn by a seed."""
    seed = 7
    chance = random.Random(seed)
    for number in range(3):
        federation.submit(batch(f"crash-{number}", 20, SLEEP))
    for _ in range(4):
        time.sleep(chance.uniform(0.1, 2.5))
        federation.kill()
        federation.start()
    for number in range(3):
        done = federation.wait_for(f"crash-{number}", lambda w: w["state"] in ("finished", "failed"), 120)
        assert done["state"] == "finished", f"seed {seed}"
        assert done["finished"] == 20
    runs = runs_of(kubernetes_pair.cern, namespace)
    assert runs, "no replica ran at the API server, so this test shows nothing"
    assert set(runs.values()) == {1}, f"seed {seed}: some replica ran twice: {runs}"
    for number in range(3):
        federation.cli("delete", "workload", f"crash-{number}")
    until(lambda: not objects_in(kubernetes_pair.cern, namespace), "nothing to be left",
          lambda: str(objects_in(kubernetes_pair.cern, namespace)))  # fmt: skip
