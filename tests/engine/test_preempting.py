"""What gives way to what, in examples; and that afterwards it comes to rest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federator.engine.checks import violations
from federator.engine.giving_way import giving_way
from federator.engine.planner import plan
from federator.model.plan import Displacement, Holding, Plan, Snapshot
from federator.model.policy import Planning, Policy, Queue, Stay
from federator.model.workload import Gang, Workload
from tests.engine.build import amounts, cluster, flavor, placed, reasons, snapshot, workload

URGENT = Policy("urgent", preempt="lowerPriority")


def gave_way(made: Plan) -> dict[tuple[str, str], tuple[int, str]]:
    """(victim, taker) -> how many replicas, and why."""
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for one in made.preemptions:
        count, _ = found.get((one.workload, one.by), (0, ""))
        found[one.workload, one.by] = count + one.replicas, one.reason
    return found


def planned(federation: Snapshot) -> Plan:
    made = plan(federation)
    assert violations(federation, made) == ()
    return made


def full(*workloads: Workload, cpu: int = 8, policy: Policy = URGENT, **more: object) -> Snapshot:
    """One cluster of one node, on which the first workload holds everything."""
    held = {(workloads[0].name, "a"): cpu}
    return snapshot([cluster("a", cpu=cpu)], workloads, held=held, policies=[policy], **more)  # type: ignore[arg-type]


def bound(federation: Snapshot) -> Snapshot:
    """The same where what is held is still on its way to its nodes, as offline documents say."""
    return replace(federation, holdings=tuple(replace(h, unbound=h.replicas) for h in federation.holdings))


def test_less_urgent_work_gives_way_where_the_policy_says_so() -> None:
    low, high = workload("low", 8), workload("high", 3, priority=5)
    made = planned(bound(full(low, high)))
    assert gave_way(made) == {("low", "high"): (3, "LowerPriority")}
    assert placed(made, "low") == {"a": 5}
    assert reasons(made, "high") == {"a": "RoomIsComing"}
    assert reasons(made, "low") == {"a": "NoRoom"}


@pytest.mark.parametrize("preempt", ["never", "backfill"])
def test_it_does_not_where_the_policy_does_not(preempt: str) -> None:
    low, high = workload("low", 8), workload("high", 3, priority=5)
    assert planned(bound(full(low, high, policy=Policy("p", preempt=preempt)))).preemptions == ()


def test_nothing_gives_way_to_its_equal() -> None:
    assert planned(bound(full(workload("low", 8), workload("high", 3)))).preemptions == ()


def test_backfill_goes_first_then_the_least_urgent_then_what_loses_least() -> None:
    """Of four that fill a cluster alike, one more goes with every two cores that are asked for."""
    running = [
        workload("mid", 2, priority=1),
        workload("low", 2),
        workload("young", 2),
        workload("fill", 2, priority=9, backfill=True),
    ]
    ages = {"mid": 60.0, "low": 7200.0, "young": 60.0, "fill": 9000.0}
    holdings = tuple(Holding(one.name, "", "a", 2, 2, ages[one.name]) for one in running)
    gone = []
    for asked in (2, 4, 6, 8):
        taker = workload("taker", asked, priority=5)
        federation = snapshot([cluster("a")], [*running, taker], holdings=holdings, policies=[URGENT])
        gone.append(sorted(one.workload for one in planned(federation).preemptions))
    assert gone == [["fill"], ["fill", "young"], ["fill", "low", "young"], ["fill", "low", "mid", "young"]]


def test_a_checkpoint_makes_old_work_cheap() -> None:
    saved = workload("saved", 4, checkpoint_every_s=600.0)
    plain = workload("plain", 4)
    holdings = (Holding("saved", "", "a", 4, 4, 7230.0), Holding("plain", "", "a", 4, 4, 300.0))
    federation = snapshot(
        [cluster("a")], [saved, plain, workload("taker", 2, priority=1)], holdings=holdings, policies=[URGENT]
    )
    assert gave_way(planned(federation)) == {("saved", "taker"): (2, "LowerPriority")}


def test_what_has_not_run_for_min_run_is_protected() -> None:
    low, high = workload("low", 8), workload("high", 3, priority=5)
    policy = Policy("p", preempt="lowerPriority", stay=Stay(min_run_s=7200.0))
    assert planned(bound(full(low, high, policy=policy))).preemptions == ()


def test_a_gang_gives_way_whole_and_takes_whole() -> None:
    gang, single = workload("gang", 6, gang=Gang()), workload("single", 2)
    holdings = (Holding("gang", "", "a", 6, 6, 600.0), Holding("single", "", "a", 2, 2, 3600.0))
    small = workload("small", 1, priority=1)
    large = workload("large", 7, priority=1, gang=Gang())

    def gone(taker: Workload) -> dict[tuple[str, str], tuple[int, str]]:
        return gave_way(planned(snapshot([cluster("a")], [gang, single, taker], holdings=holdings, policies=[URGENT])))

    assert gone(small) == {("gang", "small"): (6, "LowerPriority")}
    assert gone(large) == {("gang", "large"): (6, "LowerPriority"), ("single", "large"): (1, "LowerPriority")}
    assert gone(workload("larger", 9, priority=1, gang=Gang())) == {}


def test_work_that_has_borrowed_gives_way_to_the_claim() -> None:
    """Both queues may use four; one uses eight."""
    queues = [Queue(name, cohort="all", quota=amounts(4)) for name in ("a", "b")]
    lent, back = workload("lent", 8, queue="b"), workload("back", 3, queue="a")
    made = planned(bound(full(lent, back, policy=Policy("p"), queues=queues)))
    assert gave_way(made) == {("lent", "back"): (3, "Reclaim")}
    beyond = workload("back", 6, queue="a")
    made = planned(bound(full(lent, beyond, policy=Policy("p"), queues=queues)))
    assert gave_way(made) == {("lent", "back"): (4, "Reclaim")}


def test_under_fair_shares_the_rules_of_shares_decide() -> None:
    """Three queues of three cores: a has 3, b 5, c 1. One more for a evens it out, two would only turn it round."""
    queues = [Queue(name, cohort="all", quota=amounts(3)) for name in "abc"]
    held = {("b1", "x"): 5, ("a1", "x"): 3, ("c1", "x"): 1}
    running = [workload(name, count, queue=name[0]) for (name, _), count in held.items()]
    for asked, gone in ((1, {("b1", "w"): (1, "FairShare")}), (2, {("b1", "w"): (1, "FairShare")})):
        federation = snapshot(
            [cluster("x", cpu=9)],
            [*running, workload("w", asked, queue="a")],
            held=held,
            queues=queues,
            planning=Planning(order="fair"),
        )
        assert gave_way(planned(bound(federation))) == gone
    pair = workload("w", 2, queue="a", gang=Gang())
    federation = snapshot(
        [cluster("x", cpu=9)], [*running, pair], held=held, queues=queues, planning=Planning(order="fair")
    )
    assert gave_way(planned(bound(federation))) == {}


def settled(federation: Snapshot, made: Plan) -> Snapshot:
    """The federation once what gave way is gone, and what was placed runs."""
    left = giving_way(federation, made.preemptions)
    ages = {(h.workload, h.cluster): h for h in left.holdings}
    holdings = []
    for placement in made.placements:
        old = ages.get((placement.workload, placement.cluster))
        age_s = old.age_s + 60.0 if old else 60.0
        holdings.append(
            Holding(
                placement.workload, placement.role, placement.cluster, placement.replicas, placement.replicas, age_s
            )
        )
    return replace(left, holdings=tuple(holdings))


def test_while_it_is_leaving_nothing_more_has_to_give_way() -> None:
    federation = bound(full(workload("low", 8), workload("high", 3, priority=5)))
    leaving = giving_way(federation, planned(federation).preemptions)
    again = planned(leaving)
    assert again.preemptions == ()
    assert placed(again, "low") == {"a": 5}
    assert [(one.workload, one.replicas, one.at_s) for one in again.reservations] == [("high", 3, 1.0)]


def test_what_gave_way_does_not_take_its_room_back() -> None:
    """b lent is older, so it would be served first again; the room is kept for a."""
    queues = [Queue(name, cohort="all", quota=amounts(4)) for name in ("a", "b")]
    lent = workload("lent", 8, queue="b", submitted_at_s=1.0)
    back = workload("back", 3, queue="a", submitted_at_s=2.0)
    federation = bound(full(lent, back, policy=Policy("p"), queues=queues))
    after = settled(federation, planned(federation))
    made = planned(after)
    assert placed(made, "back") == {"a": 3}
    assert placed(made, "lent") == {"a": 5}
    assert made.preemptions == ()
    rest = planned(settled(after, made))
    assert (placed(rest, "back"), placed(rest, "lent"), rest.preemptions) == ({"a": 3}, {"a": 5}, ())


def test_who_has_given_way_in_vain_does_not_again_while_the_other_waits() -> None:
    """Nodes of two cores. The plan takes both replicas of ``low`` for neighbours on one node; they were on two, so what
    they leave is in pieces, and ``high``, of two cores, still waits. ``low`` starts again, and stays."""
    pieces = cluster("a", flavors=(flavor("f", 3, amounts(2), free=[(amounts(), 1), (amounts(1), 2)]),))
    served = [workload("other", 1, 2, priority=9), workload("low", 2), workload("high", 1, 2, priority=5)]
    held = (Holding("other", "", "a", 1, age_s=60.0),)
    displaced = (Displacement("high", "low", 60.0, 1, gains=1),)
    after = snapshot([pieces], served, holdings=held, policies=[URGENT], displacements=displaced)
    assert placed(planned(after), "low") == {"a": 2}
    full = cluster("a", flavors=(flavor("f", 3, amounts(2), free=[(amounts(), 3)]),))
    again = replace(after, clusters=(full,), holdings=(*held, Holding("low", "", "a", 2, age_s=0.0)))
    assert planned(again).preemptions == ()
    assert gave_way(planned(replace(again, displacements=()))) == {("low", "high"): (2, "LowerPriority")}


@pytest.mark.parametrize("more", [{"min_replicas": 4}, {"gang": Gang()}], ids=["minReplicas", "gang"])
def test_room_for_fewer_than_must_start_at_once_is_kept_for_nobody(more: dict[str, Any]) -> None:
    """Two replicas gave way to ``w``, which then wanted four at once: what comes is of no use to it, so it waits like
    everybody, and starts when all four find room."""
    leaving = Holding("r", "", "a", 2, leaving=2, age_s=60.0)
    served = [workload("w", 4, priority=5, **more), workload("r", 4)]
    displaced = (Displacement("w", "r", 10.0, 1, gains=2),)
    kept = Policy("kept", preempt="never")
    tight = snapshot([cluster("a", flavors=(flavor("f", 1, amounts(6), free=[(amounts(2), 1)]),))], served,
                     holdings=(leaving,), policies=[kept], displacements=displaced)  # fmt: skip
    made = planned(tight)
    assert (made.reservations, placed(made, "w"), placed(made, "r")) == ((), {}, {"a": 4})
    ample = replace(tight, clusters=(*tight.clusters, cluster("b", cpu=4)))
    assert sum(placed(planned(ample), "w").values()) == 4


def test_nothing_gives_way_where_room_for_two_at_once_is_bound_so_that_the_second_has_none() -> None:
    """Two nodes of four cores, full of backfill. The first needs two cores and has them; the second a whole node, which
    there would be if two replicas gave way first and the others after that. All at once, it spreads over both."""
    nodes = cluster("a", flavors=(flavor("f", 2, amounts(4), free=[(amounts(), 2)]),))
    served = [workload("fill", 8, backfill=True), workload("whole", 1, 4), workload("first", 2, priority=1)]
    made = planned(snapshot([nodes], served, held={("fill", "a"): 8}, policies=[Policy("p")]))
    assert gave_way(made) == {("fill", "first"): (2, "Backfill")}
    assert reasons(made, "whole") == {"a": "NoRoom"}
