"""KubeFed's ReplicaSchedulingPreference as a policy before all others."""

from __future__ import annotations

import pytest

from federator.documents import read_text, to_policy
from federator.model.policy import Bounds, Rebalance, Tier

RSP = """
apiVersion: {version}
kind: ReplicaSchedulingPreference
metadata: {{name: jupyterhub, namespace: hub, uid: 0f3e, resourceVersion: "7"}}
spec:
  targetKind: FederatedDeployment
  totalReplicas: 9
  clusters: {clusters}
status: {{x: 1}}
"""
CLUSTERS = "".join(
    f"---\napiVersion: federator.dev/v1alpha1\nkind: Cluster\nmetadata: {{name: {name}}}\n"
    for name in ("cern", "exoscale")
)
KUBEFED = "scheduling.kubefed.io/v1alpha1"


@pytest.mark.parametrize("version", [KUBEFED, "scheduling.federation.k8s.io/v1alpha1"])
def test_it_governs_the_workload_of_its_name_before_all_policies(version: str) -> None:
    preferences = "{CERN: {minReplicas: 2, maxReplicas: 6, weight: 100}, Exoscale: {maxReplicas: 3, weight: 20}}"
    documents = read_text(RSP.format(version=version, clusters=preferences) + CLUSTERS)
    assert not documents.warnings
    policy = to_policy(documents.policies[0])
    assert (policy.name, policy.match.workload, policy.replicas) == ("jupyterhub", "jupyterhub", 9)
    assert policy.order < -1_000_000
    assert policy.bounds == {"cern": Bounds(2, 6, 100), "exoscale": Bounds(0, 3, 20)}
    assert policy.stay.rebalance is Rebalance.NEVER
    assert policy.tiers == (Tier("all"),)


def test_no_clusters_means_all_alike() -> None:
    policy = to_policy(read_text(RSP.format(version=KUBEFED, clusters="{}")).policies[0])
    assert policy.bounds == {"*": Bounds(0, None, 1)}


def test_rebalance_moves_at_once() -> None:
    text = RSP.format(version=KUBEFED, clusters="{'*': {}}").replace(
        "totalReplicas", "rebalance: true\n  totalReplicas"
    )
    policy = to_policy(read_text(text).policies[0])
    assert (policy.stay.rebalance, policy.stay.min_stay_s) == (Rebalance.ALWAYS, 0)
    assert policy.bounds == {"*": Bounds(0, None, 0)}


def test_names_that_nothing_has_are_warnings() -> None:
    text = RSP.format(version=KUBEFED, clusters="{CERN: {weight: 1}, exoscal: {weight: 2}}") + CLUSTERS
    other = "---\napiVersion: federator.dev/v1alpha1\nkind: Workload\nmetadata: {name: jupyterhob}\n"
    warnings = [str(warning) for warning in read_text(text + other).warnings]
    assert len(warnings) == 2
    assert "no workload is called 'jupyterhub'; did you mean 'jupyterhob'?" in warnings[0]
    assert "no cluster is called 'exoscal'; did you mean 'exoscale'?" in warnings[1]
