"""Faults of clusters: nodes that break, capacity that is told late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from federator.documents.problems import DocumentErrors
from federator.model.cluster import Binding, Cluster
from federator.model.policy import Planning, Policy, Tier
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Lifetime
from federator.simulator.answer import run_document
from federator.simulator.looks import Looks
from federator.simulator.record import FaultRow
from federator.simulator.recording import recorded
from federator.simulator.run import simulate, simulate_quickly
from federator.simulator.story import CutOff, Fault, NodesDown
from federator.simulator.telling import read_scenario
from federator.simulator.telling import told as told_by
from tests.engine.build import cluster
from tests.simulator.stories import arrival, journal, story, told

FOUR = cluster("north", nodes=4, cpu=4)
SPARE = cluster("south", nodes=4, cpu=4)
HALF = Fault("north", 100.0, 500.0, nodes=NodesDown(count=2))


def _spreading(one: Cluster) -> Cluster:
    return replace(one, binding=Binding.SPREAD)


def test_what_runs_on_a_broken_node_runs_again_elsewhere_and_pays_no_retry() -> None:
    """Half of the nodes break while each has a replica: these two start again on the nodes that are left, all are
    counted once, and none uses up a retry."""
    north = _spreading(FOUR)
    run = simulate(story([north], [arrival("w", 0, 300, 4, retries=0)], faults=(HALF,)))
    w = told(run, "w")
    assert run.measures.nodes_lost == 2
    assert run.measures.lost_s["north"] == 2 * 100, "no broken node had a replica, so this test shows nothing"
    assert (w.failed, w.ended_s) == (False, 400)
    assert run.measures.use["north"]["cpu"] / 1000 == 4 * 300 + 2 * 100


def test_work_waits_for_broken_nodes_and_starts_when_they_are_back() -> None:
    all_of_them = Fault("north", 100.0, 500.0, nodes=NodesDown(count=4))
    run = simulate(story([FOUR], [arrival("w", 150, 10)], faults=(all_of_them,)))
    assert (told(run, "w").started_s, told(run, "w").ended_s) == (500, 510)
    for_ever = replace(all_of_them, ends_s=None)
    run = simulate(story([FOUR], [arrival("w", 150, 10)], faults=(for_ever,), lasts_s=900.0))
    assert (run.waiting, told(run, "w").started_s) == (1, None)


DOWN = Fault("north", 100.0, 500.0, drain_s=60.0)


def test_a_downtime_keeps_new_work_off_while_it_is_drained_and_stops_what_is_left_when_it_begins() -> None:
    """Of what runs 30 s short of the drain the shorter ends in time; the longer begins again after it, at no cost."""
    work = [arrival("short", 10, 80, 4, retries=0), arrival("long", 10, 200, 4, retries=0), arrival("late", 50, 10)]
    run = simulate(story([FOUR], work, faults=(DOWN,)))
    assert (told(run, "short").started_s, told(run, "short").ended_s) == (10, 90)
    assert (told(run, "long").failed, told(run, "long").ended_s) == (False, 700)
    assert run.measures.lost_s["north"] == 4 * 90
    assert (told(run, "late").started_s, told(run, "late").ended_s) == (500, 510)


def test_what_is_drained_goes_where_room_comes_free_before_the_downtime_begins() -> None:
    """South is full until 70 s; no arrival tells that those of north are to move then."""
    north = arrival("north", 10, 200, 4, retries=0)
    south = arrival("south", 0, 70, 16, clusters=Constraint(Selector((Requirement("zone", "In", ("s",)),))))
    run = simulate(story([FOUR, replace(SPARE, labels={"zone": "s"})], [south, north], faults=(DOWN,)))
    assert told(run, "south").ended_s == 70, "south was not full, so this test shows nothing"
    assert told(run, "north").ended_s == 70 + 200
    assert run.measures.lost_s["north"] == 4 * 60


def test_downtimes_may_overlap() -> None:
    """The end of the one within the other does not open the cluster."""
    inner = Fault("north", 150.0, 200.0, drain_s=0.0)
    run = simulate(story([FOUR], [arrival("w", 110, 10)], faults=(DOWN, inner)))
    assert told(run, "w").started_s == 500


def test_reservations_do_not_take_broken_nodes_for_free_ones() -> None:
    """Where clusters tell what runs on each node, those that are broken are not among them."""
    all_of_them = Fault("north", 100.0, 500.0, nodes=NodesDown(count=4))
    easy = Planning(backfilling="easy")
    run = simulate(story([FOUR, SPARE], [arrival("w", 150, 10, 8)], easy, faults=(all_of_them,)))
    assert told(run, "w").ended_s == 160
    assert run.measures.use["south"]["cpu"] / 1000 == 8 * 10


def test_only_nodes_of_the_flavor_break() -> None:
    fault = Fault("north", 100.0, 500.0, nodes=NodesDown(flavor="none-such", count=4))
    run = simulate(story([FOUR], [arrival("w", 0, 300, 16)], faults=(fault,)))
    assert (run.measures.nodes_lost, told(run, "w").ended_s) == (0, 300)


def test_a_service_is_bound_anew_by_its_cluster() -> None:
    service = arrival("s", 0, 0, 4, lifetime=Lifetime.SERVICE)
    run = simulate(story([_spreading(FOUR)], [service], faults=(HALF,), lasts_s=600.0))
    assert run.measures.lost_s["north"] == 2 * 100
    assert run.measures.use["north"]["cpu"] / 1000 == 4 * 600, "it did not run on"


def test_nodes_break_by_chance_as_often_as_they_should_and_alike_for_one_seed() -> None:
    """Each of four nodes breaks every 1,000 s in the mean, for 10 s: about 40 times in 10,000 s. Work goes on."""
    chance = Fault("north", 0.0, None, nodes=NodesDown(every_s=1000.0, repair_s=10.0))
    arrivals = [arrival(f"w{at}", at * 100.0, 90, 8) for at in range(100)]
    one = story([FOUR], arrivals, Planning(), faults=(chance,), lasts_s=10_000.0)
    run = simulate(one)
    assert 20 <= run.measures.nodes_lost <= 65
    assert run.measures.lost_s["north"] > 0, "nothing ran on them, so this test shows nothing"
    assert journal(run) == journal(simulate(one))
    assert journal(run) != journal(simulate(replace(one, seed=1)))
    document = run_document(run)
    assert document["nodes_lost"] == run.measures.nodes_lost
    assert document["jobs"]["finished"] > 90
    assert document["jobs"]["failed"] == 0


def test_stale_capacity_sends_work_where_there_is_no_room_any_more() -> None:
    """North tells only every ten minutes what is free. Work that it has taken since is not in that: it is sent four
    times as much as it holds, which waits there although the south is empty. What it tells next ends that."""
    arrivals = [arrival(f"w{at}", 10.0 + at, 400, 16) for at in range(3)]
    prompt = simulate(story([FOUR, SPARE], arrivals, Planning(), lasts_s=3000.0))
    stale = (Fault("north", 5.0, None, lag_s=600.0),)
    late = simulate(story([FOUR, SPARE], arrivals, Planning(), faults=stale, lasts_s=3000.0))
    begun = [told(prompt, f"w{at}").started_s for at in range(3)]
    assert begun == [10, 11, 410]
    assert sorted(one.ended_s or 0 for one in late.measures.workloads)[-1] > 810
    assert late.measures.use["south"]["cpu"] < prompt.measures.use["south"]["cpu"], "it changed nothing"
    assert all(one.ended_s is not None for one in late.measures.workloads)


def test_faults_are_told_in_words() -> None:
    rate = replace(HALF, nodes=NodesDown(flavor="big", every_s=864000.0))
    assert [one.words for one in (HALF, rate, Fault("n", 0.0, None, lag_s=60.0))] == [
        "2 nodes are down", "each node of big breaks every 10d on average", "what is free is told every 1m",
    ]  # fmt: skip
    assert (HALF.by_chance, rate.by_chance) == (False, True)


def test_the_record_of_a_run_has_its_faults_and_what_was_offered_meanwhile() -> None:
    """Sixteen cores, of which eight are away for 400 s of 1,000."""
    run = simulate(story([FOUR], [arrival("w", 0, 1000, 1)], faults=(HALF,), lasts_s=1000.0))
    record = recorded(run, "x", Looks())
    assert record.faults == [FaultRow("north", "2 nodes are down", 100.0, 500.0)]
    assert min(record.cores["north"]) == 8
    assert max(record.cores["north"]) == 16
    assert run_document(run)["utilization"]["north"]["cpu"] == pytest.approx(1000 / (16 * 1000 - 8 * 400), abs=1e-3)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("faults: [{downtime: north}]", r"spec\.faults\[0\]: a downtime has an end; give 'lasts'"),
        ("faults: [{downtime: nowhere, lasts: 1h}]", r"spec\.faults\[0\]\.downtime: no cluster is called 'nowhere'"),
        ("faults: [{outage: nowhere}]", r"spec\.faults\[0\]\.outage: no cluster is called 'nowhere'"),
        ("faults: [{nodes: nowhere}]", r"spec\.faults\[0\]\.nodes: no cluster is called 'nowhere'"),
        ("faults: [{stale: nowhere}]", r"spec\.faults\[0\]\.stale: no cluster is called 'nowhere'"),
        ("faults: [{nodes: cloud, flavor: big}]", r"spec\.faults\[0\]\.flavor: cloud has no flavor 'big'; known: node"),
        (
            "transfers: {links: [{between: [a, b], bandwidth: 1}]}",
            r"links\[0\]\.between\[0\]: no cluster is called 'a'",
        ),
    ],
)
def test_what_a_scenario_names_must_be_there(tmp_path: Path, spec: str, told: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(f"""\
apiVersion: federator.dev/v1alpha1
kind: Scenario
metadata: {{name: s}}
spec: {{{spec}}}
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {{name: cloud}}
spec: {{provider: fake, flavors: [{{name: node, allocatable: {{cpu: 8}}}}]}}
""")
    with pytest.raises(DocumentErrors, match=told):
        told_by(*read_scenario(path), tmp_path)


def test_a_scenario_has_downtimes_by_its_own_clock_and_no_dates(tmp_path: Path) -> None:
    """The same as a fault, 100 s after it has begun; a date in the document of a cluster is told to be of no use."""
    path, dated = tmp_path / "scenario.yaml", ", downtimes: [{from: 2026-12-01T08:00:00Z, to: 2026-12-01T18:00:00Z}]"
    text = """\
apiVersion: federator.dev/v1alpha1
kind: Scenario
metadata: {name: s}
spec: {faults: [{downtime: north, at: 100s, lasts: 400s, drain: 60s}]}
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: north}
spec: {provider: fake, flavors: [{name: node, allocatable: {cpu: 8}}]MORE}
"""
    path.write_text(text.replace("MORE", ""))
    made = told_by(*read_scenario(path), tmp_path)
    assert made.faults == (DOWN,)
    assert DOWN.words == "downtime, drained 1m before"
    run = simulate_quickly(replace(made, arrivals=lambda: iter([arrival("w", 50, 10)])))
    assert told(run, "w").started_s == 500
    path.write_text(text.replace("MORE", dated))
    with pytest.raises(
        DocumentErrors, match=r"north has downtimes, and a scenario has no dates; .*downtime: north, at"
    ):
        told_by(*read_scenario(path), tmp_path)


def test_who_is_away_for_longer_than_its_lease_runs_again_and_counts_once() -> None:
    """All of north is cut off somewhere on its way, and runs on: the lease is void 60 s later, the replica is placed
    again, in the south, at no cost of its retries. Its seat is not free before it has ended or is back."""
    all_of_it = Fault("north", 0.0, None, cut=CutOff(1.0, away_s=600.0))
    policy = Policy("north-first", tiers=(Tier("north", ("north",)), Tier("south", ("south",))))
    one = story(
        [cluster("north", cpu=4), SPARE], [arrival("w", 0, 300, 4, retries=0)], faults=(all_of_it,), policies=(policy,)
    )
    run = simulate(one)
    assert journal(run) == journal(simulate(one))
    w = told(run, "w")
    assert run.measures.leases_void == run_document(run)["leases_void"] >= 4
    assert not w.failed
    assert (w.ended_s or 0) > 360
    assert run.measures.use["south"]["cpu"] / 1000 == 4 * 300
    assert run.measures.lost_s["north"] == pytest.approx(run.measures.use["north"]["cpu"] / 1000)


def test_who_is_back_within_its_lease_is_only_heard_of_later() -> None:
    short = Fault("north", 0.0, None, cut=CutOff(1.0, away_s=50.0))
    run = simulate(story([FOUR], [arrival("w", 0, 300, 4)], faults=(short,)))
    ended_s = told(run, "w").ended_s
    assert (run.measures.leases_void, run.measures.lost_s["north"]) == (0, 0)
    assert 300 <= (ended_s or 0) < 350


def test_seats_of_what_is_cut_off_are_given_back_once_whatever_becomes_of_their_nodes() -> None:
    """Nodes break under what nobody hears of, many times. In the end there is as much room as in the beginning."""
    cut = Fault("north", 0.0, 3000.0, cut=CutOff(0.5))
    down = Fault("north", 0.0, 3000.0, nodes=NodesDown(every_s=500.0, repair_s=50.0))
    arrivals = [arrival(f"w{at}", at * 100.0, 300, 4) for at in range(20)]
    last = [arrival("all", 20_000, 10, 16), arrival("more", 30_000, 10, 17)]
    run = simulate(story([FOUR], [*arrivals, *last], faults=(cut, down)))
    assert run.measures.leases_void > 10 < run.measures.nodes_lost, "so this test shows nothing"
    assert all(not one.failed and one.ended_s is not None for one in run.measures.workloads)
    assert (told(run, "all").ended_s, told(run, "more").ended_s) == (20_010, 30_020)
