"""Room is counted node by node, for those who may use the nodes, under what is on its way and what quotas leave."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.engine.checks import violations
from federator.engine.feasibility import NO_FLAVOR, allowed_flavors
from federator.engine.planner import plan
from federator.model.cluster import Binding, Cluster, Unschedulable
from federator.model.plan import Exclusion, Holding, Plan, Snapshot
from federator.model.policy import Policy, Tier
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector, Taint, Toleration
from federator.model.workload import Role
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload


def legal(federation: Snapshot) -> Plan:
    made = plan(federation)
    assert violations(federation, made) == ()
    return made


def refused(federation: Snapshot, name: str = "w") -> dict[str, str]:
    """The words of a refusal."""
    made = legal(federation)
    return {c: v.message for r in made.refusals if r.workload == name for c, v in r.reasons.items()}


def test_fragments_are_no_room() -> None:
    """Four nodes with one free core each hold no replica of two."""
    member = cluster("a", flavors=(flavor("f", 4, amounts(cpu=4), free=[(amounts(cpu=1), 4)]),))
    words = refused(snapshot([member], [workload("w", 1, cpu=2)]))
    assert words == {"a": "a replica needs 2 cpu; 4 cpu is free in all, on no node enough for one more (0 here)"}


def test_busy_now_and_never_fits_are_different_answers() -> None:
    busy = cluster("busy", flavors=(flavor("f", 1, amounts(cpu=64, memory=8), free=[(amounts(), 1)]),))
    small = cluster("small", cpu=32, memory=8)
    words = refused(snapshot([busy, small], [workload("w", 1, cpu=64, memory=8)]))
    assert words["small"] == "a replica needs 64 cpu, the largest node has 32: waiting will not help"
    assert words["busy"].startswith("a replica needs 64 cpu, 8Gi memory; 0 cpu, 0 memory is free in all")


def test_a_spreading_member_leaves_fragments_where_a_packing_one_does_not() -> None:
    """Two small replicas, then one as large as a node."""
    served = [workload("small", 2, cpu=1), workload("whole", 1, cpu=4, priority=-1)]
    for binding, fits in ((Binding.SPREAD, 0), (Binding.PACK, 1), (Binding.FRAGMENTATION_AWARE, 1)):
        made = legal(snapshot([cluster("a", nodes=2, cpu=4, binding=binding)], served))
        assert placed(made, "whole").get("a", 0) == fits, binding


def test_what_is_on_its_way_is_bound_before_anybody_else_gets_room() -> None:
    """It belongs to the workload that is served last."""
    member = cluster("a", cpu=4)
    late = Holding("late", "", "a", 3, unbound=3)
    served = [workload("early", 4, submitted_at_s=1.0), workload("late", 3, submitted_at_s=2.0)]
    made = legal(snapshot([member], served, holdings=(late,)))
    assert placed(made, "late") == {"a": 3}
    assert placed(made, "early") == {"a": 1}


def test_what_is_on_its_way_and_finds_no_node_keeps_what_is_left_of_the_emptiest() -> None:
    """Two nodes have one core left each; the replica of two cores that waits there keeps one of them."""
    member = cluster("a", flavors=(flavor("f", 2, amounts(cpu=4), free=[(amounts(cpu=1), 2)]),))
    waiting = Holding("big", "", "a", 1, unbound=1)
    made = legal(snapshot([member], [workload("big", 1, cpu=2), workload("w", 2)], holdings=(waiting,)))
    assert placed(made, "w") == {"a": 1}


def test_quotas_of_a_cluster_bound_its_room() -> None:
    member = replace(cluster("a"), limits=Resources((("cpu", 3000), ("memory", 0))))
    made = legal(snapshot([member], [workload("w", 5)]))
    assert placed(made, "w") == {"a": 3}
    assert refused(snapshot([member], [workload("w", 5)])) == {
        "a": "the cluster's quota leaves 0 cpu, a replica needs 1"
    }
    assert refused(snapshot([member], [workload("w", 1, memory=1)])) == {
        "a": "the cluster's quota leaves 0 memory, a replica needs 1Gi"
    }


def test_a_reported_shape_gets_no_more_room_and_smaller_ones_do() -> None:
    member = replace(cluster("a"), unschedulable=(Unschedulable(amounts(cpu=2), "0/1 nodes fit"),))
    federation = snapshot([member], [workload("two", 1, cpu=2), workload("three", 1, cpu=3), workload("one", 1)])
    assert placed(legal(federation), "one") == {"a": 1}
    said = "the cluster reported that such a replica finds no node: 0/1 nodes fit"
    assert refused(federation, "two") == refused(federation, "three") == {"a": said}


GPU_NODES = flavor("gpu", 1, amounts(cpu=8, gpu=4), labels={"gpu": "v100"}, taints=(Taint("gpu"),))
MIXED = cluster("a", flavors=(flavor("plain", 1, amounts(cpu=2)), GPU_NODES))


def role(replicas: int, requests: Resources, **more: object) -> tuple[Role, ...]:
    return (Role("", replicas, requests, **more),)  # type: ignore[arg-type]


def test_taints_keep_replicas_off_unless_tolerated() -> None:
    tolerating = (Toleration("gpu", "Exists"),)
    assert placed(legal(snapshot([MIXED], [workload("w", 5)])), "w") == {"a": 2}
    assert placed(
        legal(snapshot([MIXED], [workload("w", 0, roles=role(5, amounts(cpu=1), tolerations=tolerating))])), "w"
    ) == {"a": 5}
    only_gpu = cluster("a", flavors=(GPU_NODES,))
    assert refused(snapshot([only_gpu], [workload("w", 1)])) == {"a": "the taint gpu:NoSchedule is not tolerated"}


def test_flavors_are_chosen_by_label_and_expression() -> None:
    v100 = Constraint(Selector((Requirement("gpu", "In", ("v100",)),)))
    where = Constraint(where='flavor.allocatable["nvidia.com/gpu"] >= 4')
    tolerating = (Toleration("", "Exists"),)
    for constraint in (v100, where):
        served = [workload("w", 0, roles=role(9, amounts(cpu=1), flavors=constraint, tolerations=tolerating))]
        assert placed(legal(snapshot([MIXED], served)), "w") == {"a": 8}
    absent = Constraint(Selector((Requirement("gpu", "In", ("a100",)),)))
    served = [workload("w", 0, roles=role(1, amounts(cpu=1), flavors=absent, tolerations=tolerating))]
    assert refused(snapshot([MIXED], served)) == {"a": "no flavor of the cluster satisfies gpu=a100"}


def test_the_dispatcher_is_told_the_only_flavors_that_may_be_used() -> None:
    plain, anything = workload("w", 1), (Toleration("", "Exists"),)
    assert allowed_flavors(plain, plain.roles[0], MIXED) == ("plain",)
    assert allowed_flavors(plain, role(1, amounts(cpu=1), tolerations=anything)[0], MIXED) == ()
    assert allowed_flavors(plain, plain.roles[0], Cluster("unknown")) == ()
    assert allowed_flavors(plain, plain.roles[0], cluster("a", flavors=(GPU_NODES,))) == NO_FLAVOR


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cordoned": True}, "Cordoned"),
        ({"draining": True}, "Draining"),
        ({"labels": {"site": "cloud"}}, "NotAllowedByPolicy"),
        ({"labels": {"site": "cern", "zone": "x"}}, "NotAllowedByWorkload"),
        ({"abilities": frozenset({"process"})}, "NoAbility"),
    ],
)
def test_each_hard_rule_has_its_reason(change: dict[str, object], code: str) -> None:
    policy = Policy("p", require=Constraint(Selector((Requirement("site", "In", ("cern",)),))))
    work = workload("w", 1, needs=frozenset({"container"}), clusters=Constraint(where="!has(cluster.labels.zone)"))
    good = replace(cluster("a", labels={"site": "cern"}))
    assert placed(legal(snapshot([good], [work], policies=(policy,))), "w") == {"a": 1}
    bad = replace(good, **change)  # type: ignore[arg-type]
    assert reasons(legal(snapshot([bad], [work], policies=(policy,))), "w") == {"a": code}


def test_a_cluster_that_refused_the_workload_for_good_gets_none_of_it() -> None:
    federation = snapshot([cluster("a")], [workload("w", 1)], exclusions=(Exclusion("w", "a", "no privileged pods"),))
    assert refused(federation) == {"a": "the cluster refused it: no privileged pods"}


def test_a_workload_that_holds_nothing_starts_with_its_least_number_or_not_at_all() -> None:
    federation = snapshot([cluster("a", cpu=2), cluster("b", cpu=1)], [workload("w", 9, min_replicas=4)])
    assert legal(federation).placements == ()
    words = "the workload starts with no fewer than 4 replicas; 3 fit now in all"
    assert set(refused(federation).values()) == {words}
    holding = replace(federation, holdings=(Holding("w", "", "a", 1, unbound=1),))
    assert placed(legal(holding), "w") == {"a": 2, "b": 1}


def test_the_queue_waits_behind_its_head_only_if_told_to() -> None:
    served = [
        workload("head", 1, cpu=16, submitted_at_s=1.0),
        workload("next", 1, submitted_at_s=2.0),
        workload("other", 1, queue="cms"),
    ]
    busy = cluster("a", flavors=(flavor("f", 2, amounts(cpu=16), free=[(amounts(cpu=8), 2)]),))
    federation = snapshot([busy], served)
    assert placed(legal(federation), "next") == {"a": 1}
    waiting = replace(federation, planning=replace(federation.planning, blocked_head="wait"))
    assert refused(waiting, "next") == {"a": "head is ahead in queue default and waits"}
    assert placed(legal(waiting), "other") == {"a": 1}


def test_a_head_that_can_never_start_blocks_nobody() -> None:
    served = [workload("head", 1, cpu=999, submitted_at_s=1.0), workload("next", 1, submitted_at_s=2.0)]
    federation = snapshot([cluster("a")], served)
    waiting = replace(federation, planning=replace(federation.planning, blocked_head="wait"))
    assert placed(legal(waiting), "next") == {"a": 1}


def test_replicas_that_ask_for_nothing_find_room_anywhere_there_is_a_node() -> None:
    nothing = (Role("", 3, Resources()),)
    members = [cluster("a"), cluster("b", flavors=())]
    assert placed(
        legal(snapshot(members, [workload("w", 0, roles=nothing)], policies=(Policy("p", tiers=(Tier("t"),)),))), "w"
    ) == {"a": 3}
