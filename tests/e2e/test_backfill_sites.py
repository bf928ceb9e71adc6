"""Backfill at sites with a batch system of their own, which gives its room to whoever needs it."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.federator_process import Federator, batch, named, until, with_version
from tests.e2e.test_backfill import evicted, running
from tests.servers.fixtures import htcondor_pool, slurm, slurm_by_quality
from tests.servers.htcondor import Pool
from tests.servers.processes import remove_directory, temporary_directory
from tests.servers.slurm import CPUS, Slurm

__all__ = ["htcondor_pool", "slurm", "slurm_by_quality"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
GRACE_S = 2.0
MEANWHILE_S = 20.0
"""A cycle, a turn of the site's scheduler, its report, and a busy machine."""
MORE = 3
"""Tasks of the bag beyond what fits."""


@pytest.mark.parametrize(
    ("server", "fillers"),
    [
        ("slurm", {"backfillPartition": "fill"}),
        ("slurm", {"backfillPartition": "again"}),
        ("slurm_by_quality", {"backfillQos": "fill"}),
        ("slurm_by_quality", {"backfillQos": "again"}),
    ],
)
def test_slurm_gives_the_room_of_backfill_to_whoever_needs_it(
    federator: Federator, server: str, fillers: dict[str, str], request: pytest.FixtureRequest
) -> None:
    """By partition and by quality of service, where Slurm ends what it displaces, and where it would start it again."""
    slurm: Slurm = request.getfixturevalue(server)
    request.addfinalizer(slurm.clear)
    shared = slurm.shared()
    block = {"url": slurm.url, "directory": str(shared), "mountedAt": str(shared), **fillers}
    block |= {"partitions": ["cpu", "gpu"], "timeout": "10s", "poll": "500ms"}
    federation = "-".join(("e2e", server.replace("_", "-"), *fillers.values()))
    federator.write([named("Cluster", "site", {"provider": "slurm", "slurm": block})], federation=federation)

    def begin() -> Callable[[], bool]:
        words = ["sbatch", "--parsable", "-p", "cpu", "-c", str(CPUS), "-o", "/dev/null", "-D", str(shared)]
        wrapped = [*slurm.command, *words, "--wrap", f"touch {shared}/theirs; sleep 600"]
        subprocess.run(wrapped, capture_output=True, check=True, timeout=60)
        return (shared / "theirs").exists

    whole_story(federator, shared, slurm.sizes.all, CPUS, begin)


def test_htcondor_gives_the_room_of_backfill_to_whoever_needs_it(federator: Federator, htcondor_pool: Pool) -> None:
    pool, cores = htcondor_pool, 4
    block = {"collector": pool.collector, "schedd": pool.name, "tokenFile": str(pool.token_file), "submit": "jobs"}
    document = named("Cluster", "site", {"provider": "htcondor", "htcondor": {**block, "poll": "500ms"}})
    federator.write([document], federation="e2e-fill")
    shared = temporary_directory("site")
    shared.chmod(0o777)  # jobs run as another user

    def begin() -> Callable[[], bool]:
        pool.submit(f"touch {shared}/theirs; sleep 600", cores, {"My.Theirs": "true"})
        return (shared / "theirs").exists

    try:
        whole_story(federator, shared, pool.cpus // cores, cores, begin)
    finally:
        pool.remove('Theirs =?= true || FederatorName == "e2e-fill/site"')
        remove_directory(shared)


def whole_story(
    federator: Federator, shared: Path, room: int, cores: int, by_another_door: Callable[[], Callable[[], bool]]
) -> None:
    """Fillers of so many cores use all of a site that has room for so many; production comes by both doors.

    ``by_another_door`` hands the site work of one filler's size, and returns what tells whether it runs.
    """
    federator.start()
    tasks = room + MORE
    federator.cli("apply", "-f", "-", stdin=yaml.safe_dump(with_version(bag(tasks, cores, shared))))
    until(lambda: running(federator) == room, "the site to be full of backfill", federator.tail)
    began = time.monotonic()
    held = ["sh", "-c", f"until [ -e {shared}/enough ]; do sleep 0.2; done"]
    federator.submit(batch("work", 2, held, requests={"cpu": str(cores)}, container=PLAIN))
    federator.wait_for("work", lambda w: w["running"] == 2)
    assert time.monotonic() - began <= GRACE_S + MEANWHILE_S
    for _ in range(2):
        until(lambda: at_work(shared) == running(federator) == room - 2, "the rest to be filled", federator.tail)
        counted(federator, shared, 0, 2)
        time.sleep(GRACE_S)  # the site may have told more of them to end: they have, then

    federator.kill()
    before = len(words(shared / "saved"))
    assert before >= 2
    began = time.monotonic()
    until(by_another_door(), "work by another door to start while the federator is dead")
    assert time.monotonic() - began <= GRACE_S + MEANWHILE_S
    until(lambda: len(words(shared / "saved")) > before, "a task to save what it had")
    federator.start()
    until(lambda: at_work(shared) == running(federator) == room - 3, "the rest to be filled", federator.tail)
    counted(federator, shared, before, 1)
    assert federator.http("/api/v1/backfills/fill")["finished"] == 0, "who saved what it had is not done"
    (shared / "enough").touch()
    federator.wait_for("work", lambda w: w["state"] == "finished")
    until(lambda: running(federator) == room - 1, "the cores to be filled again", federator.tail)

    (shared / "gate").touch()
    until(lambda: finished(federator) == tasks, "all tasks to be done", lambda: f"{finished(federator)} of {tasks}")
    assert Counter(map(int, words(shared / "done"))) == Counter(range(tasks)), "a task was done twice"
    again = len(words(shared / "saved"))
    assert len(words(shared / "begun")) == tasks + again, "some task ran that had not made room before"


def counted(federator: Federator, shared: Path, before: int, least: int) -> None:
    """Whoever saved what it had is counted since the daemon began. The plan may have withdrawn some that had yet to
    run."""

    def all_of_them() -> bool:
        causes, saved = evicted_at(federator), len(words(shared / "saved")) - before
        return least <= causes.get("Preempted", 0) <= saved <= sum(causes.values())

    def story() -> str:
        history = federator.http("/api/v1/workloads/backfill-fill/history")["items"]
        return "\n".join([f"{evicted_at(federator)}", *(f"{entry['kind']}: {entry['message']}" for entry in history)])

    until(all_of_them, "evictions to be counted", story)


def at_work(shared: Path) -> int:
    """How many tasks run, by their own word: the site may have ended more of them than were in the way."""
    return len(words(shared / "begun")) - len(words(shared / "saved"))


PLAIN = {"image": ""}


def bag(tasks: int, cores: int, shared: Path) -> dict[str, Any]:
    """Tasks that run until the test lets them go; told to end they save, and end well."""
    note = f"echo $FEDERATOR_REPLICA_INDEX >> {shared}"
    script = f"trap '{note}/saved; exit 0' TERM; {note}/begun; until [ -e {shared}/gate ]; do sleep 0.2; done"
    work = {
        "replicas": tasks,
        "requests": {"cpu": str(cores)},
        "container": {"image": "", "command": ["sh", "-c", f"{script}; {note}/done"]},
    }
    return named("Backfill", "fill", {"workload": work, "keepFree": "0%", "grace": f"{GRACE_S:g}s"})


def evicted_at(federator: Federator) -> dict[str, float]:
    """Evictions by cause, since the daemon began."""
    return {cause: count for cause, count in evicted(federator).items() if count}


def finished(federator: Federator) -> int:
    return int(federator.http("/api/v1/backfills/fill")["finished"])


def words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
