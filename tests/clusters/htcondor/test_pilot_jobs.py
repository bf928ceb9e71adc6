"""Pilots as jobs: what the queue tells of them, and what each is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federator.clusters.htcondor import pilot_jobs, seen
from federator.clusters.sent import PilotJobs
from federator.clusters.sizing import End, Limits
from federator.model.resources import CPU, MEMORY, Resources
from federator.pilot.settings import read_arguments

SIZE = Resources.of({CPU: 8000, MEMORY: 16 << 30})
SETTINGS = PilotJobs("https://fed.example.org:8443", "/etc/fed/cern.token", Limits(SIZE))


def job(number: int, status: int, **more: Any) -> dict[str, Any]:
    told = {"ClusterId": 7, "ProcId": number, "JobStatus": status, "EnteredCurrentStatus": 100, "ServerTime": 130}
    return told | more


def test_a_queue_of_pilots_is_read_by_the_schedds_own_clock() -> None:
    found = pilot_jobs.read(
        "cern",
        [
            job(0, seen.IDLE),
            job(1, seen.HELD, HoldReasonCode=16),
            job(2, seen.RUNNING),
            job(3, seen.COMPLETED, ExitCode=0),
            job(4, seen.COMPLETED, ExitCode=2, EnteredCurrentStatus=110),
            job(5, seen.HELD, HoldReasonCode=6, HoldReason="no such file", EnteredCurrentStatus=120),
        ],
        130.0,
    )
    assert dict(found.waiting) == {"7.0": 30.0, "7.1": 30.0}
    assert dict(found.running) == {"cern-7-2": ("7.2", 30.0)}
    assert found.ended == {"7.3": End(100.0, True), "7.4": End(110.0, False), "7.5": End(120.0, False)}
    assert found.words == "job 7.5 was held: no such file"


def test_pilots_that_run_and_have_not_registered_are_known_by_their_names() -> None:
    found = pilot_jobs.read("cern", [job(2, seen.RUNNING), job(3, seen.RUNNING)], 130.0)
    assert found.unheard({"cern-7-2"}) == {"cern-7-3": ("7.3", 30.0)}


def test_a_pilot_understands_its_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the token by its bare name in the folder that HTCondor gives it, and offers what was asked for."""
    described = pilot_jobs.description("cern", "fed/cern", SETTINGS, Path("/var/x/pilot.pyz"), Path("/var/x"))
    words = described["arguments"].strip('"').replace("$(ClusterId)", "7").replace("$(ProcId)", "3").split()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cern.token").write_text("secret")
    told = read_arguments(words)
    assert (told.name, told.cluster, told.url) == ("cern-7-3", "cern", SETTINGS.url)
    assert (told.cpu, told.memory_bytes, told.gpus) == (8.0, 16 << 30, 0)
    assert (told.lifetime_s, told.idle_s, told.runtimes) == (86400.0, 600.0, ("process",))
    assert described["request_cpus"] == "8"
    assert described["request_memory"] == str(16 << 10)
    assert "secret" not in str(described)


def test_a_pilot_whose_slot_is_taken_away_is_not_started_again() -> None:
    described = pilot_jobs.description("cern", "fed/cern", SETTINGS, Path("/p"), Path("/var/x"))
    assert "JobStatus == 1 && NumJobStarts > 0" in described["periodic_remove"]
