"""One daemon over local clusters: the whole way, with processes that really run."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.federator_process import Federator, batch, local, named, until

pytestmark = pytest.mark.real

RSP = {
    "apiVersion": "scheduling.kubefed.io/v1alpha1",
    "kind": "ReplicaSchedulingPreference",
    "metadata": {"name": "jupyterhub"},
    "spec": {
        "targetKind": "FederatedDeployment",
        "totalReplicas": 9,
        "rebalance": True,
        "clusters": {
            "CERN": {"minReplicas": 2, "maxReplicas": 6, "weight": 100},
            "Exoscale": {"minReplicas": 0, "maxReplicas": 3, "weight": 20},
        },
    },
}
CERN_BEFORE_CLOUD = named(
    "PlacementPolicy",
    "fill-cern-before-cloud",
    {"tiers": [{"name": "cern", "clusters": ["cern"]}, {"name": "cloud", "clusters": ["exoscale"]}]},
)
TWO = [local("cern", 4, nodes=2), local("exoscale", 4)]


def test_batch_work_runs_to_its_end_and_says_where(federator: Federator, tmp_path: Path) -> None:
    federator.write([*TWO, CERN_BEFORE_CLOUD])
    federator.start()
    out = tmp_path / "out"
    federator.submit(batch("reco", 10, ["sh", "-c", f"{federator.held}; echo $FEDERATOR_REPLICA_INDEX >> {out}"]))
    placed = federator.wait_for("reco", lambda w: w["running"] == 10)
    assert placed["placements"] == {"cern": 8, "exoscale": 2}, "the cloud gets what CERN has no room for"
    federator.let_go()
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert sorted(map(int, out.read_text().split())) == list(range(10)), "each index ran once"


def test_the_preference_of_cern_lands_six_and_three(federator: Federator) -> None:
    federator.write([*TWO, CERN_BEFORE_CLOUD, RSP])
    federator.start()
    federator.submit(
        batch("jupyterhub", 1, ["sh", "-c", "while true; do sleep 1; done"], cpu="500m", lifetime="service")
    )
    hub = federator.wait_for("jupyterhub", lambda w: w["running"] == 9)
    assert hub["placements"] == {"cern": 6, "exoscale": 3}
    text = federator.cli("explain", "jupyterhub")
    assert "cern" in text
    assert "exoscale" in text
    federator.cli("delete", "workload", "jupyterhub")
    until(lambda: federator.workload("jupyterhub") is None, "the hub to be gone")


def test_a_daemon_that_is_killed_at_any_moment_loses_nothing_and_runs_nothing_twice(
    federator: Federator, tmp_path: Path
) -> None:
    """Forty replicas, each of which writes one line when it ends; five kills at moments drawn by a seed."""
    seed = 20260
    chance = random.Random(seed)
    out = tmp_path / "out"
    federator.write([*TWO, CERN_BEFORE_CLOUD])
    federator.start()
    for number in range(4):
        federator.submit(
            batch(f"crash-{number}", 10, ["sh", "-c", f"sleep 1; echo {number}/$FEDERATOR_REPLICA_INDEX >> {out}"])
        )
    for _ in range(5):
        time.sleep(chance.uniform(0.05, 1.5))
        federator.kill()
        federator.start()
    for number in range(4):
        done = federator.wait_for(f"crash-{number}", lambda w: w["state"] in ("finished", "failed"), 90)
        assert done["state"] == "finished", f"seed {seed}: {json.dumps(done)}"
    lines = Counter(out.read_text().split())
    assert len(lines) == 40, f"seed {seed}: {lines}"
    assert set(lines.values()) == {1}, f"seed {seed}: some replica ran twice: {lines}"
    assert not federator.items("placements")


def test_a_stopped_daemon_leaves_work_running_and_goes_on_with_it(federator: Federator, tmp_path: Path) -> None:
    out = tmp_path / "out"
    federator.write(TWO)
    federator.start()
    federator.submit(batch("long", 2, ["sh", "-c", f"{federator.held}; echo x >> {out}"]))
    federator.wait_for("long", lambda w: w["running"] == 2)
    assert federator.stop() == 0
    federator.let_go()
    until(lambda: out.exists() and out.read_text().count("x") == 2, "it to end while nobody watches")
    federator.start()
    assert federator.wait_for("long", lambda w: w["state"] == "finished")["finished"] == 2
    assert out.read_text().count("x") == 2
