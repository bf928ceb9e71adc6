"""Which nodes of a cluster are used first: what exists, what a policy says, nothing left idle, what costs least."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine import ranking
from federator.engine.federation import Federation
from federator.engine.planner import plan
from federator.engine.ranking import _dense
from federator.engine.rows import FREE, START
from federator.engine.shapes import RANK
from federator.model.cluster import Cluster, Flavor
from federator.model.plan import FlavorShare
from federator.model.policy import FlavorChoice, FlavorOrder, Policy, Tier
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Role, Workload
from tests.engine.build import amounts, flavor, placed, snapshot, workload

MIG = "nvidia.com/mig-1g.5gb"


def labelled(key: str, value: str) -> FlavorChoice:
    """Flavors with this label."""
    return FlavorChoice(constraint=Constraint(Selector((Requirement(key, "In", (value,)),))))


def expressed(where: str) -> FlavorChoice:
    return FlavorChoice(constraint=Constraint(where=where))


def asking(name: str, replicas: int, requests: Resources, **more: Any) -> Workload:
    return workload(name, 0, roles=(Role("", replicas, requests),), **more)


NO_ORDER = FlavorOrder()


def ranks(cluster: Cluster, one: Workload, order: FlavorOrder = NO_ORDER) -> dict[str, int]:
    """The rank of each flavor for the workload; of nodes that could exist, under NAME+."""
    federation = Federation(snapshot([cluster], [one], policies=[Policy("p", flavors=order)]))
    rule = federation.governing.rule(one)
    shape = federation.feasibility.of(one, one.roles[0], rule, ()).shape
    names = [lot.flavor.name + "+" * lot.potential for lot in federation.nodes.lots]
    return dict(zip(names, shape.terms[:, RANK].tolist(), strict=True))


def used(cluster: Cluster, one: Workload, order: FlavorOrder = NO_ORDER) -> dict[str, tuple[int, int | None]]:
    """Rank and room of each flavor, as the explanation tells them."""
    made = plan(snapshot([cluster], [one], policies=[Policy("p", flavors=order)]), explain=[one.name])
    return {share.flavor: (share.rank, share.room) for share in made.explanations[one.name].flavors}


GPUS = Cluster(
    "gpus",
    flavors=(
        flavor("a100", 1, amounts(8, 64, gpu=4), labels={"gpu": "a100"}),
        flavor("mig", 1, Resources.of({"cpu": 8000, "memory": 2**36, MIG: 7}), labels={"gpu": "a100"}),
        flavor("plain", 2, amounts(8, 32)),
        flavor("v100", 2, amounts(8, 64, gpu=4), labels={"gpu": "v100"}, max_count=3),
    ),
)


def test_cpu_work_uses_plain_nodes_first_and_nodes_that_could_exist_last() -> None:
    assert ranks(GPUS, workload("w", 1)) == {"plain": 0, "a100": 1, "mig": 1, "v100": 1, "v100+": 2}


def test_gpu_models_are_used_in_the_order_of_the_policy() -> None:
    order = FlavorOrder((labelled("gpu", "v100"), labelled("gpu", "a100")))
    gpu = asking("w", 1, amounts(1, gpu=1))
    assert {name: ranks(GPUS, gpu, order)[name] for name in ("v100", "a100", "v100+")} == {
        "v100": 0,
        "a100": 1,
        "v100+": 4,
    }
    assert used(GPUS, asking("w", 20, amounts(1, gpu=1)), order)["v100"] == (1, 8)


def test_mig_slices_are_a_resource_of_their_own() -> None:
    """What asks for a slice fits only where slices are, and leaves no GPU idle there."""
    found = used(GPUS, asking("w", 9, Resources.of({"cpu": 1000, MIG: 1})))
    assert {name: room for name, (_, room) in found.items()} == {"a100": 0, "mig": 7, "plain": 0, "v100": 0}
    assert ranks(GPUS, asking("w", 9, Resources.of({MIG: 1})))["mig"] == 0


def test_tpu_slices_go_by_their_topology() -> None:
    tpus = Cluster(
        "g",
        flavors=tuple(
            flavor(name, 1, amounts(8, 8, **{"google.com/tpu": 4}), labels={"topology": name})
            for name in ("2x2", "4x4")
        ),
    )
    order = FlavorOrder((labelled("topology", "4x4"),))
    assert ranks(tpus, asking("w", 1, Resources.of({"google.com/tpu": 4})), order) == {"2x2": 1, "4x4": 0}


def test_memory_for_each_core_sets_the_order_by_an_expression() -> None:
    """Work that needs little memory for a core leaves the nodes with much to others."""
    cluster = Cluster("c", flavors=(flavor("big", 1, amounts(8, 128)), flavor("small", 1, amounts(8, 16))))
    order = FlavorOrder((expressed("flavor.memoryPerCore <= workload.memoryPerCore * 4"),))
    assert ranks(cluster, workload("w", 1, cpu=1, memory=1), order) == {"big": 1, "small": 0}
    assert ranks(cluster, workload("w", 1, cpu=1, memory=8), order) == {"big": 0, "small": 0}


def test_names_and_globs_set_the_order() -> None:
    order = FlavorOrder((FlavorChoice(("v*",)), FlavorChoice(("a100", "mig"))))
    assert ranks(GPUS, workload("w", 1), order) == {"v100": 0, "a100": 1, "mig": 1, "plain": 2, "v100+": 3}


def test_by_price_the_cheapest_comes_first_within_one_place_of_the_order() -> None:
    flavors = tuple(
        replace(flavor(n, 1, amounts(8, 8)), price={"cpu": p}) for n, p in (("a", 3.0), ("b", 1.0), ("c", 2.0))
    )
    cluster = Cluster("c", flavors=(*flavors, flavor("d", 1, amounts(8, 8))), price={"cpu": 1.5})
    assert ranks(cluster, workload("w", 1), FlavorOrder(by_price=True)) == {"b": 0, "d": 1, "c": 2, "a": 3}
    assert ranks(cluster, workload("w", 1), FlavorOrder((FlavorChoice(("a",)),), True)) == {
        "a": 0,
        "b": 1,
        "d": 2,
        "c": 3,
    }


def test_more_ranks_than_four_are_filled_one_after_the_other() -> None:
    names = [f"f{at}" for at in range(7)]
    cluster = Cluster("c", flavors=tuple(flavor(name, 1, amounts(2, 8)) for name in names))
    order = FlavorOrder(tuple(FlavorChoice((name,)) for name in reversed(names)))
    federation = Federation(snapshot([cluster], [workload("w", 5)], policies=[Policy("p", flavors=order)]))
    one = workload("w", 5)
    eligibility = federation.feasibility.of(one, one.roles[0], federation.governing.rule(one), ())
    federation.take(eligibility.shape, np.array([5]))
    free = {
        lot.flavor.name: int(federation.nodes.rows[federation.nodes.blocks[at, START], FREE])
        for at, lot in enumerate(federation.nodes.lots)
    }
    assert free == {"f6": 0, "f5": 0, "f4": 1000, "f3": 2000, "f2": 2000, "f1": 2000, "f0": 2000}


def test_a_cluster_is_as_dear_as_the_nodes_that_are_used_there_first() -> None:
    def two(name: str, first: float) -> Cluster:
        flavors = (replace(flavor("a", 9, amounts(8, 8)), price={"cpu": first}), flavor("b", 9, amounts(8, 8)))
        return Cluster(name, flavors=flavors, price={"cpu": 100.0})

    rule = Policy("p", tiers=(Tier("t", weight_by="price"),), flavors=FlavorOrder((FlavorChoice(("a",)),)))
    made = plan(snapshot([two("cheap", 100.0), two("dear", 300.0)], [workload("w", 12)], policies=[rule]))
    assert placed(made, "w") == {"cheap": 9, "dear": 3}


def test_explain_tells_rank_room_and_reason_of_every_flavor() -> None:
    tainted = Cluster(
        "c", flavors=(flavor("old", 2, amounts(4, 8), labels={"age": "old"}), flavor("new", 1, amounts(4, 8)))
    )
    role = Role("", 9, amounts(2), flavors=Constraint(Selector((Requirement("age", "DoesNotExist"),))))
    made = plan(snapshot([tainted], [workload("w", 9, roles=(role,))]), explain=["w"])
    first, second = made.explanations["w"].flavors
    assert (first.flavor, first.rank, first.room, first.extra, first.verdict) == ("new", 1, 2, 0, None)
    assert (second.flavor, second.rank, second.room) == ("old", None, 0)
    assert second.verdict is not None
    assert second.verdict.message == "no flavor of the cluster satisfies age DoesNotExist"
    assert isinstance(first, FlavorShare)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_ranks_are_dense_and_in_the_order_of_the_columns(rows: list[tuple[int, int, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    home = np.array([row[0] for row in rows], dtype=np.int64)
    columns = [np.array([row[at] for row in rows], dtype=np.int64) for at in (1, 2)]
    for cluster in set(home.tolist()):
        distinct = sorted({row[1:] for row in rows if row[0] == cluster})
        expected = [distinct.index(row[1:]) for row in rows if row[0] == cluster]
        assert _dense(home, columns)[home == cluster].tolist() == expected


def test_a_planner_that_ignores_idle_accelerators_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted mistake: cpu work sits on a GPU node while a plain node has room."""
    cluster = Cluster("c", flavors=(flavor("gpu", 1, amounts(8, 8, gpu=1)), flavor("plain", 1, amounts(8, 8))))
    needy = asking("v", 1, amounts(8, gpu=1))

    def left_out() -> int:
        arriving = [replace(workload("cpu", 8), submitted_at_s=1.0), replace(needy, submitted_at_s=2.0)]
        return sum(refusal.replicas for refusal in plan(snapshot([cluster], arriving)).refusals)

    assert left_out() == 0
    monkeypatch.setattr(ranking, "accelerates", lambda *_: False)
    assert left_out() == 1


def test_a_flavor_of_its_own_price_is_unlike_others() -> None:
    assert Flavor("a", 1, amounts(1), (), price={"cpu": 1.0}) != Flavor("a", 1, amounts(1), ())
