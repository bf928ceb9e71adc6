"""One daemon over a real Slurm: what an operator sees, and what a crash of the daemon leaves."""

from __future__ import annotations

import json
import re
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, batch, local, named, until
from tests.e2e.pilot_process import leases, pilot_token
from tests.servers.fixtures import slurm
from tests.servers.processes import free_port
from tests.servers.slurm import Slurm

__all__ = ["slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
def shared(slurm: Slurm) -> Iterator[Path]:
    """A folder for jobs; their jobs end with the test."""
    yield slurm.shared()
    slurm.clear()


def hpc(slurm: Slurm, shared: Path, **more: Any) -> dict[str, Any]:
    """The cluster as a document, by slurmrestd."""
    way = {"url": slurm.url, "mountedAt": str(shared)} if "command" not in more else {}
    block = {**way, "directory": str(shared), "partitions": ["cpu", "gpu"], "imagesAsProcesses": True, **more}
    return named("Cluster", "hpc", {"provider": "slurm", "slurm": {"timeout": "5s", **block}}, labels={"site": "uni"})


def test_work_goes_to_slurm_by_policy_and_a_killed_daemon_runs_nothing_twice(
    federator: Federator, slurm: Slurm, shared: Path
) -> None:
    out = shared / "out"
    policy = {"tiers": [{"name": "uni", "clusters": ["hpc"]}, {"name": "here", "clusters": ["desk"]}]}
    federator.write(
        [hpc(slurm, shared), local("desk", 4), named("PlacementPolicy", "uni-first", policy)], federation="e2e-crash"
    )
    federator.start()
    gate = f"until [ -e {shared}/gate ]; do sleep 0.2; done"
    federator.submit(batch("reco", 30, ["sh", "-c", f"{gate}; echo $FEDERATOR_REPLICA_INDEX >> {out}; echo done"]))
    placed = federator.wait_for("reco", lambda w: w["running"] == 30)
    assert placed["placements"] == {"hpc": 30}
    clusters = {cluster["name"]: cluster for cluster in federator.items("clusters")}
    assert clusters["hpc"]["provider"] == "slurm"
    assert "hpc" in federator.cli("explain", "reco")
    federator.kill()
    (shared / "gate").touch()
    until(lambda: out.exists() and len(out.read_text().split()) == 30, "it to end while nobody watches")
    federator.start()
    assert federator.wait_for("reco", lambda w: w["state"] == "finished")["finished"] == 30
    assert set(Counter(out.read_text().split()).values()) == {1}, "some replica ran twice"
    assert federator.cli("logs", "reco", "--replica", "7").strip() == "done"

    train = batch("train", 3, ["sh", "-c", "echo gpu $CUDA_VISIBLE_DEVICES"], requests={"nvidia.com/gpu": "1"})
    train["spec"]["flavors"] = {"selector": {"matchLabels": {"feature/v100": "true"}}}
    federator.submit(train, batch("bad", 1, ["sh", "-c", "echo sorry; exit 9"], retries=0))
    assert federator.wait_for("train", lambda w: w["state"] == "finished")["finished"] == 3
    assert federator.cli("logs", "train", "--replica", "0").startswith("gpu ")
    assert federator.wait_for("bad", lambda w: w["state"] == "failed")
    history = json.dumps(federator.http("/api/v1/workloads/bad/history"))
    assert "exit code 9" in history


def test_a_site_without_rest_and_a_controller_that_goes_away(
    federator: Federator, slurm: Slurm, shared: Path, tmp_path: Path
) -> None:
    """The prefix is a program that gives its words to a shell, as ssh does."""
    way = tmp_path / "way"
    way.write_text(f'#!/bin/sh\nexec {shlex.join(slurm.command)} sh -c "$*"\n')
    way.chmod(0o755)
    federator.write([hpc(slurm, shared, command=[str(way)])], federation="e2e-way")
    federator.start()
    out = shared / "out"
    federator.submit(batch("mc", 5, ["sh", "-c", f"sleep 12; echo $FEDERATOR_REPLICA_INDEX >> {out}; echo done"]))
    federator.wait_for("mc", lambda w: w["running"] == 5)
    slurm.controller.send(signal.SIGSTOP)
    try:
        until(lambda: health(federator) != "up", "the cluster to be away", federator.tail)
    finally:
        slurm.controller.send(signal.SIGCONT)
    until(lambda: health(federator) == "up", "the cluster to be back", federator.tail)
    assert federator.wait_for("mc", lambda w: w["state"] == "finished")["finished"] == 5
    assert sorted(map(int, out.read_text().split())) == [0, 1, 2, 3, 4]
    assert federator.cli("logs", "mc", "--replica", "4").strip() == "done"


def with_pilots(
    federator: Federator, slurm: Slurm, shared: Path, way: dict[str, Any] | None = None, **more: Any
) -> None:
    """A daemon at a port that pilots know, and the Slurm as a place for pilots of two cores. ``way``: to Slurm."""
    port = free_port()
    pilots = {"url": f"http://127.0.0.1:{port}", "tokenFile": "token-hpc", "requests": {"cpu": 2, "memory": "1Gi"}}
    pilots |= {"idle": "4s", "lease": "5s", "margin": "0s", "most": 4, **more}
    document = hpc(slurm, shared, submit="pilots", pilots=pilots, poll="500ms", **(way or {}))
    del document["spec"]["slurm"]["imagesAsProcesses"], document["spec"]["slurm"]["mountedAt"]
    federator.write([document], listen={"port": port}, federation=f"e2e-{port}")
    federator.start()
    pilot_token(federator, "hpc")


def queued(slurm: Slurm, shared: Path, *states: str) -> int:
    """How many pilots of the test's own folder are in these states."""
    told = slurm.run("squeue", "-r", "-h", "-n", "pilots-hpc", "-t", ",".join(states), "-o", "%Z")
    return told.split().count(str(shared))


def test_pilots_come_as_they_are_needed_and_go_and_a_killed_daemon_sends_none_again(
    federator: Federator, slurm: Slurm, shared: Path
) -> None:
    with_pilots(federator, slurm, shared)
    assert not queued(slurm, shared, "all"), "nobody asked for one"
    federator.submit(held_reco(20, shared))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    assert len(federator.items("pilots")) == 4
    assert {pilot["cluster"] for pilot in federator.items("pilots")} == {"hpc"}
    told = federator.http("/api/v1/clusters/hpc")["version"]
    assert "4 pilots; 4 run at Slurm" in told
    federator.kill()
    federator.start()
    federator.wait_for("reco", lambda w: w["running"] == 8)
    time.sleep(2)
    assert queued(slurm, shared, "all") == 4, "the limit, over a restart"
    (shared / "gate").touch()
    done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert done["failed"] == 0
    assert Counter(map(int, (shared / "begun").read_text().split())) == Counter(range(20))
    assert leases(federator, "hpc").get("void", 0) == 0
    until(lambda: not queued(slurm, shared, "running", "pending"), "pilots without work to end", federator.tail)
    told = "0 run at Slurm, 0 wait"
    until(lambda: federator.http("/api/v1/clusters/hpc")["version"].endswith(told), "people to be told", federator.tail)
    assert not list((shared / "pilots").iterdir()), "pilots that end well leave nothing"


def test_a_controller_that_is_away_and_restarts_costs_what_its_pilots_run_nothing(
    federator: Federator, slurm: Slurm, shared: Path
) -> None:
    """Pilots end what they have and pull what waits while nobody speaks for Slurm; afterwards they are known again."""
    with_pilots(federator, slurm, shared, idle="5m")
    federator.submit(held_reco(20, shared))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    slurm.controller.stop(signal.SIGTERM)
    try:
        told = "takes no pilots now"
        until(lambda: told in federator.http("/api/v1/clusters/hpc")["version"], "silence", federator.tail)
        (shared / "gate").touch()
        done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    finally:
        slurm.start_controller()
    assert done["failed"] == 0
    assert Counter(map(int, (shared / "begun").read_text().split())) == Counter(range(20))
    known = "4 run at Slurm"
    until(lambda: known in federator.http("/api/v1/clusters/hpc")["version"], "its pilots to be known", federator.tail)
    assert leases(federator, "hpc").get("void", 0) == 0
    assert queued(slurm, shared, "all") == 4, "none was sent in place of those that live"


def test_a_site_where_pilots_die_is_closed_and_not_flooded_and_a_controller_that_restarts_changes_nothing(
    federator: Federator, slurm: Slurm, shared: Path
) -> None:
    """Their token is one that the daemon does not know."""
    with_pilots(federator, slurm, shared, first=3, most=50, backoff="5m")
    (federator.folder / "token-hpc").write_text("nobody knows this")
    federator.submit(held_reco(40, shared))

    def closed() -> bool:
        return "the site is closed: 3 in a row ended badly" in federator.http("/api/v1/clusters/hpc")["version"]

    until(closed, "the site to be closed", federator.tail)
    slurm.controller.stop(signal.SIGTERM)
    until(lambda: "takes no pilots now" in federator.http("/api/v1/clusters/hpc")["version"], "silence", federator.tail)
    until(lambda: mark(federator, "away") == 1, "dashboards to be told", federator.tail)
    slurm.start_controller()
    until(closed, "the site to be closed still", federator.tail)
    until(lambda: mark(federator, "closed") == 1, "dashboards to be told", federator.tail)
    assert mark(federator, "away") == 0
    assert queued(slurm, shared, "all") == 3
    assert "ended with exit status" in federator.http("/api/v1/clusters/hpc")["version"]
    assert len(list((shared / "pilots").iterdir())) == 3, "what they wrote is there to be read"
    assert federator.workload("reco")["running"] == 0


def mark(federator: Federator, name: str) -> float | None:
    """What the metric says of the site's mark."""
    text = federator.http("/metrics", accept="text/plain")
    found = re.search(rf'^federator_pilot_site_marks{{cluster="hpc",mark="{name}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else None


def held_reco(replicas: int, folder: Path) -> dict[str, Any]:
    """Replicas that write that they began, and wait for the test."""
    script = f"echo $FEDERATOR_REPLICA_INDEX >> {folder}/begun; until [ -e {folder}/gate ]; do sleep 0.2; done"
    return batch("reco", replicas, ["sh", "-c", script], container={"image": ""})


def health(federator: Federator) -> str:
    (cluster,) = federator.items("clusters")
    return str(cluster["health"])
