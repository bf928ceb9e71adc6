"""Tiers: in order, up to their fillTo, after an outage, and back to 100%."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.engine import plain
from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.cluster import Cluster, Health
from federator.model.plan import Plan, Snapshot, TierClock, shape_key
from federator.model.policy import Bounds, Match, Policy, Tier
from federator.model.workload import Workload
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload

CERN_THEN_CLOUD = Policy(
    "fill",
    tiers=(
        Tier("cern", ("cern",), fill_to_ppm=950_000),
        Tier("cloud", ("exo", "azure"), weights={"exo": 20, "azure": 80}),
    ),
)
MEMBERS = (cluster("cern", nodes=10, cpu=10), cluster("exo", nodes=5), cluster("azure", nodes=10), cluster("other"))


def legal(federation: Snapshot) -> Plan:
    made = plan(federation)
    assert violations(federation, made) == ()
    return made


def one(
    replicas: int, policy: Policy = CERN_THEN_CLOUD, members: tuple[Cluster, ...] = MEMBERS, **more: object
) -> dict[str, int]:
    return placed(legal(snapshot(members, [workload("w", replicas)], policies=(policy,), **more)), "w")  # type: ignore[arg-type]


def test_the_first_tier_takes_all_that_it_has_room_for() -> None:
    assert one(90) == {"cern": 90}


def test_the_next_tier_opens_when_the_first_is_full_to_its_fill_to() -> None:
    """95 of cern's 100 cores, then 20:80 over the cloud."""
    assert one(145) == {"cern": 95, "exo": 10, "azure": 40}


def test_what_no_tier_takes_returns_to_the_first_up_to_the_whole() -> None:
    """The cloud has 120 cores; the five cores above fillTo go last, and other is in no tier."""
    assert one(95 + 120 + 5) == {"cern": 100, "exo": 40, "azure": 80}
    made = legal(snapshot(MEMBERS, [workload("w", 230)], policies=(CERN_THEN_CLOUD,)))
    assert reasons(made, "w") == {"cern": "NoRoom", "exo": "NoRoom", "azure": "NoRoom", "other": "NotInPolicy"}


def test_fill_counts_what_others_use() -> None:
    busy = cluster("cern", flavors=(flavor("f", 10, amounts(cpu=10), free=[(amounts(cpu=3), 10)]),))
    assert one(60, members=(busy, *MEMBERS[1:])) == {"cern": 25, "exo": 7, "azure": 28}


def test_fill_is_that_of_the_dominant_resource() -> None:
    """The nodes have 10 cores and 10 GiB; replicas of 1 core and 2 GiB fill half of the memory with 25."""
    policy = Policy("p", tiers=(Tier("a", ("a",), fill_to_ppm=500_000), Tier("b", ("b",))))
    members = (cluster("a", 10, 10, 10), cluster("b", 10, 10, 10))
    made = legal(snapshot(members, [workload("w", 30, cpu=1, memory=2)], policies=(policy,)))
    assert placed(made, "w") == {"a": 25, "b": 5}


PATIENT = replace(
    CERN_THEN_CLOUD, tiers=(CERN_THEN_CLOUD.tiers[0], replace(CERN_THEN_CLOUD.tiers[1], open_after_s=300.0))
)


def clock(since_s: float, work: Workload) -> tuple[TierClock, ...]:
    return (TierClock("fill", "cern", shape_key(work), since_s),)


def test_a_tier_with_open_after_waits_from_now_on() -> None:
    work = workload("w", 100)
    made = legal(snapshot(MEMBERS, [work], policies=(PATIENT,)))
    assert placed(made, "w") == {"cern": 95}
    assert reasons(made, "w") == {
        "cern": "TierFull",
        "exo": "TierNotOpen",
        "azure": "TierNotOpen",
        "other": "NotInPolicy",
    }
    words = {name: verdict.message for name, verdict in made.refusals[0].reasons.items()}
    assert words["cern"] == "tier cern is full to its fillTo of 95%: 0% is used"
    assert words["exo"].endswith("have been full or away for 300 s; it has been 0 s")
    assert made.full_tiers == {("fill", "cern", shape_key(work))}


@pytest.mark.parametrize(("since_s", "cloud"), [(9_701.0, False), (9_700.0, True)])
def test_it_opens_when_its_clock_has_run_long_enough(since_s: float, cloud: bool) -> None:
    found = one(100, PATIENT, clocks=clock(since_s, workload("w", 100)))
    assert found == ({"cern": 95, "exo": 1, "azure": 4} if cloud else {"cern": 95})


def test_the_clock_keeps_running_while_replicas_are_in_the_later_tier() -> None:
    """Nothing is turned away now, but the first tier is still full: the next workload need not wait again."""
    full = cluster("cern", flavors=(flavor("f", 1, amounts(cpu=10), free=[(amounts(), 1)]),))
    work = workload("w", 4)
    made = legal(snapshot([full, *MEMBERS[1:]], [work], policies=(PATIENT,), held={("w", "exo"): 4}))
    assert made.refusals == ()
    assert made.full_tiers == {("fill", "cern", shape_key(work))}


def away(seconds: float, health: Health = Health.AWAY) -> tuple[Cluster, ...]:
    return (replace(MEMBERS[0], health=health, away_s=seconds), *MEMBERS[1:])


def test_work_waits_for_the_outage_grace_before_it_goes_to_the_next_tier() -> None:
    assert one(10, members=away(299.0)) == {}
    assert one(10, members=away(300.0)) == {"azure": 8, "exo": 2}
    assert one(10, members=away(0.0, Health.UNKNOWN)) == {}


def test_a_lost_cluster_has_been_away_long_enough() -> None:
    assert one(10, members=away(10.0, Health.LOST)) == {"azure": 8, "exo": 2}


def test_open_after_counts_for_outages_too() -> None:
    assert one(10, PATIENT, members=away(250.0)) == {}
    assert one(10, PATIENT, members=away(301.0)) == {"azure": 8, "exo": 2}


def test_a_tier_that_can_never_take_it_holds_nobody_up() -> None:
    cordoned = (replace(MEMBERS[0], cordoned=True), *MEMBERS[1:])
    assert one(10, PATIENT, members=cordoned) == {"azure": 8, "exo": 2}
    at_most = replace(PATIENT, bounds={"cern": Bounds(maximum=4)})
    assert one(9, at_most) == {"cern": 4, "azure": 4, "exo": 1}


def test_what_a_lost_cluster_held_is_placed_elsewhere_and_what_an_away_one_holds_stays() -> None:
    assert one(10, members=away(400.0, Health.LOST), held={("w", "cern"): 10}) == {"azure": 8, "exo": 2}
    assert one(10, members=away(400.0), held={("w", "cern"): 10}) == {"cern": 10}
    assert one(12, members=away(400.0), held={("w", "cern"): 10}) == {"cern": 10, "azure": 2}


def test_autoscaled_nodes_come_after_those_that_exist_but_before_the_next_tier() -> None:
    def member(name: str, most: int) -> Cluster:
        return cluster(name, flavors=(flavor("f", 1, amounts(cpu=4), max_count=most),))

    policy = Policy("p", tiers=(Tier("a", ("a", "b")), Tier("c", ("c",))))
    members = (member("a", 3), member("b", 0), member("c", 0))
    assert one(8, policy, members) == {"a": 4, "b": 4}
    assert one(14, policy, members) == {"a": 10, "b": 4}
    assert one(18, policy, members) == {"a": 12, "b": 4, "c": 2}


def test_minima_bind_only_in_open_tiers_and_larger_weights_first() -> None:
    policy = Policy(
        "p",
        tiers=(Tier("t", ("a", "b")), Tier("u", ("c",))),
        bounds={"a": Bounds(2, None, 1), "b": Bounds(2, None, 5), "c": Bounds(3, None, 1)},
    )
    members = tuple(cluster(name) for name in "abc")
    assert one(3, policy, members) == {"a": 1, "b": 2}
    assert one(6, policy, members) == {"a": 2, "b": 4}
    assert one(18, policy, members) == {"a": 8, "b": 8, "c": 2}


def test_a_cluster_that_no_weight_names_gets_only_its_minimum() -> None:
    policy = Policy("p", bounds={"a": Bounds(weight=3), "b": Bounds(minimum=1)})
    members = tuple(cluster(name) for name in "abc")
    assert one(9, policy, members) == {"a": 8, "b": 1}
    made = legal(snapshot(members, [workload("w", 12)], policies=(policy,)))
    assert reasons(made, "w") == {"a": "NoRoom", "b": "NoWeight", "c": "NoWeight"}


def test_written_weights_of_one_tier_leave_the_others_to_their_rule() -> None:
    """Only cern has a weight, in its own tier; the cloud is still divided by room."""
    policy = Policy("p", tiers=(Tier("t", ("a",)), Tier("u", ("b", "c"))), bounds={"a": Bounds(weight=100)})
    assert one(16, policy, tuple(cluster(name) for name in "abc")) == {"a": 8, "b": 4, "c": 4}


def test_price_and_carbon_give_the_cheaper_more() -> None:
    """Twice the price is half the weight."""
    members = (
        cluster("a", price={"cpu": 20_000.0}, carbon_g_per_kwh=100.0),
        cluster("b", price={"cpu": 10_000.0}, carbon_g_per_kwh=50.0),
    )
    for by in ("price", "carbon"):
        assert one(6, Policy("p", tiers=(Tier("t", weight_by=by),)), members) == {"a": 2, "b": 4}


def test_an_expression_gives_weights() -> None:
    members = (cluster("a", labels={"tier": "1"}), cluster("b", labels={"tier": "3"}), cluster("c"))
    policy = Policy("p", tiers=(Tier("t", weight_by="int(cluster.labels.tier)"),))
    assert one(8, policy, members) == {"a": 2, "b": 6}


def test_unknown_room_counts_as_all_that_is_wanted() -> None:
    members = (Cluster("a"), cluster("b", nodes=1, cpu=10))
    assert one(10, Policy("p"), members) == {"a": 5, "b": 5}
    assert one(100, Policy("p"), members) == {"a": 91, "b": 9}


def test_a_policy_is_chosen_by_order_then_name_and_by_its_match() -> None:
    rules = (
        Policy("b", 5, Match(queues=("at*",)), tiers=(Tier("t", ("b",)),)),
        Policy("a", 5, Match(where='workload.requests["nvidia.com/gpu"] > 0'), tiers=(Tier("t", ("c",)),)),
        Policy("z", 1, Match(workload="named"), tiers=(Tier("t", ("a",)),), replicas=2),
    )
    members = [cluster(name) for name in "abc"]
    served = [workload("named", 1, queue="atlas"), workload("w", 1, queue="atlas"), workload("x", 1, queue="cms")]
    made = legal(snapshot(members, served, policies=rules))
    assert placed(made, "named") == {"a": 2}
    assert placed(made, "w") == {"b": 1}
    assert {p.policy for p in made.placements if p.workload == "x"} == {"default"}


@pytest.mark.parametrize("at_once", [8, 1024])
def test_what_wants_nothing_is_not_refused_where_much_else_is(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """A policy that lets nothing run, for many that are alike; ``at_once`` of them are looked at together."""
    monkeypatch.setattr(plain, "_AT_ONCE", at_once)
    many = [workload(f"b{number}", 3, priority=5) for number in range(20)]
    many += [replace(workload(f"w{number}", 3), queue="none") for number in range(20)]
    nothing = Policy("nothing", match=Match(queues=("none",)), replicas=0, tiers=(Tier("all"),))
    made = plan(snapshot([cluster("a", nodes=1, cpu=2)], many, policies=(nothing,)))
    assert {refusal.workload[0] for refusal in made.refusals} == {"b"}
