"""Checkpoints of jobs: what their script does, run by a real bash, and how those end that Slurm takes away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from federator.clock import SystemClock
from federator.clusters.companions import NO_PYTHON
from federator.clusters.outcomes import Outcomes, told_in
from federator.clusters.slurm import jobs, merging
from federator.clusters.slurm.addresses import Addresses
from federator.clusters.slurm.commands import Commands
from federator.clusters.slurm.files import Mounted, OverCommands
from federator.clusters.slurm.jobs import Marks, comment_of, marks_of
from federator.clusters.slurm.ledger import Entry, Ledger, to_text
from federator.clusters.slurm.script import GAVE_WAY, TOLD
from federator.clusters.slurm.settings import SlurmSettings
from federator.clusters.slurm.told import WAITS_S, Told
from federator.clusters.slurm.tracking import Tracker
from federator.model.checkpoints import GOOD_FOR_S, RENEW_S, Attempt, Checkpoints, plain
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.resources import CPU, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import Clock, OrderRefused
from tests.clusters.slurm.test_filling import task
from tests.patience import PATIENCE_S
from tests.web_store import WebStore

BASH = str(shutil.which("bash"))
COUNTS = """
cd $FEDERATOR_CHECKPOINT_DIR; trap 'exit 1' TERM; n=$(cat n 2>/dev/null || echo 0); echo "begins at $n"
while [ $n -lt {last} ]; do sleep 0.05; n=$((n + 1)); echo $n > n.part; mv n.part n; done
"""


def order(url: str, number: int, *before: int, image: str = "", last: int = 100_000, backfill: bool = True) -> Order:
    """Replica 3, tried before by these attempts."""
    tried = tuple((n, IndexSet.of([3])) for n in before)
    attempt = Attempt(Checkpoints(url, 0.2, 1_000_000), "bag-1a", number, tried)
    intent = Intent(f"bag-1a-{number}", "bag", "uid", "", "hpc", IndexSet.of([3]))
    container = Container(image, ("sh", "-c"), (COUNTS.format(last=last),))
    what = Order(intent, Lifetime.BATCH, (Role("", 4, Resources.of({CPU: 1000})),), queue="q", container=container)
    return replace(what, attempt=attempt, backfill=backfill, grace_s=PATIENCE_S)


def script(folder: Path, wanted: Order) -> str:
    settings = SlurmSettings(folder, str(folder), backfill_partition="fill")
    (job,) = jobs.jobs_of(wanted, settings, "f", (), ("cpu",), 100, plain, 0.0)
    return job.script


class Job:
    """A task of an array."""

    def __init__(self, folder: Path, wanted: Order, **env: str) -> None:
        self.dir = folder / wanted.intent.id
        base = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
        self.process = subprocess.Popen([BASH, "-c", script(folder, wanted)], env=base | env)

    def log(self) -> str:
        path = self.dir / "logs/3"
        return path.read_text() if path.exists() else ""


def test_a_filler_that_slurm_ends_goes_on_under_its_next_attempt(web: WebStore, tmp_path: Path) -> None:
    first = Job(tmp_path, order(f"{web.url}/kept", 1))
    until = time.monotonic() + PATIENCE_S
    while not web.kept:
        assert time.monotonic() < until, first.log()
        time.sleep(0.02)
    children = Path(f"/proc/{first.process.pid}/task/{first.process.pid}/children").read_text().split()
    os.killpg(int(children[0]), signal.SIGTERM)  # payload and companion
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(PATIENCE_S) == GAVE_WAY
    told = int((first.dir / "keep/3/checkpoint/n").read_text())
    second = Job(tmp_path, order(f"{web.url}/kept", 2, 1, last=told + 5))
    assert second.process.wait(PATIENCE_S) == 0
    assert f"begins at {told}\n" in second.log()
    assert (second.dir / "ends/3").exists()
    kept, resumed = ((job.dir / TOLD / "3").read_text() for job in (first, second))
    assert told_in(kept)["kept"] >= 1
    assert told_in(resumed)["resumed"] == 1
    assert not web.kept, "what is complete, and has said so, keeps nothing"


@pytest.mark.parametrize("backfill", [True, False])
def test_what_slurm_starts_again_would_write_to_the_places_of_the_first_execution_and_so_runs_nothing(
    web: WebStore, tmp_path: Path, backfill: bool
) -> None:
    job = Job(tmp_path, order(f"{web.url}/kept", 1, last=1, backfill=backfill), SLURM_RESTART_COUNT="1")
    assert job.process.wait(PATIENCE_S) == GAVE_WAY
    assert not web.begun
    work = Entry("c-1", IndexSet.of((0,)), "h", 0.0, 1000, jobs={0: [10]}, kept=True)
    (end,) = merging.look(work, [task("PENDING", restarts=1)], 1).ended.values()
    assert end is not None
    assert (end.reason, end.own_fault) == ("Requeued", False)
    assert merging.starts_again(work, task("PENDING", restarts=1))
    assert not merging.starts_again(replace(work, kept=False), task("PENDING", restarts=1))


def test_without_that_rule_it_would(web: WebStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mistake that the test above is there for."""
    monkeypatch.setattr("federator.clusters.slurm.script._ONCE", "# {gave_way}\n")
    with pytest.raises(AssertionError):
        test_what_slurm_starts_again_would_write_to_the_places_of_the_first_execution_and_so_runs_nothing(
            web, tmp_path, backfill=True
        )


def test_a_node_without_python_says_so(web: WebStore, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("mkdir", "ln", "readlink", "sh"):
        (bare / name).symlink_to(str(shutil.which(name)))
    job = Job(tmp_path, order(f"{web.url}/kept", 1), PATH=str(bare))
    assert job.process.wait(PATIENCE_S) == NO_PYTHON
    assert "federator: there is no python3 (3.9 or newer) here" in job.log()
    work = Entry("c-1", IndexSet.of((0,)), "h", 0.0, 1000, jobs={0: [10]}, kept=True)
    (end,) = merging.look(work, [task("FAILED", exit_code=NO_PYTHON)], 1).ended.values()
    assert end is not None
    assert (end.reason, end.own_fault) == ("NoPython", True)


def test_in_a_container_the_folder_has_a_place_of_its_own(web: WebStore, tmp_path: Path) -> None:
    """Apptainer itself is a stand-in that tells how it was called."""
    stand_in = tmp_path / "apptainer"
    stand_in.write_text('#!/bin/sh\nprintf "<%s>" "$@"; env | grep CHECKPOINT\n')
    stand_in.chmod(0o755)
    job = Job(tmp_path, order(f"{web.url}/kept", 1, image="a:1"), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert job.process.wait(PATIENCE_S) == 0
    assert f"<--bind><{job.dir}/keep/3/checkpoint:/checkpoint>" in job.log()
    assert "APPTAINERENV_FEDERATOR_CHECKPOINT_DIR=/checkpoint" in job.log()


def test_comments_and_the_ledger_say_that_checkpoints_are_kept(tmp_path: Path) -> None:
    marks = Marks("c-1", "h", 0, 100, None, kept=True)
    assert marks_of("f", comment_of("f", marks)) == marks
    attempt = order("file:///kept", 7, 3).attempt
    assert attempt is not None
    entry = Entry("c-1", IndexSet.of((0,)), "h", 0.0, 100, kept=True, attempt=attempt.to_json())
    ledger = Ledger(tmp_path)
    ledger.write("c-1", to_text(entry))
    ledger.open()
    assert ledger.entries["c-1"] == entry


def test_an_order_whose_addresses_could_not_be_given_anew_is_refused(tmp_path: Path) -> None:
    blind, sees = Addresses("hpc", None, plain), Addresses("hpc", Mounted(str(tmp_path), 1.0), plain)
    blind.can_reach(order("https://store/kept", 1))
    sees.can_reach(order("s3://bucket/kept", 1))
    with pytest.raises(OrderRefused, match="give it mountedAt") as told:
        blind.can_reach(order("s3://bucket/kept", 1))
    assert told.value.permanent
    with pytest.raises(OrderRefused, match="no credentials for s3://bucket/kept"):
        script(tmp_path, order("s3://bucket/kept", 1))


async def test_what_runs_is_given_new_addresses_for_its_user_alone_until_it_has_ended(tmp_path: Path) -> None:
    attempt = order("s3://bucket/kept", 7, 3).attempt
    assert attempt is not None
    entry = Entry("bag-1a-7", IndexSet.of((3,)), "h", 0.0, 100, kept=True, attempt=attempt.to_json())
    tracker = cast(Tracker, SimpleNamespace(entry={"bag-1a-7": entry}.get))
    given = Addresses("hpc", Mounted(str(tmp_path), 5.0), lambda method, place: f"{method} {place}")
    seen = {"bag-1a-7": merging.Seen(active={3: task("RUNNING")})}
    await given.renew(tracker, {"bag-1a-7": merging.Seen(active={3: task("PENDING")})}, 1000.0)
    path = tmp_path / "bag-1a-7" / "addresses"
    await given.renew(tracker, seen, 1000.0)  # its job has not made the folder yet
    path.parent.mkdir()
    await given.renew(tracker, seen, 1020.0)
    assert not path.exists(), "it is tried again a while later"
    await given.renew(tracker, seen, 1031.0)
    told = json.loads(path.read_text())
    assert told["goodUntil"] == 1031.0 + GOOD_FOR_S
    assert told["errands"]["3"]["put"][0] == "PUT s3://bucket/kept/bag-1a-3-7-0"
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    await given.renew(tracker, seen, 1031.0 + RENEW_S - 1)
    assert not path.exists()
    await given.renew(tracker, seen, 1031.0 + RENEW_S)
    assert path.exists()


def keeps(indices: str, **more: Any) -> Entry:
    return Entry("bag-1a-7", IndexSet.parse(indices), "h", 0.0, 100, kept=True, **more)


@pytest.mark.parametrize("by_commands", [False, True])
async def test_what_became_of_checkpoints_is_read_once_for_each_replica_that_has_ended(
    tmp_path: Path, by_commands: bool
) -> None:
    files = OverCommands(Commands(("env",), 30.0), str(tmp_path)) if by_commands else Mounted(str(tmp_path), 30.0)
    counts: Counter[str] = Counter()
    clock = SimpleNamespace(at_s=0.0, now_s=lambda: clock.at_s)
    told = Told(files, Outcomes("hpc", lambda outcome, count: counts.update({outcome: count})), cast(Clock, clock))
    folder = tmp_path / "bag-1a-7" / TOLD

    def writes(index: int, words: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(index)).write_text(f"federator: checkpoints {words}\n")

    entry = keeps("0-4,12")
    await told.ended(entry, [0])
    writes(0, '{"kept":1}')  # on a disk of the network it is seen late
    writes(3, '{"kept":100}')  # it runs
    await told.ended(entry, [])
    assert counts == {"kept": 1}
    writes(12, '{"failed":2,"why":"full"}')
    writes(1, '{"resumed":1')  # a copy of half of it
    await told.ended(entry, [1, 12])
    await told.ended(entry, [])
    assert counts == {"kept": 1, "failed": 2}
    await told.ended(entry, [4])
    clock.at_s = WAITS_S
    await told.ended(entry, [])
    assert not told._unread["bag-1a-7"], "who has told nothing for so long never will"
    entry.succeeded = IndexSet.parse("0-1,4,12")
    writes(2, '{"kept":7}')
    await told.gone(entry)
    assert counts == {"kept": 108, "failed": 2}, "those that were cancelled, too"
    assert not told._unread


async def test_an_intent_whose_folder_cannot_be_read_hinders_nothing(tmp_path: Path) -> None:
    counted: list[str] = []
    outcomes = Outcomes("hpc", lambda outcome, count: counted.append(outcome))
    (tmp_path / "bag-1a-7").write_text("no folder")
    for files in (None, Mounted(str(tmp_path), 30.0), Mounted(str(tmp_path / "none"), 30.0)):
        told = Told(files, outcomes, SystemClock())
        await told.ended(keeps("0-1"), [0])
        await told.gone(keeps("0-1"))
    assert not counted


async def test_by_commands_they_are_written_too(tmp_path: Path) -> None:
    files = OverCommands(Commands(("env",), 30.0), str(tmp_path))
    with pytest.raises(OSError, match="No such file"):
        await files.write("bag-1a-7", "addresses", "1")
    (tmp_path / "bag-1a-7").mkdir()
    for text in ("a longer one", "{'$(id)'}"):
        await files.write("bag-1a-7", "addresses", text)
        assert (tmp_path / "bag-1a-7/addresses").read_text() == text
    assert (tmp_path / "bag-1a-7/addresses").stat().st_mode & 0o777 == 0o600


def test_no_script_of_a_full_array_is_longer_than_slurm_takes(tmp_path: Path) -> None:
    """4 MiB by default, with addresses as long and as different as those of buckets, evicted often."""
    size = jobs.KEPT_AT_ONCE
    tried = tuple((n, IndexSet.span(0, size)) for n in range(1, 60))
    one = order("s3://bucket/kept", 60)
    attempt = Attempt(Checkpoints("s3://bucket/kept", 60.0, 1), "bag-1a", 60, tried)
    intent = replace(one.intent, indices=IndexSet.span(0, size))
    settings = SlurmSettings(tmp_path, "/d", backfill_partition="fill")

    def sign(method: str, place: str) -> str:
        return f"https://s3.example.org/{place}?X-Amz-Expires=1800&X-Amz-Signature={os.urandom(32).hex()}{'c' * 200}"

    wanted = replace(one, intent=intent, attempt=attempt)
    (job,) = jobs.jobs_of(wanted, settings, "f", (), ("cpu",), size, sign, 0.0)
    assert len(job.script) < 4 << 20
