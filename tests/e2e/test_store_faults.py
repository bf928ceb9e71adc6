"""The database is PostgreSQL, goes away, is full, is locked, is taken, is of tomorrow: nothing is lost or run twice."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, batch, local, named, until
from tests.servers.postgres import Postgres
from tests.servers.processes import free_port

pytestmark = pytest.mark.real

CLUSTERS = [local("cern", 8), local("exoscale", 4)]
CERN_FIRST = named(
    "PlacementPolicy",
    "fill-cern-before-cloud",
    {"tiers": [{"name": "cern", "clusters": ["cern"]}, {"name": "cloud", "clusters": ["exoscale"]}]},
)
FULL_DISK_BYTES = 2 * 2**20


def noting(name: str, replicas: int, out: Path, first: str = "sleep 1") -> dict[str, Any]:
    """A workload whose every replica writes one line when it ends."""
    return batch(name, replicas, ["sh", "-c", f"{first}; echo {name}/$FEDERATOR_REPLICA_INDEX >> {out}"])


def ran_once(out: Path, **replicas: int) -> None:
    """Each index of these workloads, and nothing else, ran once."""
    lines = Counter(out.read_text().split())
    assert lines == Counter(f"{name}/{index}" for name, count in replicas.items() for index in range(count))


def refused_by_store(federator: Federator, *words: str) -> None:
    """A workload is handed in while nothing can be written: the command says why."""
    path = federator.write_file("refused.yaml", [noting("refused", 1, Path("/dev/null"))])
    done = federator.try_cli("submit", "-f", str(path))
    assert done.returncode == 3, done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def until_ready_again(federator: Federator) -> None:
    """The daemon is ready, and what it refused meanwhile is not there."""
    until(lambda: federator.checks()["ready"], "the daemon to be ready again", federator.tail)
    assert federator.workload("refused") is None, "a workload that was refused is there all the same"


def test_the_main_job_runs_on_postgresql_and_goes_on_after_a_crash(
    federator: Federator, tmp_path: Path, postgres_url: str
) -> None:
    out = tmp_path / "out"
    federator.write([*CLUSTERS, CERN_FIRST], database=postgres_url.replace("+asyncpg", ""))
    federator.start()
    federator.submit(noting("reco", 10, out, federator.held))
    placed = federator.wait_for("reco", lambda w: w["running"] == 10)
    assert placed["placements"] == {"cern": 8, "exoscale": 2}
    federator.kill()
    federator.start()
    federator.let_go()
    federator.wait_for("reco", lambda w: w["state"] == "finished")
    ran_once(out, reco=10)
    assert federator.stop() == 0
    federator.start()
    assert federator.workload("reco")["finished"] == 10
    kinds = [entry["kind"] for entry in federator.items("workloads/reco/history")]
    assert kinds[0] == "submitted"
    assert kinds[-1] == "finished"
    assert not list((federator.folder / "var").glob("*.db")), "it wrote to a file though its database is PostgreSQL"


def test_an_outage_of_postgresql_in_the_middle_of_a_run_loses_nothing_and_repeats_nothing(
    federator: Federator, tmp_path: Path, postgres_server: Postgres, postgres_url: str
) -> None:
    """Thirty replicas over twelve cores; the database is away for five seconds while some end and others wait."""
    out = tmp_path / "out"
    federator.write([*CLUSTERS, CERN_FIRST], database=postgres_url.replace("+asyncpg", ""))
    federator.start()
    federator.submit(noting("first", 20, out), noting("second", 10, out))
    federator.wait_for("first", lambda w: w["running"] > 0)
    postgres_server.halt()
    halted = time.monotonic()
    try:
        until(lambda: not federator.checks()["ready"], "the daemon to say that it is not ready", federator.tail)
        store = federator.checks()["store"]
        assert not store["ok"]
        assert "work goes on" in store["detail"] or "does not answer" in store["detail"], store
        assert federator.ask("GET", "/readyz").status == 503
        assert federator.ask("GET", "/healthz").status == 200
        refused_by_store(federator, "postgresql")
        assert "cern" in federator.cli("get", "clusters"), "what is in memory is shown all the same"
        time.sleep(max(0.0, halted + 5 - time.monotonic()))
    finally:
        postgres_server.resume()
    until_ready_again(federator)
    federator.submit(noting("third", 2, out))
    for name in ("first", "second", "third"):
        federator.wait_for(name, lambda w: w["state"] == "finished")
    ran_once(out, first=20, second=10, third=2)


def test_a_database_that_is_not_there_at_the_start_is_named_with_its_cure(federator: Federator) -> None:
    port = free_port()
    federator.write(CLUSTERS, database=f"postgresql://federator:hush-hush@127.0.0.1:{port}/nowhere")
    done = federator.try_cli("run", "--config", str(federator.config), "--no-live")
    assert done.returncode == 3
    assert f"127.0.0.1:{port}" in done.stderr
    assert "is it running" in done.stderr
    assert "hush-hush" not in done.stderr
    assert "Traceback" not in done.stderr


class SmallDisk:
    """A disk for the database alone, that can be filled up: a file system in memory, else a limit on file sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={FULL_DISK_BYTES}", "tmpfs", str(folder)]
        self.mounted = bool(shutil.which("mount")) and subprocess.run(command, check=False).returncode == 0

    def fill(self, federator: Federator) -> None:
        """Leave no room."""
        if self.mounted:
            with contextlib.suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
        else:
            assert federator.process is not None
            _, hard = resource.prlimit(federator.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(federator.process.pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self, federator: Federator) -> None:
        """Make room again."""
        if self.mounted:
            (self.folder / "filler").unlink()
        else:
            assert federator.process is not None
            _, hard = resource.prlimit(federator.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(federator.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def remove(self) -> None:
        """Leave nothing behind."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk. It is removed before the daemon ends, which must not mind."""
    one = SmallDisk(tmp_path / "disk")
    yield one
    one.remove()


def test_a_full_disk_is_named_and_when_there_is_room_again_work_goes_on(
    federator: Federator, tmp_path: Path, disk: SmallDisk
) -> None:
    out = tmp_path / "out"
    federator.write([*CLUSTERS, CERN_FIRST], database=f"sqlite:///{disk.folder}/federator.db")
    federator.start()
    federator.submit(noting("long", 20, out, federator.held))
    federator.wait_for("long", lambda w: w["state"] == "running")
    disk.fill(federator)
    federator.let_go()
    until(lambda: not federator.checks()["ready"], "the daemon to see that its disk is full", federator.tail)
    assert "disk" in federator.checks()["store"]["detail"]
    refused_by_store(federator, "disk")
    assert federator.workload("long")["state"] == "running", "nothing counts before it is written"
    disk.free(federator)
    until_ready_again(federator)
    federator.submit(noting("after", 2, out))
    for name in ("long", "after"):
        federator.wait_for(name, lambda w: w["state"] == "finished")
    ran_once(out, long=20, after=2)
    assert federator.stop() == 0


def test_a_database_that_another_program_locks_only_delays_the_work(federator: Federator, tmp_path: Path) -> None:
    out = tmp_path / "out"
    federator.write([*CLUSTERS, CERN_FIRST])
    federator.start()
    federator.submit(noting("long", 20, out, federator.held))
    federator.wait_for("long", lambda w: w["state"] == "running")
    other = sqlite3.connect(federator.folder / "var" / "federator.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    locked = time.monotonic()
    federator.let_go()
    until(lambda: not federator.checks()["ready"], "the daemon to say that it is not ready", federator.tail)
    assert "another program holds a lock" in federator.checks()["store"]["detail"]
    refused_by_store(federator, "another program holds a lock")
    time.sleep(max(0.0, locked + 10 - time.monotonic()))
    other.execute("ROLLBACK")
    other.close()
    until_ready_again(federator)
    federator.wait_for("long", lambda w: w["state"] == "finished")
    ran_once(out, long=20)


def test_a_second_daemon_on_the_same_database_is_refused(federator: Federator) -> None:
    federator.write(CLUSTERS)
    federator.start()
    assert federator.process is not None
    endpoint = (federator.folder / "var" / "endpoint.json").read_text()
    second = federator.try_cli("run", "--config", str(federator.config), "--no-live")
    assert second.returncode == 2
    assert "another federator holds" in second.stderr
    assert str(federator.process.pid) in second.stderr
    assert "stop it first" in second.stderr
    assert "Traceback" not in second.stderr
    assert (federator.folder / "var" / "endpoint.json").read_text() == endpoint, "it took the first one's place"
    assert federator.checks()["ready"]


def test_a_database_of_a_newer_federator_is_left_alone(federator: Federator) -> None:
    federator.write(CLUSTERS)
    federator.start()
    assert federator.stop() == 0
    path = federator.folder / "var" / "federator.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    done = federator.try_cli("run", "--config", str(federator.config), "--no-live")
    assert done.returncode == 2
    assert "newer federator" in done.stderr
    assert "9999" in done.stderr
    assert "Traceback" not in done.stderr
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
