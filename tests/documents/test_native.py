"""Native manifests: what they ask for is read as the cluster itself would read it."""

from __future__ import annotations

from typing import Any

import pytest

from federator.documents import DocumentErrors, read_objects, to_snapshot, workload_spec
from federator.model.resources import Resources
from federator.model.selectors import Requirement, Toleration
from federator.model.workload import Gang, Lifetime

Raw = dict[str, Any]


def container(**resources: Raw) -> Raw:
    return {"name": "c", "image": "busybox", "resources": resources}


def job(pod: Raw | None = None, labels: Raw | None = None, **spec: Any) -> Raw:
    pod = pod or {"containers": [container(requests={"cpu": "1"})]}
    metadata: Raw = {"name": "j", **({"labels": labels} if labels else {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {**spec, "template": {"spec": pod}}}


def requests(pod: Raw) -> Resources:
    return workload_spec(job(pod)).workload.roles[0].requests


def test_a_pod_asks_for_the_sum_of_its_containers_or_the_most_of_an_init_container() -> None:
    pod = {
        "containers": [container(requests={"cpu": "500m", "memory": "1Gi"}), container(requests={"cpu": 1})],
        "initContainers": [container(requests={"cpu": "1", "memory": "4Gi"})],
        "overhead": {"cpu": "250m"},
    }
    assert requests(pod) == Resources.of({"cpu": 1750, "memory": 4 * 2**30})


def test_a_limit_counts_where_the_request_is_missing() -> None:
    pod = {"containers": [container(requests={"cpu": "1"}, limits={"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": 1})]}
    assert requests(pod) == Resources.of({"cpu": 1000, "memory": 2**30, "nvidia.com/gpu": 1})
    zero = {"containers": [container(requests={"cpu": "0"}, limits={"cpu": "2"})]}
    assert requests(zero) == Resources()


def test_a_sidecar_runs_on_beside_what_comes_after_it() -> None:
    sidecar = {**container(requests={"cpu": "1"}), "restartPolicy": "Always"}
    pod = {
        "containers": [container(requests={"cpu": "1"})],
        "initContainers": [sidecar, container(requests={"cpu": 3})],
    }
    assert requests(pod) == Resources.of({"cpu": 4000})


def test_requests_of_the_pod_as_a_whole_count_instead() -> None:
    pod = {"containers": [container(requests={"cpu": "1"})], "resources": {"requests": {"cpu": "3"}}}
    assert requests(pod) == Resources.of({"cpu": 3000})


@pytest.mark.parametrize(
    ("spec", "replicas", "parallelism"),
    [
        ({}, 1, None),
        ({"parallelism": 4}, 4, None),
        ({"completions": 6}, 6, None),
        ({"completions": 6, "parallelism": 2}, 6, 2),
        ({"completions": 6, "parallelism": 6}, 6, None),
        ({"completions": 2, "parallelism": 9}, 2, None),
    ],
)
def test_the_replicas_of_a_job_are_its_completions(spec: Raw, replicas: int, parallelism: int | None) -> None:
    workload = workload_spec(job(**spec)).workload
    assert (workload.replicas, workload.parallelism) == (replicas, parallelism)
    assert workload.lifetime is Lifetime.BATCH
    wanted = to_snapshot(read_objects([job(**spec)])).workloads[0]
    assert wanted.replicas == min(replicas, parallelism or replicas)


def test_labels_name_the_queue_and_the_priority_and_the_manifest_passes_through() -> None:
    raw = job(labels={"federator.dev/queue": "atlas", "federator.dev/priority": "7"}, backoffLimit=5)
    spec = workload_spec(raw)
    assert (spec.workload.queue, spec.workload.priority, spec.workload.retries) == ("atlas", 7, 5)
    assert spec.workload.needs == {"manifest"}
    assert spec.manifest == raw
    assert spec.runnable


def test_nodes_that_the_pod_may_use_limit_the_flavors() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = {
        "containers": [container()],
        "nodeSelector": {"gpu": "v100", "kubernetes.io/os": "linux"},
        "affinity": {"nodeAffinity": affinity},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
    role = workload_spec(job(pod)).workload.roles[0]
    assert role.flavors.selector.requirements == (
        Requirement("gpu", "In", ("v100",)),
        Requirement("zone", "NotIn", ("a",)),
    )
    assert role.tolerations == (Toleration("gpu", "Exists"),)


@pytest.mark.parametrize(("kind", "needs"), [("Deployment", set()), ("StatefulSet", {"kind:apps/v1/StatefulSet"})])
def test_a_deployment_is_a_service(kind: str, needs: set[str]) -> None:
    raw = {**job(replicas=3), "apiVersion": "apps/v1", "kind": kind}
    workload = workload_spec(raw).workload
    assert (workload.replicas, workload.lifetime) == (3, Lifetime.SERVICE)
    assert workload.needs == {"manifest", "service"} | needs


@pytest.mark.parametrize("version", ["kubeflow.org/v1", "kubeflow.org/v2beta1"])
def test_an_mpi_job_has_a_launcher_and_workers_in_one_cluster(version: str) -> None:
    def template(cpu: str) -> Raw:
        return {"template": {"spec": {"containers": [container(limits={"cpu": cpu})]}}}

    specs = {"Launcher": template("1"), "Worker": {"replicas": 4, **template("8")}}
    raw = {
        "apiVersion": version,
        "kind": "MPIJob",
        "metadata": {"name": "mpi"},
        "spec": {"mpiReplicaSpecs": specs},
    }
    workload = workload_spec(raw).workload
    assert [(role.name, role.replicas, role.requests["cpu"]) for role in workload.roles] == [
        ("launcher", 1, 1000),
        ("worker", 4, 8000),
    ]
    assert workload.gang == Gang("cluster")
    assert workload.needs == {"manifest", f"kind:{version}/MPIJob"}


def test_any_other_kind_is_read_by_its_annotations() -> None:
    annotations = {"federator.dev/replicas-path": "spec.x.replicas", "federator.dev/requests": "cpu=1,memory=2Gi"}
    raw = {
        "apiVersion": "sparkoperator.k8s.io/v1beta2",
        "kind": "SparkApplication",
        "metadata": {"name": "s", "annotations": {**annotations, "federator.dev/duration": "2h"}},
        "spec": {"x": {"replicas": 5}},
    }
    workload = workload_spec(raw).workload
    assert (workload.replicas, workload.duration_s) == (5, 7200)
    assert workload.roles[0].requests == Resources.of({"cpu": 1000, "memory": 2 * 2**30})
    del raw["metadata"]["annotations"]  # type: ignore[attr-defined]
    with pytest.raises(DocumentErrors, match=r"federator\.dev/requests: cpu=1"):
        read_objects([raw])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (job({"containers": [container(requests={"cpu": "x"})]}), r"containers\[0\].resources.requests.cpu"),
        (job({"containers": "x"}), "must be a list"),
        (job({"containers": [1]}), "must be a mapping"),
        (job({"containers": [container()], "nodeSelector": {"a": 1}}), "in quotes: '1'"),
        (job(completions=-1), "spec.completions"),
        (job(labels={"federator.dev/priority": "high"}), "not a whole number"),
        (job(labels={"a": 1}), "metadata.labels.a"),
        ({**job(), "metadata": {}}, "metadata.name: is missing"),
        ({**job(), "spec": []}, "spec: must be a mapping"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_told_with_its_field(raw: Raw, message: str) -> None:
    with pytest.raises(DocumentErrors, match=message):
        read_objects([raw])
    with pytest.raises(DocumentErrors, match=message):
        workload_spec(raw)


def test_a_workload_takes_from_its_template_what_it_does_not_say() -> None:
    spec: Raw = {"queue": "ml", "template": job(completions=6)}
    raw = {
        "apiVersion": "federator.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": "w", "labels": {"a": "b"}},
        "spec": spec,
    }
    found = workload_spec(raw)
    assert (found.workload.name, found.workload.replicas, found.workload.queue) == ("w", 6, "ml")
    assert found.workload.roles[0].requests["cpu"] == 1000
    assert found.manifest == spec["template"]
    said = workload_spec({**raw, "spec": {**spec, "replicas": 2, "requests": {"cpu": 3}}})
    assert (said.workload.replicas, said.workload.roles[0].requests["cpu"]) == (2, 3000)
