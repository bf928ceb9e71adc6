"""Each planted mistake spoils a plan, or the planner, in one way; the checks must see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from federator.engine import allowance, filling, placing, plain, plain_turns, tiers
from federator.engine import federation as laid_out
from federator.engine.checks import violations
from federator.engine.plain import Plain
from federator.engine.planner import plan
from federator.model.plan import Move, Plan, Snapshot
from federator.model.policy import Bounds, Policy, Queue, Rebalance, Stay, Tier
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Gang
from tests.engine.build import amounts, cluster, snapshot, workload
from tests.interpreted import interpreted

pytestmark = pytest.mark.thorough


def spoil(change: Callable[[Plan], Plan], federation: Snapshot) -> tuple[str, ...]:
    made = plan(federation)
    assert violations(federation, made) == ()
    return violations(federation, change(made))


def more(by: int) -> Callable[[Plan], Plan]:
    """One placement has so many more replicas, and its refusal so many fewer."""

    def change(made: Plan) -> Plan:
        first = made.placements[0]
        refusals = tuple(replace(r, replicas=r.replicas - by) for r in made.refusals)
        return replace(
            made, placements=(first._replace(replicas=first.replicas + by), *made.placements[1:]), refusals=refusals
        )

    return change


def test_a_replica_without_an_answer_is_seen() -> None:
    seen = spoil(lambda made: replace(made, refusals=()), snapshot([cluster("a", cpu=2)], [workload("w", 9)]))
    assert seen == ("('w', ''): 9 replicas are wanted, 2 are answered",)


def test_a_promise_beyond_the_nodes_is_seen() -> None:
    seen = spoil(more(1), snapshot([cluster("a", nodes=2, cpu=3)], [workload("w", 9, cpu=2)]))
    assert len(seen) == 1
    assert "a is promised more than its nodes have: 3 replicas" in seen[0]


def test_a_promise_beyond_fragments_of_two_shapes_is_seen() -> None:
    """Each shape fits alone, and both fit in all; but no node holds a large one beside a small one."""
    federation = snapshot([cluster("a", nodes=2, cpu=3)], [workload("v", 2, cpu=2), workload("w", 3)])

    def change(made: Plan) -> Plan:
        return replace(
            made,
            placements=tuple(p._replace(replicas=2 if p.workload == "v" else 3) for p in made.placements),
            refusals=(),
        )

    assert any("promised more" in sentence for sentence in spoil(change, federation))


def test_a_promise_beyond_a_quota_is_seen() -> None:
    member = replace(cluster("a", cpu=16), limits=workload("x", 1, cpu=3).total_requests)
    assert any("quotas leave" in sentence for sentence in spoil(more(1), snapshot([member], [workload("w", 9)])))


def test_a_promise_beyond_a_maximum_is_seen() -> None:
    rules = (Policy("p", bounds={"a": Bounds(maximum=2)}),)
    seen = spoil(more(1), snapshot([cluster("a", cpu=16)], [workload("w", 9)], policies=rules))
    assert seen == ("w: 3 replicas on a, policy allows 2",)


@pytest.mark.parametrize("change", [{"cordoned": True}, {"draining": True}, {"abilities": frozenset[str]()}])
def test_new_work_where_none_may_go_is_seen(change: dict[str, object]) -> None:
    good = snapshot([cluster("a")], [workload("w", 1, needs=frozenset({"container"}))])
    bad = replace(good, clusters=(replace(good.clusters[0], **change),))  # type: ignore[arg-type]
    assert any("1 new replicas on a" in sentence for sentence in violations(bad, plan(good)))


def test_half_a_gang_is_seen() -> None:
    federation = snapshot([cluster("a", cpu=8)], [workload("w", 4, gang=Gang())])

    def change(made: Plan) -> Plan:
        return replace(made, placements=(made.placements[0]._replace(replicas=3),))

    assert any("placed in part" in sentence for sentence in spoil(change, federation))


def test_a_missing_reason_is_seen() -> None:
    federation = snapshot([cluster("a", cpu=2), cluster("b", cpu=2)], [workload("w", 9)])

    def change(made: Plan) -> Plan:
        return replace(made, refusals=(replace(made.refusals[0], reasons={"a": Verdict(Reason.CORDONED)}),))

    assert any("not for every cluster" in sentence for sentence in spoil(change, federation))


def test_a_false_lack_of_room_is_seen() -> None:
    federation = snapshot([cluster("a", cpu=2), cluster("b", cpu=2)], [workload("w", 9, gang=Gang())])
    lie = Verdict(Reason.NO_ROOM, {"needed": "1 cpu", "free": "0 cpu", "holds": 0})

    def change(made: Plan) -> Plan:
        return replace(made, refusals=(replace(made.refusals[0], reasons={"a": lie, "b": lie}),))

    assert any("is said to have no room" in sentence for sentence in spoil(change, federation))


TWO_TIERS = Policy("p", tiers=(Tier("first", ("a",)), Tier("second", ("b",))))


def test_a_later_tier_that_is_filled_first_is_seen() -> None:
    federation = snapshot([cluster("a", cpu=8), cluster("b", cpu=8)], [workload("w", 3)], policies=(TWO_TIERS,))

    def change(made: Plan) -> Plan:
        return replace(made, placements=(made.placements[0]._replace(cluster="b", tier="second"),))

    assert spoil(change, federation) == ("w grew in tier 1 while a of tier 0 had room",)


def test_a_move_that_nothing_allows_is_seen() -> None:
    federation = snapshot([cluster("a"), cluster("b")], [workload("w", 2)], held={("w", "a"): 2})

    def change(made: Plan) -> Plan:
        moved = (made.placements[0]._replace(cluster="b"),)
        return replace(made, placements=moved, moves=(Move("w", "", "a", "b", 2),))

    assert spoil(change, federation) == ("w: 2 replicas leave a, 0 may",)


def test_a_move_that_is_not_reported_is_seen() -> None:
    federation = snapshot(
        [replace(cluster("a"), draining=True), cluster("b")], [workload("w", 2)], held={("w", "a"): 2}
    )
    assert plan(federation).moves == (Move("w", "", "a", "b", 2),)
    assert any("0 replicas move, 2 leave" in one for one in spoil(lambda made: replace(made, moves=()), federation))


@pytest.mark.parametrize("limits", [None, amounts(cpu=40)], ids=["plain turns", "other turns"])
def test_a_planner_that_forgets_to_take_room_is_seen(monkeypatch: pytest.MonkeyPatch, limits: Resources | None) -> None:
    federation = snapshot([cluster("a", cpu=4, limits=limits)], [workload("v", 3), workload("w", 3)])
    interpreted(monkeypatch, plain, plain_turns)
    assert violations(federation, plan(federation)) == ()
    monkeypatch.setattr(laid_out, "bind", lambda nodes, shape, replicas, habits: 0 * replicas)
    monkeypatch.setattr(plain_turns, "bind_counted", lambda *_: None)
    assert any("promised more" in sentence for sentence in violations(federation, plan(federation)))


def test_a_planner_that_opens_tiers_too_soon_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = replace(TWO_TIERS, tiers=(TWO_TIERS.tiers[0], replace(TWO_TIERS.tiers[1], open_after_s=300.0)))
    federation = snapshot([cluster("a", cpu=2), cluster("b", cpu=8)], [workload("w", 5)], policies=(patient,))
    assert violations(federation, plan(federation)) == ()
    interpreted(monkeypatch, tiers, filling)
    monkeypatch.setattr(Plain, "_entry", lambda self, workload: None)
    assert violations(federation, plan(federation)) == ()
    monkeypatch.setattr(filling, "_waits", lambda *_: filling.OPEN)
    assert violations(federation, plan(federation)) == ("w grew in tier 1; tier 0 has not been full for 300.0 s",)


def test_a_planner_that_ignores_stay_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (Policy("p", stay=Stay(Rebalance.NEVER)),)
    federation = snapshot([cluster("a"), cluster("b")], [workload("w", 5)], policies=rules, held={("w", "a"): 4})
    assert violations(federation, plan(federation)) == ()
    real = placing.settle
    always = replace(rules[0], stay=Stay(Rebalance.ALWAYS, 0.0))

    def restless(federation_: object, turn: object, fill: object) -> object:
        return real(
            federation_, replace(turn, rule=replace(turn.rule, policy=always)), lambda firm, _: fill(firm, True)
        )  # type: ignore

    monkeypatch.setattr(placing, "settle", restless)
    assert "w: 1 replicas leave a, 0 may" in violations(federation, plan(federation))


BOUNDED = snapshot(
    [cluster("a"), cluster("b")],
    [workload("v", 3), workload("w", 9, queue="cms")],
    held={("v", "a"): 1},
    queues=[
        Queue("default", cohort="lhc", quota=amounts(cpu=2), cluster_quota={"*": amounts(cpu=4)}),
        Queue("cms", cohort="lhc", quota=amounts(cpu=3), borrowing_limit=amounts(cpu=1)),
    ],
)


def test_a_planner_that_forgets_quotas_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert violations(BOUNDED, plan(BOUNDED)) == ()
    monkeypatch.setattr(allowance.Allowance, "admit", lambda *_: None)
    assert violations(BOUNDED, plan(BOUNDED)) == (
        "lhc has 12000 cpu, its quota is 5000",
        "cms has 9000 cpu, its quota 3000, and may borrow 1000",
    )


def test_a_planner_that_counts_nothing_against_quotas_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance.Allowance, "take", lambda *_: None)
    assert "lhc has 7000 cpu, its quota is 5000" in violations(BOUNDED, plan(BOUNDED))


def test_a_planner_that_lets_clusters_of_one_limit_have_it_each_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    federation = replace(BOUNDED, queues=(Queue("cms", cluster_quota={"*": amounts(cpu=4)}),))
    assert violations(federation, plan(federation)) == ()
    monkeypatch.setattr(allowance.Allowance, "within", lambda self, turn, fill: fill())
    assert violations(federation, plan(federation)) == ("cms has 8000 cpu on *, its clusterQuota is 4000",)
