"""What is idle is filled: how much of it, by whom, and why no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from federator.engine.planner import plan
from federator.engine.quiet import quiet_for, quiet_in
from federator.model.backfill import Filled, Filler, QuietHours
from federator.model.cluster import Rise
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Planning
from federator.model.resources import Resources
from tests.engine.build import amounts, cluster, flavor, placed, snapshot, workload


def filler(name: str = "f", replicas: int = 1_000_000, cpu: float = 1, memory: int = 0, **more: Any) -> Filler:
    work = {key: more.pop(key) for key in ("parallelism", "clusters") if key in more}
    needs = frozenset({"backfill"})
    return Filler(workload(name, replicas, cpu, memory, needs=needs, backfill=True, **work), **more)


def holding(where: str, count: int, name: str = "f", unbound: int = 0) -> Holding:
    return Holding(name, "", where, count, unbound, age_s=3600.0)


def filled(made: Plan, name: str = "f") -> Filled:
    return next(one for one in made.backfill if one.workload == name)


def reason(made: Plan, where: str, name: str = "f") -> str:
    return filled(made, name).why[where].reason.value


def test_fillers_have_what_production_leaves_node_by_node() -> None:
    """Two nodes of 4 cores; production takes 3 of one. A filler of 2 cores fits twice on the other, and no more."""
    seen = snapshot([cluster("a", nodes=2, cpu=4)], [workload("w", 1, cpu=3)], fillers=[filler(cpu=2)])
    made = plan(seen)
    assert placed(made, "w") == {"a": 1}
    assert filled(made).replicas == {"a": 2}
    assert reason(made, "a") == "NoRoom"


def test_production_takes_the_room_of_backfill_as_if_it_were_free() -> None:
    """The cluster is full of fillers, which its free amounts do not show; production is placed at once."""
    seen = snapshot([cluster("a", cpu=8)], [workload("w", 6)], fillers=[filler()], holdings=[holding("a", 8)])
    made = plan(seen)
    assert placed(made, "w") == {"a": 6}
    assert not made.preemptions
    assert filled(made).replicas == {"a": 8}, "while production comes, the cluster itself ends what it needs"
    arrived = replace(seen, holdings=(Holding("w", "", "a", 6, age_s=10.0), holding("a", 2)))
    full = replace(arrived, clusters=(cluster("a", flavors=(flavor("n", 1, amounts(8), free=((amounts(2), 1),)),)),))
    assert filled(plan(full)).replicas == {"a": 2}


@pytest.mark.parametrize(
    ("limits", "replicas", "why"),
    [
        ({"keep_free": {"*": {"*": 100_000}}}, 18, "KeptFree"),
        ({"keep_free": {"a": {"cpu": 500_000}, "*": {"*": 0}}}, 10, "KeptFree"),
        ({"max_share": 250_000}, 5, "AtShare"),
        ({"parallelism": 3}, 3, "AllPlaced"),
        ({"replicas": 7}, 7, "AllPlaced"),
        ({}, 20, "NoRoom"),
        ({"max_price": 999}, 0, "AboveCap"),
        ({"max_price": 1000}, 20, "NoRoom"),
        ({"max_carbon": 49.0}, 0, "AboveCap"),
        ({"quiet_hours": (QuietHours(2 * 3600, 3 * 3600),)}, 0, "QuietHours"),
        ({"quiet_hours": (QuietHours(3 * 3600, 4 * 3600),), "smallest_slice_s": 900.0}, 0, "HoleTooShort"),
        ({"quiet_hours": (QuietHours(3 * 3600, 4 * 3600),), "smallest_slice_s": 600.0}, 20, "NoRoom"),
    ],
)
def test_how_much_is_filled_and_why_no_more(limits: dict[str, Any], replicas: int, why: str) -> None:
    """20 cores at 0.001 an hour and 50 gCO2e/kWh, at 2:46:40 in the night."""
    member = cluster("a", nodes=5, cpu=4, price={"cpu": 1000.0}, carbon_g_per_kwh=50.0)
    made = plan(snapshot([member], [], fillers=[filler(**limits)]))
    assert filled(made).replicas.get("a", 0) == replicas
    assert reason(made, "a") == why


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (cluster("a", cordoned=True), "Cordoned"),
        (cluster("a", draining=True), "Draining"),
        (cluster("a", abilities=frozenset({"process"})), "NoAbility"),
        (cluster("a", flavors=None), "NotFilled"),
        (cluster("a", limits=amounts(100)), "NotFilled"),
        (cluster("a", flavors=(flavor("n", 1, amounts(0.5)),)), "TooBig"),
    ],
)
def test_where_nothing_is_filled(member: Any, why: str) -> None:
    made = plan(snapshot([member], [], fillers=[filler()]))
    assert filled(made).replicas == {}
    assert reason(made, "a") == why


def test_idle_cores_are_shared_by_weight_and_what_one_leaves_goes_to_the_other() -> None:
    heavy, light = filler("heavy", weight=3), filler("light")
    made = plan(snapshot([cluster("a", nodes=2, cpu=8)], [], fillers=[light, heavy]))
    assert (filled(made, "heavy").replicas, filled(made, "light").replicas) == ({"a": 12}, {"a": 4})
    few = filler("heavy", replicas=2, weight=3)
    made = plan(snapshot([cluster("a", nodes=2, cpu=8)], [], fillers=[light, few]))
    assert (filled(made, "heavy").replicas, filled(made, "light").replicas) == ({"a": 2}, {"a": 14})


def test_what_runs_stays_although_another_is_heavier_and_the_lighter_yields_first() -> None:
    heavy, light = filler("heavy", weight=3), filler("light")
    held = [holding("a", 8, "light"), holding("a", 4, "heavy")]
    made = plan(snapshot([cluster("a", nodes=2, cpu=8)], [], fillers=[light, heavy], holdings=held))
    assert filled(made, "light").replicas == {"a": 8}
    assert filled(made, "heavy").replicas == {"a": 8}
    waiting = [holding("a", 8, "light", unbound=8), holding("a", 4, "heavy", unbound=4)]
    made = plan(snapshot([cluster("a", cpu=8)], [], fillers=[light, heavy], holdings=waiting))
    assert (filled(made, "heavy").replicas, filled(made, "light").replicas) == ({"a": 4}, {"a": 4})


def test_what_is_on_a_node_and_finds_no_room_is_left_to_the_cluster_and_nothing_starts_beside_it() -> None:
    """Production has come to six of eight cores, and the cluster has not told yet which fillers it ended for it. What
    waits for a node is taken back, and another filler waits until that is settled."""
    crowded = cluster("a", flavors=(flavor("n", 1, amounts(8), free=((amounts(2), 1),)),))
    runs, waits = holding("a", 5), holding("a", 6, unbound=3)
    seen = snapshot([crowded, cluster("b", cpu=1)], [], fillers=[filler(replicas=6), filler("g")], holdings=[runs])
    made = plan(seen)
    assert (filled(made).replicas, filled(made, "g").replicas) == ({"a": 5, "b": 1}, {})
    made = plan(replace(seen, holdings=(waits,)))
    assert filled(made).replicas["a"] == 3, "two would fit, three are on a node"


def test_head_room_is_kept_though_what_runs_finds_no_room_on_paper() -> None:
    """Two nodes of 4 cores. What runs fits, but not as it is laid out anew; one in five cores has to be free."""
    whole, single = filler("whole", cpu=4, keep_free={"*": {"*": 200_000}}), filler("single", replicas=4, weight=2)
    held = [holding("a", 4, "single"), holding("a", 1, "whole")]
    made = plan(snapshot([cluster("a", nodes=2, cpu=4)], [], fillers=[whole, single], holdings=held))
    assert (filled(made, "single").replicas, filled(made, "whole").replicas) == ({"a": 4}, {})
    free = replace(whole, keep_free={})
    made = plan(snapshot([cluster("a", nodes=2, cpu=4)], [], fillers=[free, single], holdings=held))
    assert (filled(made, "single").replicas, filled(made, "whole").replicas) == ({"a": 4}, {"a": 1})


def test_a_bag_smaller_than_the_holes_is_spread_by_room() -> None:
    made = plan(snapshot([cluster("a", cpu=8), cluster("b", cpu=24)], [], fillers=[filler(replicas=8)]))
    assert filled(made).replicas == {"a": 2, "b": 6}


RESTLESS = (Rise(300.0, ((amounts(5), 1),)),)
"""From every moment others come to use five cores within five minutes."""


def lossy(**more: Any) -> Filler:
    made = filler("lossy", **more)
    return replace(made, workload=replace(made.workload, duration_s=3600.0, checkpoint_every_s=600.0))


def test_what_others_will_soon_need_is_not_filled_and_the_reason_has_numbers() -> None:
    seen = snapshot([cluster("a", cpu=10, rises=RESTLESS)], [], fillers=[lossy()])
    made = plan(seen)
    assert filled(made, "lossy").replicas == {"a": 5}
    assert filled(made, "lossy").why["a"].message == (
        "a hole here lasts 2m30s on average, and 100.0% of the work in it is lost when others need it; "
        "with one more replica it were more than 2% of all that the filler does here"
    )
    assert filled(plan(replace(seen, fillers=(lossy(most_lost=1_000_000),))), "lossy").replicas == {"a": 10}
    assert filled(plan(replace(seen, fillers=(lossy(stops_s=5.0),))), "lossy").replicas == {"a": 10}
    runs = replace(seen, holdings=(holding("a", 8, "lossy"),))
    assert filled(plan(runs), "lossy").replicas == {"a": 8}, "what runs stays until somebody needs the room"


def test_shortly_before_quiet_hours_only_what_has_saved_something_by_then_is_started() -> None:
    """They begin in 800 s. An hour's task that saves every ten minutes has lost 300 s then, one every minute 30 s."""
    soon = (QuietHours(3 * 3600, 4 * 3600),)
    calm = cluster("a", cpu=10, rises=(Rise(300.0, ((Resources(), 1),)),))
    often = lossy(quiet_hours=soon, most_lost=50_000)
    often = replace(often, workload=replace(often.workload, checkpoint_every_s=60.0))
    assert reason(plan(snapshot([calm], [], fillers=[lossy(quiet_hours=soon)])), "a", "lossy") == "LosesTooMuch"
    assert filled(plan(snapshot([calm], [], fillers=[often])), "lossy").replicas == {"a": 10}


@pytest.mark.parametrize("held", [(), (holding("a", 5, "all-saved"),)])
def test_who_loses_most_has_what_is_free_longest_and_who_saves_in_time_the_rest(held: tuple[Holding, ...]) -> None:
    saves = filler("all-saved", stops_s=5.0)
    made = plan(snapshot([cluster("a", cpu=10, rises=RESTLESS)], [], fillers=[saves, lossy()], holdings=held))
    assert filled(made, "lossy").replicas == {"a": 5}
    assert filled(made, "all-saved").replicas == {"a": 5}


def test_a_hole_before_a_reservation_is_left_alone_when_it_is_too_short() -> None:
    """8 cores, 6 in use for another 10 minutes; the gang of 8 has its reservation then."""
    running = workload("r", 6, duration_s=4200.0)
    big = workload("big", 8, submitted_at_s=1.0, duration_s=60.0, min_replicas=8)
    member = cluster("a", flavors=(flavor("n", 1, amounts(8), free=((amounts(2), 1),)),))
    seen = snapshot(
        [member], [running, big], fillers=[filler(smallest_slice_s=900.0)],
        holdings=[Holding("r", "", "a", 6, age_s=3600.0)], planning=Planning(backfilling="easy"),
    )  # fmt: skip
    made = plan(seen)
    assert [one.at_s for one in made.reservations] == [600.0]
    assert reason(made, "a") == "HoleTooShort"
    patient: Snapshot = replace(seen, fillers=(filler(smallest_slice_s=300.0),))
    assert filled(plan(patient)).replicas == {"a": 2}


def test_quiet_hours_go_by_the_clock_of_their_place_through_the_change_of_summer_time() -> None:
    """Zurich puts its clocks forward on 29 March 2026 at 2:00: a night from 22:00 to 6:00 is an hour shorter."""
    night = (QuietHours(22 * 3600, 30 * 3600, frozenset({5}), "Europe/Zurich"),)
    begin = 1774731600.0  # Saturday, 28 March, 21:00 UTC, 22:00 in Zurich
    assert quiet_in(night, begin - 60) == 60
    assert quiet_for(night, begin - 60) == 0
    assert quiet_for(night, begin) == 7 * 3600
    assert quiet_for(night, begin + 7 * 3600) == 0
    assert quiet_in(night, begin) == 7 * 86_400 - 3600


@pytest.mark.parametrize(
    ("limits", "rule", "kept"),
    [
        ({"keep_free": {"*": {"*": 100_000}}}, "keepFree", 2),
        ({"idle_for_s": 300.0}, "idleFor", 8),
        ({"idle_for_s": 300.0, "idle_at_most": 200_000}, "idleAtMost", 4),
        ({"idle_for_s": 300.0, "keep_free": {"*": {"*": 500_000}}}, "keepFree", 10),
    ],
)
def test_it_is_told_what_is_kept_free_and_which_rule_decides(limits: dict[str, Any], rule: str, kept: int) -> None:
    """Of 20 cores all are free now, and 12 were all the while within five minutes: 8 are kept for who comes next."""
    idle = {300.0: amounts(12)}
    (one,) = filled(plan(snapshot([cluster("a", nodes=5, cpu=4, idle=idle)], [], fillers=[filler(**limits)]))).kept["a"]
    assert (one.resource, one.rule, one.amount) == ("cpu", rule, 1000 * kept)


def test_where_nothing_is_kept_free_nothing_is_told_of_it() -> None:
    assert filled(plan(snapshot([cluster("a", cpu=8)], [], fillers=[filler()]))).kept == {}
