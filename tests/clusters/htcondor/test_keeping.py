"""Checkpoints of jobs: what their shell does, run as HTCondor would, and how those end that HTCondor takes away."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clock import SystemClock
from federator.clusters.companions import NO_PYTHON
from federator.clusters.htcondor import HTCondorProvider, HTCondorSettings, jobs, seen
from federator.clusters.htcondor.settings import Access
from federator.model.checkpoints import Attempt, Checkpoints, plain
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.ports import OrderRefused
from federator.telling import ATTRIBUTE, MARK
from tests.clusters.htcondor.test_jobs import SETTINGS, order
from tests.clusters.htcondor.test_seen import job, one
from tests.patience import PATIENCE_S
from tests.web_store import WebStore


def kept(url: str, number: int, *before: int, script: str = "true") -> Order:
    tried = tuple((n, IndexSet.of([1])) for n in before)
    attempt = Attempt(Checkpoints(url, 60.0, 1000), "bag-1a", number, tried)
    return replace(order(Container(command=("sh", "-c"), args=(script,))), attempt=attempt, grace_s=7.0)


def run(folder: Path, wanted: Order, starts: int = 1, **env: str) -> subprocess.CompletedProcess[str]:
    """Replica 1 in a sandbox."""
    folder.mkdir()
    (folder / jobs.COMPANION).write_bytes(jobs.companion(wanted, IndexSet.of([1]), plain, 0.0))
    (folder / ".job.ad").write_text(f"NumJobStarts = 0\nNumShadowStarts = {starts}\n")
    assert wanted.container is not None
    own: Mapping[str, str] = {"PATH": os.environ["PATH"], "_CONDOR_JOB_AD": str(folder / ".job.ad"), jobs.INDEX: "1"}
    command = ["/bin/sh", "-c", jobs.script(wanted.container, keeps=True)]
    return subprocess.run(
        command, cwd=folder, env={**own, **env}, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_a_task_goes_on_from_what_was_kept_and_its_payload_finds_no_addresses(web: WebStore, tmp_path: Path) -> None:
    first = kept(f"{web.url}/kept", 1, script="echo half > $FEDERATOR_CHECKPOINT_DIR/n; ls; exit 3")
    done = run(tmp_path / "one", first)
    assert done.returncode == 3, done.stderr
    assert not done.stdout, "the companion is gone"
    assert list(web.kept) == ["/kept/bag-1a-1-1-0"]
    done = run(tmp_path / "two", kept(f"{web.url}/kept", 2, 1, script='cat "$(FEDERATOR_CHECKPOINT_DIR)/n"'))
    assert (done.returncode, done.stdout) == (0, "half\n")
    assert "goes on from a checkpoint" in done.stderr
    assert not web.kept


def test_a_second_execution_of_a_job_would_write_to_the_places_of_the_first_and_so_runs_nothing(
    web: WebStore, tmp_path: Path
) -> None:
    done = run(tmp_path / "one", kept(f"{web.url}/kept", 1, script="echo 1 > $FEDERATOR_CHECKPOINT_DIR/n; false"), 2)
    assert (done.returncode, web.begun) == (jobs.AGAIN, [])
    keeps = {"FederatorKeeps": True}
    for ended, reason in (
        (job(0, seen.COMPLETED, ExitCode=jobs.AGAIN, **keeps), "Evicted"),
        (job(0, seen.IDLE, NumVacates=1, VacateReasonCode=1019, **keeps), "Preempted"),
    ):
        assert [(failure.reason, failure.own_fault) for failure in one(ended).failed] == [(reason, False)]
    wanted = jobs.description(kept("file:///kept", 1), "fed", SETTINGS, "a || b")
    assert wanted["requirements"] == "TARGET.BackfillSlot =!= true && (MY.NumVacates ?: 0) == 0 && (a || b)"
    assert wanted["job_max_vacate_time"] == "7"
    assert wanted["My.FederatorKeeps"] == "true"


def test_a_node_without_python_says_so(web: WebStore, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/grep").symlink_to("/bin/grep")
    done = run(tmp_path / "one", kept(f"{web.url}/kept", 1), PATH=str(tmp_path / "bin"))
    assert done.returncode == NO_PYTHON
    assert done.stderr == "federator: there is no python3 (3.9 or newer) here, which carries checkpoints\n"
    (failure,) = one(job(0, seen.COMPLETED, ExitCode=NO_PYTHON, FederatorKeeps=True)).failed
    assert (failure.reason, failure.own_fault) == ("NoPython", True)


def test_an_order_whose_store_has_no_key_here_is_refused_and_others_have_no_companion() -> None:
    with pytest.raises(OrderRefused, match="no credentials for s3://bucket/kept") as told:
        jobs.companion(kept("s3://bucket/kept", 1), IndexSet.of([1]), plain, 0.0)
    assert told.value.permanent
    assert not jobs.companion(order(Container(command=("true",))), IndexSet.of([1]), plain, 0.0)


async def test_what_jobs_tell_of_checkpoints_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they run, and in their end. What they had told before this daemon began is not counted again."""
    counts: Counter[str] = Counter()
    settings = HTCondorSettings(Access("127.0.0.1:1"), tmp_path)

    def count(outcome: str, number: int) -> None:
        counts[outcome] += number

    provider = HTCondorProvider("pool", settings, clock=SystemClock(), federation="fed", kept=count)
    told: dict[int, str] = {0: '{"kept":3}'}

    async def answer(name: str, **_: object) -> dict[str, object]:
        found = [{**job(index, seen.RUNNING), ATTRIBUTE: f"{MARK}{words}"} for index, words in told.items()]
        return {"jobs": [*found, job(9, seen.RUNNING)], "slots": [], "version": "25"}

    monkeypatch.setattr(provider._helper, "call", answer)
    await provider.observe()
    told |= {0: '{"kept":4}', 1: '{"failed":1,"why":"full"}'}
    await provider.observe()
    await provider.observe()
    del told[0]
    await provider.observe()
    assert counts == {"kept": 1, "failed": 1}
    assert len(provider._outcomes._heard) == 1


def test_a_companion_tells_its_starter(web: WebStore, tmp_path: Path) -> None:
    """Here is none, and that is said in its output."""
    done = run(tmp_path / "one", kept(f"{web.url}/kept", 1, script="echo 1 > $FEDERATOR_CHECKPOINT_DIR/n; false"))
    assert done.returncode == 1
    assert "federator: nobody is told what becomes of checkpoints: No such file or directory" in done.stderr
