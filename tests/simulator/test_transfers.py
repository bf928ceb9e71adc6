"""Data that is not where work starts delays it, and is there from then on."""

from __future__ import annotations

from pathlib import Path

import pytest

from federator.model.policy import Planning
from federator.model.workload import Input
from federator.simulator.answer import run_document
from federator.simulator.run import Run, simulate, simulate_quickly
from federator.simulator.story import Bandwidths
from federator.simulator.telling import read_scenario
from federator.simulator.telling import told as told_by
from tests.engine.build import cluster
from tests.simulator.stories import arrival, story, told

GIB = 1 << 30
NORTH, SOUTH = cluster("north", nodes=1, cpu=4), cluster("south", nodes=1, cpu=4)
DATA = (Input("dataset", 100 * GIB, ("cern", "far")),)


def _run(bandwidths: Bandwidths | None, gap_s: float = 500.0) -> Run:
    """Two workloads that read the same, one after the other, on a cluster that does not have it."""
    arrivals = [arrival(name, at_s, 50, inputs=DATA) for name, at_s in (("first", 0), ("second", gap_s))]
    return simulate_quickly(story([NORTH], arrivals, bandwidths=bandwidths))


def test_replicas_wait_for_their_inputs_and_the_next_find_them_there() -> None:
    """100 GiB come from the far place at 1 GiB a second, from CERN at half of that: the first waits 100 s on its node;
    who comes while they are on their way waits for the rest; who comes later does not wait."""
    fast = Bandwidths(GIB // 2, {frozenset(("north", "far")): GIB})
    run = _run(fast)
    assert [(told(run, n).started_s, told(run, n).ended_s) for n in ("first", "second")] == [(100, 150), (500, 550)]
    run = _run(fast, gap_s=60.0)
    assert (told(run, "second").started_s, told(run, "second").ended_s) == (100, 150)
    document = run_document(run)
    assert document["transferred_bytes"] == 100 * GIB
    assert document["utilization"]["north"]["cpu"] == pytest.approx(2 * 50 / (4 * 150), abs=1e-6), (
        "waiting for data is no use"
    )
    assert told(_run(Bandwidths(GIB // 2)), "first").started_s == 200
    assert told(_run(None), "first").started_s == 0, "without transfers data is at hand, so the rest shows nothing"


def test_what_is_at_hand_or_nowhere_or_has_no_bandwidth_delays_nothing() -> None:
    here, nowhere = (Input("here", GIB, ("north",)),), (Input("nowhere", GIB),)
    arrivals = [arrival("a", 0, 50, inputs=here), arrival("b", 0, 50, inputs=nowhere), arrival("c", 0, 50, inputs=DATA)]
    run = simulate(story([NORTH], arrivals, bandwidths=Bandwidths(pairs={frozenset(("south", "far")): 1})))
    assert {one.started_s for one in run.measures.workloads} == {0}


def test_every_cluster_needs_a_copy_of_its_own() -> None:
    arrivals = [arrival(f"w{at}", 0, 50, 4, inputs=DATA) for at in range(2)]
    run = simulate(story([NORTH, SOUTH], arrivals, Planning(), bandwidths=Bandwidths(GIB)))
    assert run.measures.transferred_bytes == 2 * 100 * GIB, "all ran on one cluster, so this test shows nothing"
    assert {one.started_s for one in run.measures.workloads} == {100}


def test_a_scenario_says_how_fast_data_moves(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("""\
apiVersion: federator.dev/v1alpha1
kind: Scenario
metadata: {name: far}
spec:
  workloads:
    - generate:
        {name: w, rate: 1/h, count: 1, duration: 1h, requests: {cpu: 8},
         inputs: [{name: run3, size: 2Gi, at: [cern]}]}
  transfers: {bandwidth: 1Gi, links: [{between: [cern, cloud], bandwidth: 100Mi}]}
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: cloud}
spec: {provider: fake, flavors: [{name: node, allocatable: {cpu: 8}}]}
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: cern}
spec: {provider: fake, flavors: [{name: node, allocatable: {cpu: 4}}]}
""")
    run = simulate(told_by(*read_scenario(path), tmp_path))
    (one,) = run.measures.workloads
    assert one.wait_s == pytest.approx(2 * 1024 / 100, abs=0.001)
