"""Limits by name: licences that run out, in all and on a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.engine.checks import violations
from federator.engine.named_limits import NamedLimits
from federator.engine.planner import plan
from federator.model.cluster import Cluster, Health
from federator.model.limits import Limit
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Policy, Rebalance, Stay, Tier
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Gang, Role, Workload
from tests.engine.build import amounts, cluster, placed, reasons, snapshot, workload

TWO = (cluster("cern", nodes=10), cluster("exoscale", nodes=10))


def taking(name: str, replicas: int, matlab: int = 1, **more: object) -> Workload:
    """A workload each replica of which takes so many licences."""
    role = Role("", replicas, amounts(1), limits=Resources.of({"matlab": matlab}))
    return workload(name, 0, roles=(role,), **more)


def legal(federation: Snapshot) -> Plan:
    """The plan, which the checks find nothing wrong with."""
    made = plan(federation)
    assert violations(federation, made) == ()
    return made


def message(made: Plan, name: str, on: str) -> str:
    return next(refusal for refusal in made.refusals if refusal.workload == name).reasons[on].message


def test_no_more_start_than_there_are_licences_and_the_reason_says_who_has_them() -> None:
    made = legal(snapshot(TWO, [taking("a", 4, 3), taking("b", 9, 2)], limits=(Limit("matlab", 20),)))
    assert placed(made, "a") == {"cern": 2, "exoscale": 2}
    assert sum(placed(made, "b").values()) == 4
    assert message(made, "b", "cern") == "limit matlab leaves 0 in all, it needs 2 (held by a 12)"


def test_a_cluster_may_have_a_limit_of_its_own() -> None:
    made = legal(snapshot(TWO, [taking("a", 30)], limits=(Limit("matlab", 20, {"cern": 5}),)))
    assert placed(made, "a") == {"cern": 1, "exoscale": 19}, "room is the weight, and it is 5 at cern"
    tiers = (Tier("one", ("cern",)), Tier("two", ("exoscale",)))
    made = legal(
        snapshot(
            TWO, [taking("a", 30)], limits=(Limit("matlab", 20, {"cern": 5}),), policies=[Policy("p", tiers=tiers)]
        )
    )
    assert placed(made, "a") == {"cern": 5, "exoscale": 15}


def test_a_star_speaks_for_each_cluster_that_is_not_named() -> None:
    made = legal(snapshot(TWO, [taking("a", 30)], limits=(Limit("matlab", None, {"cern": 5, "*": 2}),)))
    assert placed(made, "a") == {"cern": 5, "exoscale": 2}
    assert message(made, "a", "exoscale") == "limit matlab leaves 0 on this cluster, it needs 1"


def test_what_runs_and_what_is_being_removed_counts() -> None:
    holdings = (Holding("a", "", "cern", 3, leaving=2),)
    federation = snapshot(TWO, [taking("a", 3), taking("b", 9)], holdings=holdings, limits=(Limit("matlab", 8),))
    made = legal(federation)
    assert placed(made, "a") == {"cern": 3}
    assert sum(placed(made, "b").values()) == 3
    assert "held by a 5" in message(made, "b", "cern")


def test_what_a_lost_cluster_held_counts_as_gone() -> None:
    members = (replace(TWO[0], health=Health.LOST), TWO[1])
    made = legal(snapshot(members, [taking("a", 5)], held={("a", "cern"): 5}, limits=(Limit("matlab", 5),)))
    assert placed(made, "a") == {"exoscale": 5}


def test_what_runs_beyond_a_limit_stays_and_nothing_more_starts() -> None:
    federation = snapshot(TWO, [taking("a", 9)], held={("a", "cern"): 6}, limits=(Limit("matlab", 4),))
    assert placed(legal(federation), "a") == {"cern": 6}


def test_a_replica_that_moves_needs_no_second_licence() -> None:
    members = (replace(TWO[0], draining=True), TWO[1])
    federation = snapshot(members, [taking("a", 4)], held={("a", "cern"): 4}, limits=(Limit("matlab", 4),))
    assert placed(legal(federation), "a") == {"exoscale": 4}
    everywhere = (Limit("matlab", 4, {"exoscale": 1}),)
    assert placed(legal(replace(federation, limits=everywhere)), "a") == {"cern": 3, "exoscale": 1}


def test_a_gang_takes_all_of_it_or_nothing() -> None:
    for scope in (Gang(), Gang("federation")):
        short = snapshot(TWO, [taking("a", 4, 2, gang=scope)], limits=(Limit("matlab", 7),))
        made = legal(short)
        assert made.placements == ()
        assert message(made, "a", "cern") == "limit matlab leaves 7 in all, it needs 8"
        assert sum(placed(legal(replace(short, limits=(Limit("matlab", 8),))), "a").values()) == 4


def test_roles_of_a_gang_take_licences_together() -> None:
    roles = tuple(Role(name, 3, amounts(1), limits=Resources.of({"matlab": 1})) for name in ("x", "y"))
    for gang in (None, Gang("federation")):
        short = snapshot(TWO, [workload("a", 0, roles=roles, gang=gang)], limits=(Limit("matlab", 5),))
        made = legal(short)
        assert made.placements == ()
        assert reasons(made, "a") == {"cern": "LimitReached", "exoscale": "LimitReached"}
        assert legal(replace(short, limits=(Limit("matlab", 6),))).refusals == ()


def test_a_gang_goes_to_the_cluster_that_may_have_so_many() -> None:
    limits = (Limit("matlab", None, {"cern": 3}),)
    assert placed(legal(snapshot(TWO, [taking("a", 4, gang=Gang())], limits=limits)), "a") == {"exoscale": 4}


def test_a_limit_that_nobody_has_set_limits_nothing() -> None:
    assert legal(snapshot(TWO, [taking("a", 9)])).refusals == ()


def test_repeated_plans_come_to_rest_at_the_limit() -> None:
    policy = Policy("p", stay=Stay(Rebalance.ALWAYS, 0.0))
    federation = snapshot(
        TWO, [taking("a", 9)], held={("a", "cern"): 6}, limits=(Limit("matlab", 6),), policies=(policy,)
    )
    assert placed(legal(federation), "a") == {"cern": 3, "exoscale": 3}


def test_what_would_let_more_start_is_told() -> None:
    made = plan(snapshot(TWO, [taking("a", 9, 2)], limits=(Limit("matlab", 4),)), explain=["a"])
    assert made.explanations["a"].cures == ("14 more of limit matlab",)
    here = (Limit("matlab", None, {"*": 4}),)
    made = plan(snapshot(TWO, [taking("a", 9, 2)], limits=here), explain=["a"])
    assert made.explanations["a"].cures == ("10 more of limit matlab on cern", "10 more of limit matlab on exoscale")


@pytest.mark.parametrize("limit", [Limit("matlab", 3), Limit("matlab", None, {"cern": 3})])
def test_a_planner_that_forgets_what_it_has_given_is_seen(monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """The planted mistake: a licence is given twice in one plan."""
    federation = snapshot(TWO[:1], [taking("a", 2), taking("b", 2)], limits=(limit,))
    legal(federation)
    monkeypatch.setattr(NamedLimits, "take", lambda *_: None)
    where = "left in all" if limit.count else "left there"
    assert any(where in sentence for sentence in violations(federation, plan(federation)))


def test_a_limit_that_is_blamed_though_enough_is_left_is_seen() -> None:
    federation = snapshot((cluster("cern", cpu=2),), [taking("a", 3)], limits=(Limit("matlab", 9),))
    made = legal(federation)
    lie = Verdict(Reason.LIMIT_REACHED, {"name": "matlab", "left": 0, "needed": 1, "where": "in all", "who": ""})
    lying = replace(made, refusals=(replace(made.refusals[0], reasons={"cern": lie}),))
    assert any("allows more" in sentence for sentence in violations(federation, lying))


def test_alike_work_that_takes_no_licence_is_not_refused_with_the_other() -> None:
    """Refusals of alike roles are repeated; those that take other limits are not alike."""
    plain = workload("b", 1)
    made = legal(snapshot(TWO, [taking("a", 1), plain], limits=(Limit("matlab", 0),)))
    assert placed(made, "b")
    assert reasons(made, "a") == {"cern": "LimitReached", "exoscale": "LimitReached"}


def test_clusters_of_unknown_room_have_limits_too() -> None:
    federation = snapshot((Cluster("cern"),), [taking("a", 9)], limits=(Limit("matlab", 4),))
    assert placed(legal(federation), "a") == {"cern": 4}
