"""What goes with a job and keeps its checkpoints: run as a file by a real Python, against a store on loopback."""

from __future__ import annotations

import ast
import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from federator.clusters import companions
from federator.clusters.outcomes import told_in
from federator.model.checkpoints import Attempt, Checkpoints
from federator.model.indexset import IndexSet
from tests.patience import PATIENCE_S
from tests.web_store import WebStore

ROOT = Path(companions.__file__).parents[1]
COUNTS = """
cd $FEDERATOR_CHECKPOINT_DIR; trap 'echo told; exit {code}' TERM; n=$(cat n 2>/dev/null || echo 0); echo "begins at $n"
while [ $n -lt {last} ]; do sleep 0.05; n=$((n + 1)); echo $n > n.part; mv n.part n; done; echo done
"""


class Job:
    """One attempt at replica 3, started as a site would start it."""

    def __init__(
        self, web: WebStore, folder: Path, number: int, *before: int, again: bool = False, **told: Any
    ) -> None:
        self.at = folder / f"job-{number}"
        self.at.mkdir()
        self.file, self.kept, self.log = self.at / "companion", self.at / "kept", self.at / "log"
        attempt = Attempt(
            Checkpoints(f"{web.url}/kept", 0.2, 1_000_000),
            "bag-1a",
            number,
            tuple((n, IndexSet.of([3])) for n in before),
        )
        usual = {"graceSeconds": 20.0, "tellsAll": False, "drops": True, "hides": False, "renewed": None}
        errands = companions.errands(attempt, IndexSet.of([3]), lambda _, place: place, again=again)
        self.file.write_bytes(companions.pack({**usual, "errands": errands, "goodUntil": None, **told}))

    def again(self) -> Job:
        """A second execution of the same attempt, elsewhere."""
        other = copy.copy(self)
        other.kept, other.log = self.at / "kept-2", self.at / "log-2"
        return other

    def start(self, *command: str, first: bool = False) -> None:
        """``first``: as the first process of a container."""
        apart = ("--map-root-user",) if os.geteuid() else ()
        words = ["unshare", *apart, "--pid", "--fork", "--kill-child", "--mount-proc"] if first else []
        words += [sys.executable, "-I", "-S", str(self.file), "run", "3", str(self.kept), *command]
        env = {"PATH": "/usr/bin:/bin", "FEDERATOR_CHECKPOINT_DIR": str(self.kept)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, env=env, stdout=log, stderr=log, start_new_session=True)

    def counts(self, last: int = 100_000, code: int = 1) -> None:
        self.start("sh", "-c", COUNTS.format(last=last, code=code))

    def tell_all(self) -> None:
        """As Slurm does: payload, errand and companion, in this order."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        subprocess.run(["kill", "-TERM", *children, str(self.process.pid)], check=False)

    def ends(self) -> int:
        return self.process.wait(PATIENCE_S)

    def said(self) -> str:
        return self.log.read_text()


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_what_is_told_to_end_saves_and_goes_on_elsewhere_and_leaves_nothing_when_it_is_done(
    web: WebStore, tmp_path: Path
) -> None:
    first = Job(web, tmp_path, 1)
    first.counts(code=0)
    until(lambda: web.kept)
    first.process.terminate()
    assert first.ends() == 0, "the exit status is the payload's"
    told = int((first.kept / "n").read_text())
    second = Job(web, tmp_path, 2, 1)
    second.counts(last=told + 10)
    assert second.ends() == 0
    assert f"begins at {told}\n" in second.said(), "who ends well because it was told to has not done its work"
    assert "federator: goes on from a checkpoint" in second.said()
    assert not web.kept


def test_who_hears_it_from_the_site_is_not_told_twice_and_drops_nothing_before_that_is_known(
    web: WebStore, tmp_path: Path
) -> None:
    job = Job(web, tmp_path, 1, tellsAll=True, drops=False)
    job.counts(code=0)
    until(lambda: web.kept)
    job.tell_all()
    assert job.ends() == 0
    assert job.said().count("told\n") == 1
    told = (job.kept / "n").read_text().strip()
    again = Job(web, tmp_path, 2, 1, drops=False)
    again.counts(last=int(told) + 1)
    assert again.ends() == 0
    assert f"begins at {told}\n" in again.said()
    assert web.kept, "it ended well, but who ran it may know better"


def test_an_errand_is_deaf_to_what_tells_all_of_a_job_to_end(web: WebStore, tmp_path: Path) -> None:
    web.slow_s = 0.5
    job = Job(web, tmp_path, 1, tellsAll=True)
    job.counts()
    until(lambda: web.begun)
    job.tell_all()
    job.ends()
    assert web.kept
    assert "broken off" not in job.said()


def test_the_exit_status_and_the_signal_are_the_payloads(web: WebStore, tmp_path: Path) -> None:
    for number, (command, status) in enumerate(
        [(("sh", "-c", "exit 7"), 7), (("sh", "-c", "kill -9 $$"), -9), (("/nowhere",), 127), (("/tmp",), 126)]
    ):
        job = Job(web, tmp_path, number)
        job.start(*command)
        assert job.ends() == status
    assert "federator: the command '/tmp' cannot be run: Permission denied" in job.said()


def test_while_the_store_is_full_that_is_said_and_the_work_goes_on(web: WebStore, tmp_path: Path) -> None:
    web.trouble = 507
    job = Job(web, tmp_path, 1)
    job.counts()
    until(lambda: "a checkpoint was not kept: the store answers 507 Insufficient Storage" in job.said())
    seen = (job.kept / "n").read_text()
    until(lambda: (job.kept / "n").read_text() != seen)
    web.trouble = 0
    job.process.terminate()
    job.ends()
    assert web.kept


def test_what_became_of_checkpoints_is_told_while_it_runs_so_that_no_kill_hides_it(
    web: WebStore, tmp_path: Path
) -> None:
    place = tmp_path / "told-3"

    def told() -> Mapping[str, int]:
        return told_in(place.read_text()) if place.exists() else {}

    first = Job(web, tmp_path, 1, tells=str(tmp_path / "told-{index}"))
    first.counts()
    until(lambda: told().get("kept"))
    web.trouble = 507
    until(lambda: told().get("failed"))
    os.killpg(first.process.pid, signal.SIGKILL)
    first.ends()
    web.trouble = 0
    assert set(told()) == {"kept", "failed"}
    assert "the store answers 507 Insufficient Storage" in place.read_text()
    assert told()["kept"] == len(web.puts)
    place.unlink()
    second = Job(web, tmp_path, 2, 1, tells=str(place))
    second.counts(last=int((first.kept / "n").read_text()) + 1)
    assert second.ends() == 0
    assert told()["resumed"] == 1


def test_addresses_that_are_good_no_more_are_waited_for_and_the_file_is_gone_before_the_payload(
    web: WebStore, tmp_path: Path
) -> None:
    renewed = tmp_path / "addresses"
    job = Job(web, tmp_path, 1, goodUntil=time.time() - 1, renewed=str(renewed), hides=True)
    right = json.loads(json.dumps(companions.errands(
        Attempt(Checkpoints(f"{web.url}/new", 0.2, 1000), "bag-1a", 1), IndexSet.of([3]), lambda _, place: place
    )))  # fmt: skip
    job.start("sh", "-c", f"test ! -e {job.file} && echo hidden; echo 1 > {job.kept}/n; exit 1")
    time.sleep(0.3)
    assert not job.said()
    renewed.write_text(json.dumps({"errands": right, "goodUntil": time.time() + 1800}))
    assert job.ends() == 1
    assert job.said() == "hidden\n"
    assert [path.startswith("/new/") for path in web.kept] == [True]


def test_told_to_end_before_its_start_it_starts_nothing(web: WebStore, tmp_path: Path) -> None:
    web.trouble = 503
    job = Job(web, tmp_path, 2, 1)
    job.start("touch", str(tmp_path / "ran"))
    until(lambda: web.refused)
    job.process.send_signal(signal.SIGTERM)
    assert job.ends() == 143
    assert not (tmp_path / "ran").exists()


def test_where_only_the_exit_status_is_heard_of_an_end_that_was_told_is_no_good_one(
    web: WebStore, tmp_path: Path
) -> None:
    told = {"failsIfTold": True}
    first = Job(web, tmp_path, 1, **told)
    first.counts(code=0)
    until(lambda: web.kept)
    first.process.terminate()
    assert first.ends() == 143
    again = Job(web, tmp_path, 2, 1, **told)
    again.counts(last=int((first.kept / "n").read_text()) + 1)
    assert again.ends() == 0
    other = Job(web, tmp_path, 3, **told)
    other.counts(code=5)
    until(lambda: web.kept)
    other.process.terminate()
    assert other.ends() == 5


def test_what_is_told_to_end_while_it_drops_what_was_kept_has_done_its_work(web: WebStore, tmp_path: Path) -> None:
    """The store answers nothing, so the drop would take longer than the grace."""
    web.slow_drop_s = 20.0
    job = Job(web, tmp_path, 1, failsIfTold=True, graceSeconds=2.0)
    job.start("true")
    until(lambda: web.dropping)
    job.process.terminate()
    began = time.monotonic()
    assert job.ends() == 0
    assert time.monotonic() - began < web.slow_drop_s / 2


def test_a_second_execution_of_an_attempt_goes_on_from_what_the_first_has_kept(web: WebStore, tmp_path: Path) -> None:
    """As Jobs of Kubernetes before 1.23 make them, for a pod that somebody deletes."""
    first = Job(web, tmp_path, 1, again=True)
    first.counts()
    until(lambda: web.kept)
    first.process.terminate()
    first.ends()
    told = int((first.kept / "n").read_text())
    second = first.again()
    second.counts(last=told + 1)
    assert second.ends() == 0
    assert f"begins at {told}\n" in second.said()
    assert not web.kept


@pytest.mark.parametrize("status", [0, 7, 128 + 15])
def test_as_the_first_process_it_lets_orphans_go_and_ends_as_its_payload(
    web: WebStore, tmp_path: Path, status: int
) -> None:
    """Ten that nobody waits for; and a payload that ends by a signal, which a first process cannot do."""
    end = f"exit {status}" if status < 128 else "kill -TERM $$"
    job = Job(web, tmp_path, 1)
    orphans = "for n in 0 1 2 3 4 5 6 7 8 9; do (sleep 0.1 &); done; sleep 1"
    count = "z=$(grep -l '^State:.Z' /proc/[0-9]*/status | wc -l); [ $z = 0 ] && break; sleep 0.2"
    job.start("sh", "-c", f"{orphans}; for n in $(seq 25); do {count}; done; echo $z left; {end}", first=True)
    assert job.ends() == status
    assert "0 left" in job.said().splitlines()


def test_a_python_that_is_too_old_says_so(tmp_path: Path) -> None:
    old = f"import sys; sys.version_info = (3, 6, 8); exec({companions.START!r})"
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (78, f"federator: {companions.NO_PYTHON_WORDS}\n")
    ast.parse(companions.START, feature_version=(3, 4))


def test_its_sources_are_those_of_python_3_9() -> None:
    for name in companions.PARTS:
        ast.parse((ROOT / f"{name}.py").read_text(), name, feature_version=(3, 9))
