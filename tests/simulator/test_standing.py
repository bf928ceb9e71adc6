"""A story can begin in the middle of things: what runs goes on from where it is, and ends when it would have."""

from __future__ import annotations

from random import Random

from federator.model.cluster import NodeGroup
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Planning
from federator.simulator.answer import run_document
from federator.simulator.run import simulate
from federator.simulator.telling import onward
from tests.engine.build import amounts, cluster, flavor, snapshot, workload
from tests.simulator.stories import PLAIN, arrival, story, told


def _busy(free: int, unbound: int = 0) -> Snapshot:
    """One node of four cores with so much free. A workload has two replicas there, which run 700 s, 300 of them behind
    them; another waits, and asks for three cores."""
    node = cluster("north", flavors=(flavor("std", 1, amounts(4), free=[(amounts(free), 1)]),), price={"cpu": 3.6e6})
    runs = workload("runs", 2, duration_s=700.0, submitted_at_s=50.0)
    waits = workload("waits", 1, cpu=3, duration_s=100.0, submitted_at_s=60.0)
    return snapshot([node], [runs, waits], holdings=(Holding("runs", "", "north", 2, unbound, age_s=300.0),))


def test_what_runs_has_only_the_rest_before_it_and_what_waits_starts_then() -> None:
    for seen in (_busy(free=2), _busy(free=4, unbound=2)):
        run = simulate(onward(seen, "now", None))
        assert told(run, "runs").ended_s == 400
        assert (told(run, "waits").started_s, told(run, "waits").ended_s) == (400, 500)
        answer = run_document(run)
        assert answer["wait_s"] == {"mean": 400, "p50": 400, "p95": 400, "p99": 400, "max": 400}
        assert answer["jobs"]["finished"] == 2
        assert answer["cost"] == 2 * 400 * 3.6 / 3600 + 3 * 100 * 3.6 / 3600


def test_what_others_use_stays_used() -> None:
    """Of four cores one is free and two are ours: the fourth is used by others, who stay. Then three are free."""
    run = simulate(onward(_busy(free=1), "now", 1000.0))
    assert told(run, "waits").started_s == 400
    run = simulate(onward(_busy(free=0), "now", 1000.0))
    assert told(run, "waits").started_s is None


def test_what_a_cluster_that_is_drained_still_has_moves_when_room_comes_free_elsewhere() -> None:
    """South is full for 70 s, and nothing waits: planning looks again when it is not."""
    sites = [cluster("north", cpu=4, draining=True), cluster("south", cpu=4)]
    held = {("leaves", "north"): 4, ("fills", "south"): 4}
    work = [workload("leaves", 4, duration_s=3800.0), workload("fills", 4, duration_s=3670.0)]
    run = simulate(onward(snapshot(sites, work, held=held), "now", None))
    assert told(run, "fills").ended_s == 70
    assert told(run, "leaves").ended_s == 70 + 3800


def test_a_run_that_is_taken_up_in_the_middle_ends_as_the_whole_does() -> None:
    """A run is told to its end, and taken up again from the snapshot of a plan in its middle. What was there then ends
    at the same moments."""
    random = Random(5)
    sites = [cluster("north", nodes=3, cpu=4), cluster("south", nodes=2, cpu=4)]
    coming = [
        arrival(f"w{n:02}", random.uniform(0, 900), random.uniform(50, 900), random.randint(1, 4)) for n in range(40)
    ]
    coming.sort(key=lambda one: one.at_s)
    seen: list[Snapshot] = []

    def watch(picture: Snapshot, _: Plan) -> None:
        if not seen and picture.at_s > 900 and len(picture.workloads) > 15:
            seen.append(picture)

    whole = simulate(story(sites, coming, PLAIN), watch=watch)
    (picture,) = seen
    rest = simulate(onward(picture, "rest", None))
    assert len(picture.holdings) > 5, "hardly anything ran then, so this test shows nothing"
    assert len(rest.measures.workloads) > len({one.workload for one in picture.holdings})
    for one in rest.measures.workloads:
        ended_s, late_s = told(whole, one.name).ended_s, picture.at_s
        assert ended_s is not None
        assert one.ended_s is not None
        assert abs(one.ended_s + late_s - ended_s) < 1e-6, one.name


def test_replicas_that_nobody_can_seat_wait_for_room() -> None:
    """A snapshot says that three replicas run where there is room for two: the third starts when one has ended."""
    node = cluster("north", flavors=(flavor("std", 1, amounts(2)),))
    assert node.flavors is not None
    assert node.flavors[0].nodes == (NodeGroup(amounts(2), 1),)
    runs = workload("runs", 3, duration_s=700.0)
    seen = snapshot([node], [runs], holdings=(Holding("runs", "", "north", 3, 3, age_s=300.0),), planning=Planning())
    assert told(simulate(onward(seen, "now", None)), "runs").ended_s == 400 + 700
