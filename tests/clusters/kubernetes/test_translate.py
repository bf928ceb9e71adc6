"""What becomes of an order at a Kubernetes cluster."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.quantities import pod_requests
from federator.clusters.kubernetes.templates import Facts
from federator.clusters.kubernetes.translate import manifests, template_hash
from federator.model.indexset import IndexSet
from federator.model.intent import WHOLE, Container
from federator.model.resources import Resources
from federator.model.selectors import Toleration
from federator.model.workload import Lifetime, Role
from federator.ports import OrderRefused
from tests.clusters.kubernetes import orders

OLD = Facts("fed", "work")
NEW = Facts("fed", "work", per_index=True, priority_class="federator-work")


def env_of(container: dict[str, Any], name: str = names.INDEX_VARIABLE) -> dict[str, Any] | None:
    return next((entry for entry in container.get("env", ()) if entry["name"] == name), None)


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


def test_an_old_server_gets_one_job_a_replica_that_knows_its_index() -> None:
    made = manifests(orders.batch("w1", IndexSet.parse("3-4,9")), OLD)

    assert [job["metadata"]["name"] for job in made] == ["w1-3", "w1-4", "w1-9"]
    assert [env_of(pod_of(job)["containers"][0])["value"] for job in made] == ["3", "4", "9"]  # type: ignore[index]
    assert [job["metadata"]["labels"][names.INDEX] for job in made] == ["3", "4", "9"]
    assert {job["spec"]["backoffLimit"] for job in made} == {0}
    assert {pod_of(job)["restartPolicy"] for job in made} == {"Never"}


def test_a_wave_from_zero_is_one_indexed_job_whose_failures_are_counted_by_index() -> None:
    (job,) = manifests(orders.batch("w1", 5), NEW)

    spec = job["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (5, 5, "Indexed")
    assert spec["backoffLimitPerIndex"] == 0
    assert "backoffLimit" not in spec
    source = env_of(pod_of(job)["containers"][0])
    assert source is not None
    assert source["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.annotations['{names.COMPLETION_INDEX}']"


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).filter(lambda found: max(found) >= len(found)))
def test_a_shell_works_out_the_index_of_any_wave(found: list[int]) -> None:
    """The wrapper is run by a real shell, once for each completion index."""
    indices = IndexSet.of(found)
    show = Container("busybox", ("sh", "-c", "echo $FEDERATOR_REPLICA_INDEX $0 $1", "a b"), ("c",))
    (job,) = manifests(orders.batch("w1", indices, container=show), NEW)
    container = pod_of(job)["containers"][0]

    for place in (0, len(indices) // 2, len(indices) - 1):
        words = [*container["command"], *container["args"]]
        done = subprocess.run(
            words, env={"JOB_COMPLETION_INDEX": str(place)}, capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{sorted(found)[place]} a b c\n"


@pytest.mark.parametrize(
    "container",
    [
        Container("gcr.example.org/distroless", ("/server",)),
        Container("busybox"),
        Container("busybox", ("sh", "-c", "run $(FEDERATOR_REPLICA_INDEX)")),
    ],
    ids=["no shell in sight", "the image's own command", "the index is put in by Kubernetes"],
)
def test_a_wave_that_a_shell_cannot_serve_is_one_job_a_replica(container: Container) -> None:
    made = manifests(orders.batch("w1", IndexSet.span(6, 9), container=container), NEW)
    assert [job["metadata"]["name"] for job in made] == ["w1-6", "w1-7", "w1-8"]
    assert pod_of(made[0])["containers"][0].get("command", []) == list(container.command)


def test_a_label_of_the_workload_says_that_its_image_has_a_shell() -> None:
    python = Container("python", ("python", "run.py"))
    order = orders.batch("w1", IndexSet.span(6, 9), container=python, labels={names.SHELL: "true"})
    (job,) = manifests(order, NEW)
    assert pod_of(job)["containers"][0]["command"][-2:] == ["python", "run.py"]


def test_withdrawn_replicas_are_not_made() -> None:
    made = manifests(orders.batch("w1", 4, withdrawn=IndexSet.span(1, 3)), OLD)
    assert [job["metadata"]["name"] for job in made] == ["w1-0", "w1-3"]


def test_ownership_is_written_on_the_object_and_on_its_pods() -> None:
    long_name = "reco/2031 " + "x" * 80
    order = orders.batch("w1", 1, labels={"experiment": "atlas", "no good": "?"})
    order = replace(order, intent=replace(order.intent, workload=long_name))
    (job,) = manifests(order, OLD)

    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels[names.FEDERATION] == "fed"
        assert labels[names.INTENT] == "w1"
        assert len(labels[names.WORKLOAD]) <= 63
        assert labels["experiment"] == "atlas"
        assert "no good" not in labels
    assert job["metadata"]["annotations"][names.WORKLOAD_NAME] == long_name
    assert job["metadata"]["annotations"][names.SPEC_HASH] == "h1"


def test_a_container_order_asks_for_its_role_s_requests_and_gets_no_credentials() -> None:
    requests = Resources.of({"cpu": 1500, "memory": 2**31, "nvidia.com/gpu": 2})
    role = Role("", 1, requests, tolerations=(Toleration("gpu", "Exists", "", "NoSchedule"),))
    (job,) = manifests(orders.batch("w1", 1, role=role), NEW)

    pod = pod_of(job)
    assert Resources.of(pod_requests(pod)) == requests
    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert pod["containers"][0]["image"] == "busybox"
    assert pod["automountServiceAccountToken"] is False
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["priorityClassName"] == "federator-work"


def test_what_a_user_s_job_says_of_its_pods_passes_through() -> None:
    order = orders.job("w1", 1, time_limit_s=60.0)
    manifest = json.loads(json.dumps(order.manifest))
    pod = manifest["spec"]["template"]["spec"]
    pod |= {"nodeSelector": {"disk": "ssd"}, "volumes": [{"name": "s", "secret": {"secretName": "key"}}]}
    pod["securityContext"] = {"runAsUser": 7}
    pod["priorityClassName"] = "theirs"
    pod["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
    manifest["spec"] |= {"backoffLimit": 6, "suspend": True, "activeDeadlineSeconds": 900}
    (job,) = manifests(replace(order, manifest=manifest), NEW)

    made = pod_of(job)
    for key in ("nodeSelector", "volumes", "securityContext", "priorityClassName"):
        assert made[key] == pod[key]
    assert made["containers"][0]["resources"]["requests"] == {"cpu": "3", "memory": str(2**30)}
    assert made["activeDeadlineSeconds"] == 60
    assert job["spec"]["activeDeadlineSeconds"] == 900
    assert not {"ttlSecondsAfterFinished", "suspend"} & job["spec"].keys()
    assert "automountServiceAccountToken" not in made


def test_scaling_a_service_leaves_its_template_byte_for_byte_alone() -> None:
    three, nine = orders.service("s1", 3), orders.service("s1", 9, spec_hash="h2")
    (small,), (large,) = manifests(three, NEW), manifests(nine, NEW)

    assert (small["spec"]["replicas"], large["spec"]["replicas"]) == (3, 9)
    assert json.dumps(small["spec"]["template"]) == json.dumps(large["spec"]["template"])
    assert small["metadata"]["annotations"][names.SPEC_HASH] != large["metadata"]["annotations"][names.SPEC_HASH]
    assert template_hash(three) == template_hash(nine)
    assert template_hash(three) != template_hash(orders.service("s1", 3, container=Container("busybox:2")))


def test_two_intents_of_one_deployment_do_not_select_each_other_s_pods() -> None:
    (one,), (two,) = manifests(orders.deployment("s1"), NEW), manifests(orders.deployment("s2"), NEW)
    for made, other in ((one, two), (two, one)):
        wanted = made["spec"]["selector"]["matchLabels"].items()
        assert wanted <= made["spec"]["template"]["metadata"]["labels"].items()
        assert not wanted <= other["spec"]["template"]["metadata"]["labels"].items()
        assert made["spec"]["template"]["metadata"]["labels"]["app"] == "web"


def mpi_job() -> dict[str, Any]:
    def part(replicas: int) -> dict[str, Any]:
        return {"replicas": replicas, "template": {"spec": {"containers": [{"name": "m", "image": "mpi"}]}}}

    specs = {"Launcher": part(1), "Worker": part(4)}
    metadata = {"name": "hpl", "namespace": "elsewhere", "uid": "1", "labels": {"team": "a"}}
    return {
        "apiVersion": "kubeflow.org/v2beta1",
        "kind": "MPIJob",
        "metadata": metadata,
        "spec": {"mpiReplicaSpecs": specs},
        "status": {"phase": "old"},
    }


def test_a_manifest_of_another_kind_keeps_its_shape_and_gets_name_place_and_labels() -> None:
    roles = (Role("launcher", 1, orders.CORE), Role("worker", 4, orders.CORE))
    order = orders.batch("m1", 5, manifest=mpi_job(), roles=roles)
    order = replace(order, intent=replace(order.intent, role=WHOLE))
    (made,) = manifests(order, NEW)

    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("m1", "work")
    assert made["metadata"]["labels"]["team"] == "a"
    assert not {"uid", "status"} & {*made, *made["metadata"]}
    for key, replicas in (("Launcher", 1), ("Worker", 4)):
        part = made["spec"]["mpiReplicaSpecs"][key]
        assert part["replicas"] == replicas
        assert part["template"]["metadata"]["labels"][names.INTENT] == "m1"


def test_the_replica_field_of_another_kind_is_set_where_the_user_says_it_is() -> None:
    manifest = {
        "apiVersion": "example.org/v1",
        "kind": "Farm",
        "metadata": {"annotations": {names.REPLICAS_PATH: "spec.workers.count"}},
        "spec": {"workers": {"count": 1}, "replicas": 1},
    }
    (made,) = manifests(orders.batch("f1", 7, manifest=manifest), NEW)
    assert made["spec"] == {"workers": {"count": 7}, "replicas": 1}

    lost = {**manifest, "metadata": {"annotations": {names.REPLICAS_PATH: "spec.nowhere.count"}}}
    with pytest.raises(OrderRefused, match="leads nowhere"):
        manifests(orders.batch("f1", 7, manifest=lost), NEW)


def test_flavors_hold_together_with_each_alternative_of_the_user_s_own_affinity() -> None:
    facts = replace(NEW, affinity=[[{"key": "gpu", "operator": "In", "values": ["v100"]}]])
    order = orders.job("w1", 1)
    manifest = json.loads(json.dumps(order.manifest))
    zone = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [zone, {"matchFields": []}]}}
    manifest["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": required}
    (job,) = manifests(replace(order, manifest=manifest), facts)

    affinity = pod_of(job)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    keys = [[e["key"] for e in term["matchExpressions"]] for term in affinity["nodeSelectorTerms"]]
    assert keys == [["zone", "gpu"], ["gpu"]]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"container": Container("/cvmfs/images/atlas.sif")}, "only images of a container registry"),
        ({"container": Container("")}, "names no image"),
        ({"manifest": {"kind": "Job"}}, "apiVersion"),
        ({"manifest": {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": []}}}, "must be a mapping"),
        ({"manifest": {"apiVersion": "batch/v1", "kind": "Job"}}, "containers"),
        ({"time_limit_s": 0.0}, "time limit"),
    ],
)
def test_an_order_that_no_cluster_can_take_is_refused_for_ever(more: dict[str, Any], words: str) -> None:
    with pytest.raises(OrderRefused, match=words) as caught:
        manifests(orders.batch("w1", 1, **more), NEW)
    assert caught.value.permanent


def test_names_too_long_for_a_job_are_shortened_and_stay_apart() -> None:
    made = {
        job["metadata"]["name"]
        for stem in ("a" * 62 + "x", "a" * 62 + "y")
        for job in manifests(orders.batch(stem, 12), OLD)
    }
    assert len(made) == 24
    assert max(map(len, made)) <= 63


def test_a_manifest_is_never_changed_in_place() -> None:
    order = orders.job("w1", 3)
    before = json.dumps(order.manifest)
    manifests(order, NEW)
    manifests(order, OLD)
    assert json.dumps(order.manifest) == before


def test_a_service_of_another_kind_of_apps_selects_only_its_own_pods() -> None:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "db", "image": "db"}]}}
    spec = {"replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    manifest = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {}, "spec": spec}
    order = replace(orders.batch("d1", 2, manifest=manifest), lifetime=Lifetime.SERVICE)
    (made,) = manifests(order, NEW)
    assert made["spec"]["replicas"] == 2
    assert made["spec"]["selector"]["matchLabels"].items() <= made["spec"]["template"]["metadata"]["labels"].items()
