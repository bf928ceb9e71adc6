"""Nodes, what is free on them, what others use, and what quotas leave."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.clusters.kubernetes.cache import Cache
from federator.clusters.kubernetes.flavors import affinity_terms, flavors_of, free_of
from federator.clusters.kubernetes.nodes import read_node
from federator.clusters.kubernetes.quantities import parse_quantity, pod_requests, write_quantity
from federator.clusters.kubernetes.quotas import limits_of, read_quota
from federator.clusters.outcomes import Outcomes, uncounted
from federator.model.cluster import Flavor
from federator.model.resources import Resources
from tests.clusters.kubernetes.shapes import GIB, Json, node, pod


def cache_of(nodes: list[Json], pods: list[Json] | None = None) -> Cache:
    cache = Cache("fed", Outcomes("cern", uncounted))
    for raw in nodes:
        record = cache.read_node(raw)
        assert record is not None
        cache.nodes.put(record)
    for raw in pods or []:
        found = cache.read_pod(raw)
        if found is not None:
            cache.pods.put(found)
    return cache


def flavors(*nodes: Json) -> tuple[Flavor, ...]:
    return cache_of(list(nodes)).flavors()


def test_nodes_alike_but_for_their_names_are_one_flavor() -> None:
    (flavor,) = flavors(node("a"), node("b"), node("c", labels={"example.org/instance-id": "i-123"}))
    assert (flavor.name, flavor.count) == ("8cpu", 3)
    assert flavor.allocatable == Resources.of({"cpu": 8000, "memory": 32 * GIB, "pods": 110})


def test_taints_labels_and_sizes_make_flavors_of_their_own() -> None:
    taint = {"key": "gpu", "effect": "NoSchedule"}
    found = flavors(node("a"), node("b", taints=[taint]), node("c", labels={"zone": "x"}), node("d", gpus="4"))
    assert len({flavor.name for flavor in found}) == 4
    assert found[-1].name == "8cpu-4gpu" or "8cpu-4gpu" in {flavor.name for flavor in found}


def test_an_instance_type_names_its_flavor() -> None:
    (flavor,) = flavors(node("a", labels={"node.kubernetes.io/instance-type": "m5.large"}))
    assert flavor.name == "m5.large"


@given(st.randoms(use_true_random=False))
def test_the_order_in_which_nodes_are_listed_changes_nothing(random: Random) -> None:
    nodes = [node(f"n{i}", cpu=str(4 + i % 3), labels={"zone": "ab"[i % 2]}) for i in range(12)]
    shuffled = random.sample(nodes, len(nodes))
    assert flavors(*nodes) == flavors(*shuffled)


def test_a_node_that_is_cordoned_or_not_ready_is_not_there() -> None:
    gone = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    (flavor,) = flavors(node("a"), node("b", unschedulable=True, taints=[gone]), node("c", ready=False))
    assert flavor.count == 1


def test_every_bound_pod_that_has_not_ended_lowers_what_is_free() -> None:
    pods = [
        pod("mine", intent="w1", index=0, node="a", phase="Running"),
        pod("theirs", node="a", phase="Running", cpu="500m"),
        pod("daemon", node="b", phase="Pending", cpu="250m"),
        pod("done", node="b", phase="Succeeded"),
        pod("unbound", cpu="4"),
    ]
    cache = cache_of([node("a"), node("b")], pods)

    (flavor,) = cache.flavors()
    assert [(group.free["cpu"], group.free["pods"], group.count) for group in flavor.nodes] == [
        (6500, 108, 1),
        (7750, 109, 1),
    ]
    assert cache.foreign() == Resources.of({"cpu": 750, "memory": 2 * GIB, "pods": 2})


def test_room_returns_when_a_pod_ends_and_when_it_goes() -> None:
    cache = cache_of([node("a")], [pod("x", node="a", phase="Running"), pod("y", node="a", phase="Running")])
    ended = cache.read_pod(pod("x", node="a", phase="Succeeded"))
    assert ended is None
    cache.pods.drop("pod-x", buried=False)
    cache.pods.drop("pod-y")
    assert cache.flavors()[0].nodes[0].free == cache.flavors()[0].allocatable
    assert cache.foreign() == Resources()


def test_a_node_without_a_free_pod_slot_has_nothing_free() -> None:
    record = read_node(node("a", pods="2"))
    assert free_of(record, {"cpu": 100, "pods": 2}) == Resources()
    assert free_of(record, {"cpu": 100, "pods": 1})["cpu"] == 7900


def test_the_terms_for_a_flavor_tell_it_from_the_others_and_say_no_more() -> None:
    shown = flavors(
        node("a", labels={"gpu": "v100", "os": "linux"}),
        node("b", labels={"gpu": "a100", "os": "linux"}, cpu="16"),
        node("c", labels={"os": "linux"}, cpu="32"),
    )
    by_cpu = {flavor.allocatable["cpu"]: flavor.name for flavor in shown}
    assert affinity_terms([by_cpu[8000]], shown) == [[{"key": "gpu", "operator": "In", "values": ["v100"]}]]
    assert affinity_terms([by_cpu[32000]], shown) == [[{"key": "gpu", "operator": "DoesNotExist"}]]
    with pytest.raises(KeyError):
        affinity_terms(["gone"], shown)


@pytest.mark.parametrize(
    ("resource", "text", "amount"),
    [
        ("cpu", "500m", 500),
        ("cpu", "1.5", 1500),
        ("cpu", "0.0005", 1),
        ("cpu", "100n", 1),
        ("cpu", "junk", 0),
        ("memory", "1Gi", GIB),
        ("memory", "1e3", 1000),
        ("memory", "128974848000m", 128974848),
        ("pods", "110", 110),
    ],
)
def test_quantities_are_read_exactly(resource: str, text: str, amount: int) -> None:
    assert parse_quantity(resource, text) == amount


@given(st.sampled_from(["cpu", "memory", "example.org/card"]), st.integers(0, 10**15))
def test_a_quantity_that_is_written_reads_back_the_same(resource: str, amount: int) -> None:
    assert parse_quantity(resource, write_quantity(resource, amount)) == amount


def asking(**amounts: str) -> Json:
    return {"resources": {"requests": amounts}}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [asking(cpu="1"), asking(cpu="2")]}, 3000),
        ({"containers": [asking(cpu="1")], "initContainers": [asking(cpu="4")]}, 4000),
        ({"containers": [asking(cpu="1")], "initContainers": [{**asking(cpu="2"), "restartPolicy": "Always"}]}, 3000),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000),
        ({"containers": [asking(cpu="1")], "overhead": {"cpu": "100m"}}, 1100),
        ({"containers": [asking(cpu="1"), asking(cpu="1")], "resources": {"requests": {"cpu": "5"}}}, 5000),
    ],
)
def test_a_pod_asks_for_what_the_scheduler_counts(spec: Json, cpu: int) -> None:
    assert pod_requests(spec)["cpu"] == cpu


def quota(name: str, hard: dict[str, str], used: dict[str, str], **spec: Any) -> Json:
    metadata = {"name": name, "namespace": "work", "uid": name, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


def limits(*quotas: Json) -> Resources | None:
    records = [record for raw in quotas if (record := read_quota(raw)) is not None]
    return limits_of(records, flavors(node("a")))


def test_the_tightest_quota_limits_and_what_none_names_is_free() -> None:
    wide = quota("wide", {"requests.cpu": "10", "requests.nvidia.com/gpu": "2"}, {"requests.cpu": "1"})
    tight = quota("tight", {"cpu": "4", "services": "1"}, {"cpu": "1500m"})
    assert limits(wide, tight) == Resources.of({"cpu": 2500, "nvidia.com/gpu": 2})
    assert limits() is None


def test_a_quota_that_is_used_up_leaves_less_than_nothing() -> None:
    left = limits(quota("q", {"requests.memory": "4Gi"}, {"requests.memory": "4Gi"}))
    assert left is not None
    assert left["memory"] == -1


def test_a_used_up_number_of_pods_leaves_nothing_of_anything() -> None:
    left = limits(quota("q", {"pods": "5", "requests.cpu": "10"}, {"pods": "5"}))
    assert left is not None
    assert left["cpu"] == left["memory"] == -1


def test_a_quota_for_other_pods_than_ours_does_not_count() -> None:
    best_effort = quota("q", {"pods": "0"}, {}, scopes=["BestEffort"])
    assert limits(best_effort) is None
    assert limits(quota("q", {"cpu": "1"}, {}, scopes=["NotBestEffort"])) is not None


def test_flavors_without_nodes_are_no_flavors() -> None:
    assert flavors_of([]) == ()
