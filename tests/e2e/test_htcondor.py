"""The daemon and a real HTCondor pool, as an operator uses them: replicas as jobs; pilots sent as they are needed."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, named, until
from tests.e2e.pilot_process import leases, pilot_token
from tests.patience import PATIENCE_S
from tests.servers.fixtures import htcondor_pool
from tests.servers.htcondor import Pool
from tests.servers.processes import ServerFailed, free_port, temporary_directory

__all__ = ["htcondor_pool"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
def shared(htcondor_pool: Pool) -> Iterator[Path]:
    """A folder that payloads, who are another user, can write to. The pool's queue is empty afterwards."""
    folder = temporary_directory("shared")
    folder.chmod(0o777)
    yield folder
    htcondor_pool.remove("true")
    until(lambda: not queue(htcondor_pool, "JobStatus <= 2"), "nothing to run any more")
    shutil.rmtree(folder, ignore_errors=True)


def pool(given: Pool, cluster: str = "cern", **block: Any) -> dict[str, Any]:
    """The pool as a cluster."""
    told = {"collector": given.collector, "schedd": given.name, "tokenFile": str(given.token_file), "poll": "500ms"}
    return named("Cluster", cluster, {"provider": "htcondor", "htcondor": {**told, **block}})


def pilots_of(cluster: str, port: int, **more: Any) -> dict[str, Any]:
    """How a pool is sent pilots of two cores that pull from a daemon at the port."""
    told = {"url": f"http://127.0.0.1:{port}", "tokenFile": f"token-{cluster}", "requests": {"cpu": 2, "memory": "1Gi"}}
    return {**told, "idle": "4s", "lease": "5s", "margin": "0s", "most": 4, **more}


def reco(replicas: int, folder: Path) -> dict[str, Any]:
    """Replicas that write that they began, and wait for the test."""
    script = f"echo $FEDERATOR_REPLICA_INDEX >> {folder}/begun; until [ -e {folder}/gate ]; do sleep 0.2; done"
    requests = {"cpu": "1", "memory": "64Mi"}
    spec = {"replicas": replicas, "requests": requests, "container": {"command": ["sh", "-c", script]}}
    return named("Workload", "reco", spec)


def begun(folder: Path) -> Counter[int]:
    path = folder / "begun"
    return Counter(int(line) for line in path.read_text().split()) if path.exists() else Counter()


def queue(given: Pool, constraint: str) -> list[str]:
    """The jobs in the schedd's queue, whoever says what of them; a schedd that is just being started is waited for."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return given.run("condor_q", "-allusers", "-constraint", constraint, "-af", "JobStatus").split()
        except ServerFailed:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def test_replicas_are_jobs_and_a_daemon_that_is_killed_runs_none_twice(
    federator: Federator, htcondor_pool: Pool, shared: Path
) -> None:
    federator.write([pool(htcondor_pool, submit="jobs")])
    federator.start()
    federator.submit(reco(6, shared))
    federator.wait_for("reco", lambda w: w["running"] == 6)
    assert len(queue(htcondor_pool, 'FederatorWorkload == "reco"')) == 6
    assert "HTCondor 25" in federator.cli("describe", "cluster", "cern")
    assert "cern" in federator.cli("explain", "reco")
    federator.kill()
    (shared / "gate").touch()
    federator.start()
    done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert done["failed"] == 0
    assert begun(shared) == Counter(range(6))
    federator.cli("delete", "workload", "reco")
    until(
        lambda: not queue(htcondor_pool, 'FederatorWorkload == "reco"'), "its jobs to leave the queue", federator.tail
    )


def with_pilots(federator: Federator, given: Pool, **more: Any) -> None:
    """A daemon at a port that pilots know, and the pool as a place for pilots of two cores."""
    port = free_port()
    sent = pool(given, submit="pilots", pilots=pilots_of("cern", port, **more), timeout="3s")
    federator.write([sent], listen={"port": port})
    federator.start()
    pilot_token(federator, "cern")


def test_pilots_come_as_they_are_needed_and_go_and_a_killed_daemon_sends_none_again(
    federator: Federator, htcondor_pool: Pool, shared: Path
) -> None:
    with_pilots(federator, htcondor_pool)
    assert not queue(htcondor_pool, "FederatorPilots =!= undefined"), "nobody asked for one"
    federator.submit(reco(20, shared))
    federator.wait_for("reco", lambda w: w["running"] == 8)
    assert len(federator.items("pilots")) == 4
    told = federator.http("/api/v1/clusters/cern")["version"]
    assert "4 pilots" in told
    federator.kill()
    federator.start()
    federator.wait_for("reco", lambda w: w["running"] == 8)
    time.sleep(2)
    assert len(queue(htcondor_pool, "FederatorPilots =!= undefined")) == 4, "the limit, over a restart"
    assert begun(shared).total() == 8
    (shared / "gate").touch()
    done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    assert done["failed"] == 0
    assert begun(shared) == Counter(range(20))
    assert leases(federator, "cern").get("void", 0) == 0
    running = "FederatorPilots =!= undefined && JobStatus == 2"
    until(lambda: not queue(htcondor_pool, running), "pilots without work to end", federator.tail)
    told_of = "0 run at the schedd, 0 wait"
    until(lambda: told_of in federator.http("/api/v1/clusters/cern")["version"], "people to be told", federator.tail)


def test_a_schedd_that_hangs_and_is_restarted_costs_what_its_pilots_run_nothing(
    federator: Federator, htcondor_pool: Pool, shared: Path
) -> None:
    """Pilots end what they have and pull what waits while the schedd answers nobody."""
    with_pilots(federator, htcondor_pool, idle="5m")
    federator.submit(reco(20, shared))
    federator.wait_for("reco", lambda w: w["running"] == 8)

    def told(words: str) -> bool:
        return words in federator.http("/api/v1/clusters/cern")["version"]

    htcondor_pool.freeze()
    try:
        until(lambda: told("the schedd takes no pilots now"), "the silence to be noticed", federator.tail)
        (shared / "gate").touch()
        done = federator.wait_for("reco", lambda w: w["state"] == "finished")
    finally:
        htcondor_pool.thaw()
    assert done["failed"] == 0
    assert begun(shared) == Counter(range(20))
    htcondor_pool.restart_schedd()
    until(lambda: told("4 run at the schedd"), "its pilots to be known again", federator.tail)
    assert leases(federator, "cern").get("void", 0) == 0
    assert len(queue(htcondor_pool, "FederatorPilots =!= undefined")) == 4, "none was sent in place of those that live"


def test_a_site_where_pilots_die_is_closed_and_not_flooded(
    federator: Federator, htcondor_pool: Pool, shared: Path
) -> None:
    """Their token is one that the daemon does not know."""
    with_pilots(federator, htcondor_pool, first=3, most=50, backoff="5m")
    (federator.folder / "token-cern").write_text("nobody knows this")
    federator.submit(reco(40, shared))

    def closed() -> bool:
        return "the site is closed: 3 in a row ended badly" in federator.http("/api/v1/clusters/cern")["version"]

    until(closed, "the site to be closed", federator.tail)
    time.sleep(3)
    assert len(queue(htcondor_pool, "FederatorPilots =!= undefined")) == 3
    assert "ended with exit status" in federator.http("/api/v1/clusters/cern")["version"]
    assert federator.workload("reco")["running"] == 0


def test_two_pools_under_one_policy_and_the_work_of_one_that_is_lost_runs_at_the_other(
    federator: Federator, htcondor_pool: Pool, shared: Path
) -> None:
    """CERN takes jobs and is filled first; DESY is sent pilots. When CERN is back nothing counts a second time."""
    desy = Pool("desy", cpus=8)
    desy.start()
    try:
        port = free_port()
        tiers = [{"name": "own", "clusters": ["cern"]}, {"name": "others", "clusters": ["desy"]}]
        federator.write(
            [
                pool(htcondor_pool, submit="jobs", timeout="3s"),
                pool(desy, "desy", submit="pilots", pilots=pilots_of("desy", port)),
                named("PlacementPolicy", "cern-first", {"tiers": tiers}),
                named("Planning", "default", {"outageGrace": "5s"}),
            ],
            listen={"port": port},
        )
        federator.start()
        pilot_token(federator, "desy")
        federator.submit(reco(24, shared))
        placed = federator.wait_for("reco", lambda w: w["running"] == 24)
        assert placed["placements"] == {"cern": 16, "desy": 8}
        htcondor_pool.freeze()
        until(lambda: federator.http("/api/v1/clusters/cern")["health"] == "lost", "CERN to be lost", federator.tail)
        (shared / "gate").touch()
        done = federator.wait_for("reco", lambda w: w["state"] == "finished")
        assert (done["finished"], done["failed"]) == (24, 0)
        htcondor_pool.thaw()
        ours = 'FederatorWorkload == "reco" && JobStatus <= 2'
        until(lambda: not queue(htcondor_pool, ours), "nothing of it to run at CERN", federator.tail)
        assert federator.workload("reco")["finished"] == 24
        ran = begun(shared)
        assert set(ran) == set(range(24))
        assert max(ran.values()) <= 2, "once where it was lost from sight, and once more at the other"
    finally:
        htcondor_pool.thaw()
        desy.stop()
