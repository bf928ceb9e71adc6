"""From documents to the model and back: nothing is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federator.documents import (
    DocumentErrors,
    canonical,
    cluster_document,
    cohort_document,
    placement_document,
    planning_document,
    policy_document,
    queue_document,
    read_objects,
    read_text,
    to_cluster,
    to_policy,
    to_queue,
    to_snapshot,
    with_displacements,
    workload_document,
    workload_spec,
)
from federator.model.budget import Budget, Cost, Spent
from federator.model.cluster import Binding, Cluster, Downtime, Flavor, Health, NodeGroup, Unschedulable
from federator.model.plan import Displacement, Holding, Snapshot
from federator.model.policy import (
    Bounds,
    Cohort,
    FlavorChoice,
    FlavorOrder,
    GangSearch,
    Match,
    MoveBudget,
    Planning,
    Policy,
    Queue,
    QueueUsage,
    Rebalance,
    Stay,
    Tier,
)
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector, Taint, Toleration
from federator.model.workload import Gang, Input, Lifetime, Role, Workload

HEAD = "apiVersion: federator.dev/v1alpha1\n"
NOTHING = Resources((("cpu", 0),))
"""A limit of zero, which differs from none."""
BUDGET = Budget(86400.0, 1_500_000, 50_000_000)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
amounts = st.dictionaries(st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]), st.integers(1, 10**7)).map(Resources.of)
labels = st.dictionaries(names, names, max_size=2)
millis = st.integers(0, 10**9).map(lambda n: n / 1000)
requirements = st.builds(
    Requirement, names, st.sampled_from(["In", "NotIn"]), st.tuples(names) | st.tuples(names, names)
)
selectors = st.lists(requirements | st.builds(Requirement, names, st.just("Exists")), max_size=3).map(
    lambda terms: Selector(tuple(terms))
)
constraints = st.builds(Constraint, selectors, st.sampled_from(["", 'cluster.name != "x"']))
flavor_constraints = st.builds(Constraint, selectors, st.sampled_from(["", 'flavor.name != "x"']))
tolerations = st.lists(st.builds(Toleration, names, st.just("Exists")), max_size=2).map(tuple)


@st.composite
def flavors(draw: st.DrawFn) -> Flavor:
    allocatable = draw(amounts)
    groups = draw(st.lists(st.builds(NodeGroup, amounts, st.integers(1, 5)), max_size=3))
    count = sum(group.count for group in groups)
    maximum = count + draw(st.integers(0, 5))
    taints = draw(st.lists(st.builds(Taint, names, names | st.just("")), max_size=1))
    own = draw(labels)
    price = draw(st.dictionaries(st.sampled_from(["cpu", "nvidia.com/gpu"]), st.integers(1, 9).map(float)))
    return Flavor(draw(names), count, allocatable, tuple(groups), own, tuple(taints), maximum, draw(millis), price)


@st.composite
def downtimes(draw: st.DrawFn) -> Downtime:
    begin_s = float(draw(st.integers(0, 2 * 10**9)))
    return Downtime(begin_s, begin_s + draw(st.integers(1, 10**6)), draw(millis), draw(st.sampled_from(["", "a: b"])))


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    found = draw(st.none() | st.lists(flavors(), max_size=2, unique_by=lambda flavor: flavor.name).map(tuple))
    draining = draw(st.booleans())
    return Cluster(
        name=draw(names),
        labels=draw(labels),
        provider=draw(st.sampled_from(["kubernetes", "local", "fake", "slurm", "htcondor"])),
        health=draw(st.sampled_from(Health)),
        health_message=draw(st.sampled_from(["", "no answer"])),
        away_s=draw(millis),
        cordoned=draw(st.booleans()),
        draining=draining,
        vacated=draining and draw(st.booleans()),
        downtime=draw(st.none() | downtimes()) if draining else None,
        binding=draw(st.sampled_from(Binding)),
        flavors=found,
        limits=draw(st.none() | amounts),
        foreign=draw(amounts),
        abilities=frozenset(draw(st.lists(st.sampled_from(["container", "service"])))),
        carbon_g_per_kwh=draw(st.integers(0, 500)),
        whole_cores=draw(st.booleans()),
        power_w=draw(st.dictionaries(st.sampled_from(["cpu", "nvidia.com/gpu"]), st.integers(1, 500))),
        unschedulable=tuple(draw(st.lists(st.builds(Unschedulable, amounts, st.just("no node")), max_size=1))),
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    taken = st.dictionaries(names, st.integers(1, 9), max_size=2).map(Resources.of)
    parts = (st.integers(0, 9), amounts, flavor_constraints, tolerations, taken)
    roles = st.builds(Role, names, *parts)
    single = st.builds(Role, st.just(""), *parts).map(lambda role: (role,))
    several = st.lists(roles, min_size=1, max_size=3, unique_by=lambda role: role.name).map(tuple)
    chosen = draw(single | several)
    lifetime = draw(st.sampled_from(Lifetime))
    needs = {"service"} if lifetime is Lifetime.SERVICE else set()
    gangs = st.sampled_from([None, Gang("cluster"), Gang("federation"), Gang("label", "region")])
    return Workload(
        name=draw(names),
        roles=chosen,
        queue=draw(names),
        labels=draw(labels),
        priority=draw(st.integers(-5, 5)),
        submitted_at_s=float(draw(st.integers(0, 2 * 10**9))),
        lifetime=lifetime,
        min_replicas=draw(st.integers(0, sum(role.replicas for role in chosen))),
        gang=draw(gangs),
        clusters=draw(constraints),
        needs=frozenset(needs | draw(st.sets(st.sampled_from(["container", "kind:a/v1/B"])))),
        duration_s=draw(st.none() | millis),
        parallelism=draw(st.none() | st.integers(10**5, 10**6)) if not chosen[0].name else None,
        retries=draw(st.integers(0, 9)),
        inputs=tuple(draw(st.lists(st.builds(Input, names, st.integers(0, 2**50)), max_size=1))),
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(clusters(), max_size=3, unique_by=lambda cluster: cluster.name))
def test_a_live_cluster_is_read_back_as_it_was_written(written: list[Cluster]) -> None:
    documents = read_objects(json.loads(json.dumps([cluster_document(cluster) for cluster in written])))
    assert [to_cluster(document) for document in documents.clusters] == written


@pytest.mark.parametrize(
    ("spec", "whole"),
    [
        ({"provider": "htcondor", "htcondor": {"submit": "jobs"}}, True),
        ({"provider": "htcondor"}, False),
        ({"provider": "slurm"}, True),
        ({"provider": "slurm", "slurm": {"submit": "pilots"}}, False),
        ({"provider": "slurm", "wholeCores": False}, False),
        ({"provider": "kubernetes"}, False),
    ],
)
def test_batch_systems_that_are_sent_jobs_give_whole_cores(spec: dict[str, Any], whole: bool) -> None:
    raw = {"apiVersion": "federator.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "c"}, "spec": spec}
    assert to_cluster(read_objects([raw]).clusters[0]).whole_cores is whole


@settings(max_examples=25, deadline=None)
@given(workloads())
def test_a_workload_is_read_back_as_it_was_written(workload: Workload) -> None:
    raw = json.loads(json.dumps(workload_document(workload)))
    assert workload_spec(raw).workload == workload
    assert read_objects([raw]).workloads[0].name == workload.name


POLICIES = (
    Policy("plain"),
    Policy(
        "full",
        order=7,
        match=Match(("atlas*",), Selector((Requirement("a", "In", ("b",)),)), "workload.replicas > 1"),
        require=Constraint(
            Selector((Requirement("z", "Exists"), Requirement("a", "In", ("b",)))), "cluster.name != ''"
        ),
        tiers=(
            Tier("one", ("cern", "exo*"), Constraint(), 950_000, {"cern": 2, "exoscale": 0}, "room", 300.0),
            Tier("two", (), Constraint(Selector((Requirement("site", "In", ("cloud",)),))), weight_by="price"),
        ),
        bounds={"cern": Bounds(2, 60, 100), "*": Bounds(0, 0, None)},
        stay=Stay(Rebalance.PREFERRED, 60.0, MoveBudget(100_000, 3600.0)),
        preempt="never",
        half_weight_bytes=100 * 2**30,
        flavors=FlavorOrder(
            (
                FlavorChoice(("a*", "b")),
                FlavorChoice(
                    constraint=Constraint(Selector((Requirement("a", "Exists"),)), "flavor.memoryPerCore > 4")
                ),
            ),
            by_price=True,
        ),
    ),
    Policy(
        "rsp",
        order=-(2**31),
        match=Match(workload="rsp"),
        bounds={"cern": Bounds(2, 6, 100)},
        stay=Stay(Rebalance.ALWAYS, 0.0),
        replicas=9,
    ),
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_a_policy_is_read_back_as_it_was_written(policy: Policy) -> None:
    document = read_objects([policy_document(policy)]).policies[0]
    read = to_policy(document)
    assert read == Policy(
        **{**{name: getattr(policy, name) for name in policy.__slots__}, "source": document.source.file}
    )


def test_a_whole_snapshot_is_read_back_as_it_was_written() -> None:
    node = Resources.of({"cpu": 4000, "memory": 8 * 2**30})
    snapshot = Snapshot(
        at_s=1000.0,
        clusters=(Cluster("cern", flavors=(Flavor("standard", 2, node, (NodeGroup(node, 2),), max_count=2),)),),
        workloads=(Workload("w", (Role("", 6, Resources.of({"cpu": 500})),), submitted_at_s=900.0),),
        holdings=(Holding("w", "", "cern", 4, unbound=1, age_s=60.0, moved=1, leaving=2),),
        queues=(
            Queue("atlas", 2, 1, "lhc", Resources.of({"cpu": 10}), half_life_s=60.0, namespace="n", budget=BUDGET),
            Queue("idle", 0, cluster_quota={"ce*": NOTHING, "cern": Resources.of({"cpu": 5})}),
        ),
        planning=Planning(blocked_head="wait", outage_grace_s=30.0, gang_search=GangSearch(0.5, 8, 20)),
        cohorts=(Cohort("all", "", 3, NOTHING, lending_limit=NOTHING), Cohort("lhc", "all", borrowing_limit=NOTHING)),
        spent=(Spent("atlas", Cost(12_345_678, 999)),),
        displacements=(Displacement("v", "w", 60.0, 2), Displacement("w", "u", 90.0, 1, gains=6)),
        usage=(QueueUsage("atlas", Resources.of({"cpu": 1, "memory": 2**70 + 1, "nvidia.com/gpu": 10**9})),),
    )
    written = [
        *map(cluster_document, snapshot.clusters),
        *map(workload_document, snapshot.workloads),
        *map(placement_document, snapshot.holdings),
        queue_document(snapshot.queues[0], snapshot.usage[0], snapshot.spent[0]),
        queue_document(snapshot.queues[1]),
        *map(cohort_document, snapshot.cohorts),
        *with_displacements([planning_document(snapshot.planning)], snapshot.displacements),
    ]
    assert to_snapshot(read_objects(json.loads(json.dumps(written))), at_s=1000.0) == snapshot


def test_what_is_told_of_displacements_is_that_of_now() -> None:
    """What a Planning document told before is gone; without one, one is made for it."""
    told = (Displacement("high", "low", 30.0, 1, gains=4),)
    (made,) = with_displacements([], told)
    seen = to_snapshot(read_objects([made]))
    assert (seen.displacements, seen.planning) == (told, Planning())
    (later,) = with_displacements([made], ())
    assert to_snapshot(read_objects([later])).displacements == ()
    assert with_displacements([], ()) == []


def test_what_is_leaving_may_be_all_that_a_placement_tells() -> None:
    text = HEAD + "kind: Workload\nmetadata: {name: w}\n---\n" + HEAD
    text += "kind: Placement\nmetadata: {name: p}\nspec: {workload: w, cluster: cern, replicas: 0, leaving: 2}\n"
    assert to_snapshot(read_text(text)).holdings == (Holding("w", "", "cern", 0, leaving=2, leaving_unbound=2),)


def test_offline_time_is_the_latest_submission_and_no_clock_is_read() -> None:
    text = HEAD + "kind: Workload\nmetadata: {name: %s}\nspec: {submittedAt: '%s'}\n"
    both = text % ("a", "2026-01-01T00:00:00Z") + "---\n" + text % ("b", "2026-01-01T02:00:00+01:00")
    assert to_snapshot(read_text(both)).at_s == 1767225600.0 + 3600
    assert to_snapshot(read_text("")).at_s == 0


def test_placements_of_one_place_add_up_and_are_not_bound_to_nodes() -> None:
    placement = (
        HEAD + "kind: Placement\nmetadata: {name: %s}\nspec: {workload: w, cluster: cern, replicas: %d, age: %s}\n"
    )
    workload = HEAD + "kind: Workload\nmetadata: {name: w}\nspec: {replicas: 9}\n"
    documents = read_text("---\n".join([workload, placement % ("p", 4, "1h"), placement % ("q", 1, "1m")]))
    assert to_snapshot(documents).holdings == (
        Holding("w", "", "cern", 5, unbound=5, age_s=60.0, waves=((60.0, 1), (3600.0, 4))),
    )


def test_a_placement_of_a_workload_with_roles_names_the_role() -> None:
    workload = HEAD + "kind: Workload\nmetadata: {name: w}\nspec: {roles: [{name: launcher}, {name: worker}]}\n---\n"
    placement = HEAD + "kind: Placement\nmetadata: {name: p}\nspec: {workload: w, cluster: c%s}\n"
    assert to_snapshot(read_text(workload + placement % ", role: worker")).holdings[0].role == "worker"
    with pytest.raises(DocumentErrors, match=r"spec.role: the role is missing; it has: launcher, worker"):
        to_snapshot(read_text(workload + placement % ""))


def test_a_limit_of_zero_stays_in_a_queue() -> None:
    queue = to_queue(
        read_text(HEAD + "kind: Queue\nmetadata: {name: a}\nspec: {quota: {nvidia.com/gpu: 0}}\n").queues[0]
    )
    assert queue.quota is not None
    assert "nvidia.com/gpu" in queue.quota


def test_the_canonical_form_leaves_defaults_out_and_reads_as_the_same() -> None:
    text = (
        HEAD + "kind: PlacementPolicy\nmetadata: {name: a, labels: {b: c}}\nspec:\n  order: 1000\n  preempt: backfill\n"
    )
    text += "  tiers: [{name: t, fillTo: 95.0%, openAfter: 60m}]\n  stay: {moveBudget: 10%/60m}\n"
    document = read_text(text).policies[0]
    written = canonical(document)
    assert written["metadata"] == {"name": "a", "labels": {"b": "c"}}
    assert written["spec"] == {
        "tiers": [{"name": "t", "fillTo": "95%", "openAfter": "1h"}],
        "stay": {"moveBudget": "10%/h"},
    }
    again = read_objects([written]).policies[0]
    assert again.spec == document.spec


def workload(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "federator.dev/v1alpha1", "kind": "Workload", "metadata": {"name": name}, "spec": spec}


def test_documents_that_differ_in_what_they_run_are_told_apart_by_the_quick_reader() -> None:
    one = workload_spec(workload("a", requests={"cpu": 1}, container={"command": ["x"]}))
    two = workload_spec(workload("b", requests={"cpu": 1}, container={"image": "i", "command": ["y"]}))
    three = workload_spec(workload("c", requests={"cpu": 1}, submittedAt="2026-01-01T00:00:00Z"))
    assert [spec.workload.name for spec in (one, two, three)] == ["a", "b", "c"]
    assert (one.containers[""].command, two.containers[""].command, three.containers) == (("x",), ("y",), {})
    assert (one.workload.needs, two.workload.needs) == ({"process"}, {"container"})
    assert (one.runnable, three.runnable) == (True, False)
    assert three.workload.submitted_at_s == 1767225600.0


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (workload("A"), "metadata.name"),
        (workload("a", container={"command": "x"}), "spec.container.command: must be a list"),
        (workload("a", container={"comand": ["x"]}), "did you mean 'command'"),
        (workload("a", submittedAt="now"), "spec.submittedAt"),
        (workload("a", container=[]), "spec.container: must be a mapping"),
        ({"kind": "Workload"}, "apiVersion"),
        ({"apiVersion": "federator.dev/v1alpha1", "kind": "Workload", "metadata": None}, "metadata"),
    ],
)
def test_the_quick_reader_tells_what_is_wrong(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentErrors, match=message):
        workload_spec(raw)


def test_downtimes_are_read_with_their_zones_and_written_in_utc() -> None:
    summer = {"from": "2026-07-01T08:00:00+02:00", "to": "2026-07-01T10:00:00Z", "drain": "4h", "reason": "switches"}
    winter = {"from": "2026-12-01T08:00:00Z", "to": "2026-12-02T08:00:00Z"}
    raw = {"apiVersion": "federator.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a"}}
    (document,) = read_objects([{**raw, "spec": {"downtimes": [summer, winter]}}]).clusters
    june_s, day_s = 1_782_885_600.0, 86400.0
    begin_s = june_s + 153 * day_s + 2 * 3600
    assert to_cluster(document).downtimes == (
        Downtime(june_s, june_s + 4 * 3600, 4 * 3600, "switches"),
        Downtime(begin_s, begin_s + day_s),
    )
    assert canonical(document)["spec"]["downtimes"] == [{**summer, "from": "2026-07-01T06:00:00Z"}, winter]
