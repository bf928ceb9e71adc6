"""Explanations say what the planner saw, and what would have to change; answers have the shape of the design."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest

from federator.engine.answer import explanation_document, plan_document
from federator.engine.order import in_order
from federator.engine.planner import plan
from federator.model.cluster import Cluster, Health
from federator.model.plan import Holding
from federator.model.policy import Bounds, Match, Planning, Policy, Queue, Tier
from federator.model.selectors import Taint
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, flavor, placed, snapshot, workload

CERN_RSP = Policy(
    "jupyterhub",
    order=-1,
    match=Match(workload="hub"),
    bounds={"cern": Bounds(2, 6, 100), "exoscale": Bounds(0, 3, 20)},
    replicas=9,
    source="policies/jupyterhub.yaml:3",
)
TWO = (cluster("cern", nodes=10), cluster("exoscale", nodes=2))


def test_cerns_own_preference_lands_six_and_three() -> None:
    made = plan(snapshot(TWO, [workload("hub", 1)], policies=(CERN_RSP,)), explain=["hub"])
    assert plan_document(made) == {
        "placements": [
            {"workload": "hub", "cluster": "cern", "replicas": 6, "tier": "all", "policy": "jupyterhub"},
            {"workload": "hub", "cluster": "exoscale", "replicas": 3, "tier": "all", "policy": "jupyterhub"},
        ],
        "refusals": [],
        "preemptions": [],
        "moves": [],
        "reservations": [],
        "backfill": [],
    }
    nothing_yet = {"running": 0, "reason": None, "message": None}
    assert explanation_document(made.explanations["hub"]) == {
        "workload": "hub",
        "policy": "jupyterhub",
        "source": "policies/jupyterhub.yaml:3",
        "position": 1,
        "expected_start_s": None,
        "clusters": [
            {"cluster": "cern", "tier": "all", "room": 80, "weight": 100, "min": 2, "max": 6, **nothing_yet}
            | {"share": 7.5, "replicas": 6},
            {"cluster": "exoscale", "tier": "all", "room": 16, "weight": 20, "min": 0, "max": 3, **nothing_yet}
            | {"share": 1.5, "replicas": 3},
        ],
        "flavors": [
            {"cluster": name, "flavor": "standard", "rank": 1, "room": room, "couldAdd": 0, "boot_s": 0.0, "price": 0.0}
            | {"reason": None, "message": None}
            for name, room in (("cern", 80), ("exoscale", 16))
        ],
        "smallest": "",
        "cures": [],
        "queue": "default",
        "queuePosition": 1,
        "queueShare": {
            "share": 0.0,
            "dominant": "",
            "byWeight": 1.0,
            "due": 0.010417,
            "lately": 0.0,
            "borrowed": 0.0,
            "left": {},
        },
    }


def test_a_refusal_has_its_reason_and_its_words_for_every_cluster() -> None:
    greedy = replace(CERN_RSP, replicas=10)
    made = plan(snapshot((*TWO, cluster("other")), [workload("hub", 1)], policies=(greedy,)))
    assert plan_document(made)["refusals"] == [
        {
            "workload": "hub",
            "replicas": 1,
            "reasons": {
                "cern": {"reason": "AtMaximum", "message": "policy jupyterhub allows 6 replicas here"},
                "exoscale": {"reason": "AtMaximum", "message": "policy jupyterhub allows 3 replicas here"},
                "other": {
                    "reason": "NoWeight",
                    "message": "policy jupyterhub gives this cluster no weight, only its minimum of 0",
                },
            },
        }
    ]


@pytest.mark.parametrize("limits", [{}, {"cpu": 2}], ids=["in a run", "alone"])
def test_a_cluster_that_an_expression_gives_no_weight_is_told_why(limits: dict[str, float]) -> None:
    members = (cluster("asleep", labels={"watts": "0"}), cluster("metered", labels={"watts": "5"}), cluster("unknown"))
    job = workload("w", 0, roles=(Role("main", 99, amounts(cpu=1), limits=amounts(**limits)),))
    policy = Policy("green", tiers=(Tier("all", weight_by="int(cluster.labels.watts)"),))
    [refusal] = plan_document(plan(snapshot(members, [job], policies=(policy,))))["refusals"]
    told = {name: why["message"] for name, why in refusal["reasons"].items() if why["reason"] == "NoWeight"}
    asks = "policy green gives this cluster no weight (weightBy int(cluster.labels.watts)"
    assert told == {
        "asleep": f"{asks} gives 0), only its minimum of 0",
        "unknown": f"{asks}: there is no 'watts'), only its minimum of 0",
    }


def test_roles_have_their_names_in_the_answer() -> None:
    roles = (Role("worker", 2, amounts(cpu=1)), Role("launcher", 1, amounts(cpu=1)))
    document = plan_document(plan(snapshot(TWO, [workload("mpi", 0, roles=roles)])))
    assert [(entry["role"], entry["replicas"]) for entry in document["placements"]] == [("launcher", 1), ("worker", 2)]


def cures(members: list[Cluster], **more: object) -> tuple[str, ...]:
    made = plan(snapshot(members, [workload("w", 12, **more)]), explain=["w"])  # type: ignore[arg-type]
    return made.explanations["w"].cures


def test_cures_say_what_would_let_it_start() -> None:
    assert cures([cluster("cern", cpu=2)]) == ("10 more cpu on cern",)
    assert cures([replace(cluster("cern"), cordoned=True)]) == ("uncordon cern",)
    assert cures([replace(cluster("cern"), health=Health.AWAY)]) == ("cern answers again",)
    assert cures([cluster("cern", flavors=(flavor("f", 1, amounts(cpu=99), taints=(Taint("gpu"),)),))]) == (
        "tolerate taint gpu:NoSchedule",
    )
    assert cures([cluster("cern", cpu=8)], gang=Gang()) == ("4 more cpu on cern",)
    assert cures([cluster("cern", cpu=8)], cpu=9) == ("a node with 9 cpu on cern",)
    fragments = cluster("cern", flavors=(flavor("f", 99, amounts(cpu=2), free=[(amounts(cpu=1), 99)]),))
    assert cures([fragments], cpu=2) == ("2 more cpu on cern, on one node",)


def test_a_larger_maximum_is_a_cure() -> None:
    made = plan(snapshot(TWO, [workload("hub", 1)], policies=(replace(CERN_RSP, replicas=11),)), explain=["hub"])
    assert made.explanations["hub"].cures == (
        "max 8 for cern in policy jupyterhub",
        "max 5 for exoscale in policy jupyterhub",
    )


def test_the_smallest_change_comes_first_and_is_said_with_the_next() -> None:
    """12 cores more are little beside the 800 of cern; 12 replicas more are much beside a maximum of 3."""
    full = flavor("f", 100, amounts(cpu=8), free=[(amounts(), 100)])
    members = [cluster("azure", cordoned=True), cluster("cern", flavors=(full,)), cluster("exoscale", nodes=9)]
    rule = Policy("p", bounds={"exoscale": Bounds(maximum=3)})
    made = plan(snapshot(members, [workload("w", 15)], policies=(rule,)), explain=["w"])
    found = made.explanations["w"]
    assert found.cures == ("12 more cpu on cern", "max 15 for exoscale in policy p", "uncordon azure")
    assert found.smallest == "12 more cpu on cern, or max 15 for exoscale in policy p"


def test_a_tier_that_is_not_open_says_how_long_to_wait() -> None:
    tiers = (Tier("t", ("cern",)), Tier("u", ("exoscale",), open_after_s=300.0))
    made = plan(snapshot(TWO, [workload("w", 81)], policies=(Policy("p", tiers=tiers),)), explain=["w"])
    assert made.explanations["w"].cures == ("1 more cpu on cern", "wait 5m for tier u to open")


def test_the_position_is_the_place_in_the_order_of_service() -> None:
    served = [
        workload("late", 1, submitted_at_s=9.0),
        workload("urgent", 1, submitted_at_s=9.0, priority=5),
        workload("chosen", 1, submitted_at_s=9.5, queue="vip"),
        workload("b", 1, submitted_at_s=3.0),
        workload("a", 1, submitted_at_s=3.0),
    ]
    federation = snapshot(TWO, served, queues=(Queue("vip", priority=1),))
    order = ["chosen", "urgent", "a", "b", "late"]
    assert [one.name for one in in_order(federation)] == order
    made = plan(federation, explain=order)
    assert [made.explanations[name].position for name in order] == [1, 2, 3, 4, 5]


def told_of_cores(clusters: tuple[Cluster, ...], one: Workload, **more: Any) -> dict[str, Any]:
    made = plan(snapshot(clusters, [one], **more), explain=[one.name])
    shares = explanation_document(made.explanations[one.name])["clusters"]
    return {share["cluster"]: share.get("wholeCores") for share in shares}


def test_it_is_told_where_a_part_of_a_core_takes_all_of_it() -> None:
    """Three nodes of eight cores hold 24 jobs, not 48. Nothing is told of whole cores, nor of other clusters."""
    batch, pods = replace(cluster("batch", nodes=3), whole_cores=True), cluster("pods", nodes=3)
    half = workload("half", 60, cpu=0.5)
    assert told_of_cores((batch, pods), half) == {"batch": {"asked": "500m", "takes": 1, "most": 24}, "pods": None}
    assert told_of_cores((batch, pods), workload("whole", 60, cpu=2)) == {"batch": None, "pods": None}
    odd = replace(batch, flavors=(flavor("small", 2, amounts(3.5, 64)), flavor("large", 1, amounts(9, 2))))
    told = told_of_cores((odd,), workload("odd", 9, cpu=1.5, memory=1))["batch"]
    assert told == {"asked": "1500m", "takes": 2, "most": 4}, "one on each small node, two by memory on the large"


def test_unknown_room_is_said_to_be_unknown() -> None:
    made = plan(snapshot([Cluster("a")], [workload("w", 3)]), explain=["w"])
    assert explanation_document(made.explanations["w"])["clusters"][0]["room"] is None


def test_a_plan_can_be_sent_to_another_process_and_keeps_its_reasons() -> None:
    held = (Holding("w", "", "cern", 1),)
    made = plan(snapshot(TWO, [workload("w", 200)], holdings=held), explain=["w"])
    sent = pickle.loads(pickle.dumps(made))
    assert sent == made
    assert json.dumps(plan_document(sent)) == json.dumps(plan_document(made))
    assert sent.queues == made.queues


def growing(existing: int, boot_s: float = 180.0) -> Cluster:
    """Nodes of four cores, up to four of them."""
    return cluster("cloud", flavors=(flavor("f", existing, amounts(4, 64), max_count=4, boot_time_s=boot_s),))


def test_what_gets_only_nodes_that_have_yet_to_boot_is_expected_after_that() -> None:
    """One by one the first replica counts; what starts together waits for the last."""
    alone, together = workload("w", 6), workload("w", 6, gang=Gang())
    for work, existing, expected in ((alone, 0, 180.0), (alone, 1, None), (together, 1, 180.0), (together, 2, None)):
        told = plan(snapshot([growing(existing)], [work]), explain=["w"]).explanations["w"]
        assert told.expected_start_s == expected
        assert [one.boot_s for one in told.flavors] == [180.0]
    easy = snapshot([growing(0)], [alone], planning=Planning(backfilling="easy"))
    assert plan(easy, explain=["w"]).explanations["w"].expected_start_s == 180.0
    running = snapshot([growing(0)], [alone], held={("w", "cloud"): 2})
    assert plan(running, explain=["w"]).explanations["w"].expected_start_s is None


def test_nodes_that_exist_come_before_those_that_boot_whatever_they_cost() -> None:
    dear = cluster("dear", nodes=1, cpu=4, price={"cpu": 90.0})
    made = plan(snapshot([growing(0), dear], [workload("w", 6)]))
    assert placed(made, "w") == {"cloud": 2, "dear": 4}
