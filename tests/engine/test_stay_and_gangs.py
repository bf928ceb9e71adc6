"""What runs stays where its policy holds it; gangs are whole or absent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federator.engine.checks import violations
from federator.engine.planner import plan
from federator.model.cluster import Cluster, Health
from federator.model.plan import Holding, Move, Plan, Snapshot
from federator.model.policy import Bounds, MoveBudget, Policy, Rebalance, Stay, Tier
from federator.model.reasons import Reason
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload


def legal(federation: Snapshot) -> Plan:
    made = plan(federation)
    assert violations(federation, made) == ()
    return made


def policy(rebalance: Rebalance, min_stay_s: float = 0.0, budget: MoveBudget | None = None) -> Policy:
    tiers = (Tier("home", ("a", "b"), weights={"*": 1}), Tier("away", ("c", "d"), weights={"*": 1}))
    return Policy("p", tiers=tiers, stay=Stay(rebalance, min_stay_s, budget))


FOUR = tuple(cluster(name) for name in "abcd")


def after(rebalance: Rebalance, held: dict[str, int], replicas: int, **more: object) -> dict[str, int]:
    rule = policy(rebalance, **{k: more.pop(k) for k in ("min_stay_s", "budget") if k in more})  # type: ignore[arg-type]
    holdings = tuple(Holding("w", "", name, count, age_s=100.0, **more) for name, count in held.items())  # type: ignore[arg-type]
    return placed(legal(snapshot(FOUR, [workload("w", replicas)], policies=(rule,), holdings=holdings)), "w")


def test_never_moves_what_runs_and_fills_the_first_tier_with_what_is_new() -> None:
    assert after(Rebalance.NEVER, {"a": 5, "d": 4}, 12) == {"a": 5, "b": 3, "d": 4}


def test_preferred_brings_replicas_back_to_an_earlier_tier_but_moves_none_within_a_tier() -> None:
    assert after(Rebalance.PREFERRED, {"a": 5, "d": 4}, 9) == {"a": 5, "b": 4}
    assert after(Rebalance.PREFERRED, {"a": 5}, 5) == {"a": 5}


def test_always_divides_afresh() -> None:
    assert after(Rebalance.ALWAYS, {"a": 6, "d": 4}, 10) == {"a": 5, "b": 5}


def test_what_has_not_stayed_long_enough_stays() -> None:
    assert after(Rebalance.ALWAYS, {"a": 6}, 6, min_stay_s=101.0) == {"a": 6}
    assert after(Rebalance.ALWAYS, {"a": 6}, 6, min_stay_s=100.0) == {"a": 3, "b": 3}


def test_no_more_moves_than_the_budget_and_at_least_one() -> None:
    tenth = MoveBudget(100_000)
    assert after(Rebalance.ALWAYS, {"a": 8}, 8, budget=tenth) == {"a": 7, "b": 1}
    assert after(Rebalance.ALWAYS, {"a": 8}, 8, budget=MoveBudget(300_000)) == {"a": 6, "b": 2}
    assert after(Rebalance.PREFERRED, {"c": 4, "d": 4}, 8, budget=tenth) == {"a": 1, "c": 4, "d": 3}


def test_the_last_tier_is_the_first_to_give_its_replicas_back() -> None:
    rule = replace(policy(Rebalance.PREFERRED, budget=MoveBudget(250_000)), tiers=tuple(Tier(n, (n,)) for n in "abc"))
    held = {("w", "b"): 4, ("w", "c"): 4}
    made = legal(snapshot(FOUR[:3], [workload("w", 8)], policies=(rule,), held=held))
    assert placed(made, "w") == {"a": 2, "b": 4, "c": 2}
    assert made.moves == (Move("w", "", "c", "a", 2),)


def test_what_was_moved_in_this_period_is_not_moved_again() -> None:
    assert after(Rebalance.ALWAYS, {"a": 6}, 6, moved=6) == {"a": 6}
    assert after(Rebalance.ALWAYS, {"a": 6}, 6, moved=4) == {"a": 4, "b": 2}


def test_scale_in_divides_by_weight_with_what_runs_as_caps_the_last_tier_first() -> None:
    assert after(Rebalance.NEVER, {"a": 6, "b": 2, "d": 4}, 5) == {"a": 3, "b": 2}
    assert after(Rebalance.NEVER, {"a": 6, "b": 2, "d": 4}, 9) == {"a": 6, "b": 2, "d": 1}


def test_a_draining_cluster_gives_up_what_fits_elsewhere_and_keeps_the_rest() -> None:
    members = (replace(FOUR[0], draining=True), cluster("b", cpu=3))
    made = legal(snapshot(members, [workload("w", 5)], held={("w", "a"): 5}))
    assert placed(made, "w") == {"a": 2, "b": 3}
    assert made.moves == (Move("w", "", "a", "b", 3),)


def test_a_lowered_maximum_sends_the_surplus_elsewhere() -> None:
    rule = Policy("p", bounds={"a": Bounds(maximum=2)})
    made = legal(snapshot(FOUR[:2], [workload("w", 5)], policies=(rule,), held={("w", "a"): 5}))
    assert placed(made, "w") == {"a": 2, "b": 3}


def test_what_a_policy_no_longer_covers_stays_under_never_and_leaves_under_always() -> None:
    for rebalance, expected in ((Rebalance.NEVER, {"c": 3}), (Rebalance.ALWAYS, {"a": 2, "b": 1})):
        rule = Policy("p", tiers=(Tier("t", ("a", "b")),), stay=Stay(rebalance, 0.0))
        assert (
            placed(legal(snapshot(FOUR, [workload("w", 3)], policies=(rule,), held={("w", "c"): 3})), "w") == expected
        )


MPI = (Role("launcher", 1, amounts(cpu=1)), Role("worker", 3, amounts(cpu=2)))


def mpi(**more: object) -> Workload:
    return workload("mpi", 0, roles=MPI, **more)


def test_several_roles_go_whole_into_one_cluster() -> None:
    members = (cluster("a", nodes=1, cpu=6), cluster("b", nodes=1, cpu=7))
    assert placed(legal(snapshot(members, [mpi()])), "mpi") == {"b": 4}


def test_roles_are_counted_together_on_the_nodes() -> None:
    """Each role alone would fit, and enough is free in all; but not on the same nodes."""
    federation = snapshot([cluster("a", nodes=3, cpu=2.5)], [mpi()])
    made = legal(federation)
    assert made.placements == ()
    assert {refusal.reasons["a"].message for refusal in made.refusals} == {
        "all 4 replicas must start together; 3 fit here now"
    }


def test_a_gang_goes_to_the_cluster_with_the_most_room_then_the_first_name() -> None:
    members = (cluster("a", cpu=5), cluster("b", cpu=9), cluster("c", cpu=9))
    assert placed(legal(snapshot(members, [workload("w", 4, gang=Gang())])), "w") == {"b": 4}


def test_a_gang_that_fits_nowhere_is_absent_and_says_how_much_would_fit() -> None:
    made = legal(snapshot(FOUR[:2], [workload("w", 9, gang=Gang())]))
    assert made.placements == ()
    words = made.refusals[0].reasons["a"].message
    assert words == "all 9 replicas must start together; 8 fit here now"


def test_a_gang_takes_the_next_tier_whole() -> None:
    rule = Policy("p", tiers=(Tier("t", ("a", "b")), Tier("u", ("c",))))
    members = (*FOUR[:2], cluster("c", cpu=20))
    assert placed(legal(snapshot(members, [workload("w", 9, gang=Gang())], policies=(rule,))), "w") == {"c": 9}


def test_a_gang_stops_at_the_fill_of_a_tier_and_returns_when_no_other_takes_it() -> None:
    first = Tier("t", ("a",), fill_to_ppm=500_000)
    for tiers, where in (((first, Tier("u", ("b",))), "b"), ((first,), "a")):
        made = legal(snapshot(FOUR[:2], [workload("w", 6, gang=Gang())], policies=(Policy("p", tiers=tiers),)))
        assert placed(made, "w") == {where: 6}


def test_a_running_gang_stays_and_one_that_lost_a_replica_is_completed_there() -> None:
    gang = workload("w", 4, gang=Gang())
    for held in (4, 3):
        assert placed(legal(snapshot(FOUR, [gang], held={("w", "c"): held})), "w") == {"c": 4}


def test_a_gang_that_cannot_be_whole_where_it_runs_starts_whole_elsewhere_or_is_absent() -> None:
    full = cluster("a", flavors=(flavor("f", 1, amounts(cpu=8), free=[(amounts(), 1)]),))
    gang = workload("w", 4, gang=Gang())
    assert placed(legal(snapshot([full, cluster("b")], [gang], held={("w", "a"): 3})), "w") == {"b": 4}
    assert legal(snapshot([full], [gang], held={("w", "a"): 3})).placements == ()


def test_what_a_silent_cluster_holds_of_a_gang_is_believed_to_run() -> None:
    silent = replace(FOUR[0], health=Health.AWAY, away_s=60.0)
    made = legal(snapshot([silent, FOUR[1]], [workload("w", 4, gang=Gang())], held={("w", "a"): 3}))
    assert placed(made, "w") == {"a": 3}
    lost = replace(silent, health=Health.LOST)
    assert placed(legal(snapshot([lost, FOUR[1]], [workload("w", 4, gang=Gang())], held={("w", "a"): 3})), "w") == {
        "b": 4
    }


def test_a_gang_moves_as_one_where_its_policy_lets_it() -> None:
    gang = workload("w", 4, gang=Gang())
    made = legal(snapshot(FOUR, [gang], policies=(policy(Rebalance.PREFERRED),), held={("w", "d"): 4}))
    assert placed(made, "w") == {"a": 4}
    assert made.moves == (Move("w", "", "d", "a", 4),)
    young = policy(Rebalance.PREFERRED, min_stay_s=1e6)
    assert placed(legal(snapshot(FOUR, [gang], policies=(young,), held={("w", "d"): 4})), "w") == {"d": 4}


@pytest.mark.parametrize(("replicas", "whole"), [(16, True), (17, False)])
def test_a_federation_gang_is_divided_but_all_or_nothing(replicas: int, whole: bool) -> None:
    made = legal(snapshot(FOUR[:2], [workload("w", replicas, gang=Gang("federation"))]))
    assert placed(made, "w") == ({"a": 8, "b": 8} if whole else {})
    if not whole:
        assert set(reasons(made, "w").values()) == {"GangDoesNotFit"}


def zoned(name: str, zone: str) -> Cluster:
    return cluster(name, labels={"zone": zone})


def test_a_label_gang_stays_within_one_value_in_the_order_of_tiers() -> None:
    members = (zoned("a", "x"), zoned("b", "y"), zoned("c", "y"), cluster("d"))
    gang = Gang("label", "zone")
    assert placed(legal(snapshot(members, [workload("w", 8, gang=gang)])), "w") == {"a": 8}
    assert placed(legal(snapshot(members, [workload("w", 12, gang=gang)])), "w") == {"b": 6, "c": 6}
    assert legal(snapshot(members, [workload("w", 17, gang=gang)])).placements == ()


def test_a_gang_takes_no_room_when_it_is_refused() -> None:
    served = [workload("gang", 17, gang=Gang("federation"), priority=1), workload("w", 16)]
    assert placed(legal(snapshot(FOUR[:2], served)), "w") == {"a": 8, "b": 8}


@pytest.mark.parametrize("more", [{}, {"gang": Gang()}], ids=["one by one", "gang"])
def test_when_the_deadline_of_draining_is_over_nothing_stays(more: dict[str, Any]) -> None:
    """Until then what finds no other place runs on."""
    draining = replace(cluster("a"), draining=True)
    before = snapshot([draining, cluster("b", cpu=3)], [workload("w", 4, **more)], held={("w", "a"): 4})
    after = replace(before, clusters=(replace(draining, vacated=True), before.clusters[1]))
    stays, gone = plan(before), plan(after)
    assert violations(before, stays) == violations(after, gone) == ()
    assert placed(stays, "w").get("a", 0) == (4 if more else 1)
    assert placed(gone, "w") == ({} if more else {"b": 3})
    assert "its deadline is over" in gone.refusals[0].reasons["a"].message
    assert any("over its deadline" in sentence for sentence in violations(after, stays))
    silent = replace(after, clusters=(replace(after.clusters[0], health=Health.AWAY), after.clusters[1]))
    assert placed(plan(silent), "w").get("a") == 4, "a cluster that does not answer cannot be told"


@pytest.mark.parametrize(
    "tier",
    [Tier("t", weights={"a": 1, "b": 0}), Tier("t", weight_by="int(cluster.labels.take)")],
    ids=["written", "by an expression"],
)
def test_a_gang_is_in_no_cluster_without_a_weight(tier: Tier) -> None:
    members = (cluster("a", cpu=2, labels={"take": "1"}), cluster("b", cpu=8, labels={"take": "0"}))
    made = plan(snapshot(members, [workload("w", 4, gang=Gang())], policies=(Policy("p", tiers=(tier,)),)))
    assert placed(made, "w") == {}
    assert {name: one.reason for name, one in made.refusals[0].reasons.items()} == {
        "a": Reason.GANG_DOES_NOT_FIT,
        "b": Reason.NO_WEIGHT,
    }
