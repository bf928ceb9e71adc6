"""The sample filler: its sums are the same however often it was stopped, and they are physics."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.patience import PATIENCE_S
from tests.web_store import WebStore

SCRIPT = Path(__file__).parents[2] / "config" / "fillers" / "detector.py"


@pytest.fixture(scope="module")
def detector() -> ModuleType:
    spec = importlib.util.spec_from_file_location("detector", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(store: Path | str, tracks: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), "--store", str(store), "--tracks", str(tracks), "--every", "0.05"]
    return subprocess.Popen(command, env={"FEDERATOR_REPLICA_INDEX": "3"})


@pytest.mark.thorough
def test_the_sums_are_the_same_however_often_it_was_stopped_or_killed(tmp_path: Path, detector: ModuleType) -> None:
    """Once in one go; once with SIGTERM (which it heeds) and SIGKILL (which leaves the last checkpoint) by turns."""
    tracks = 2_000_000
    assert start(tmp_path / "whole", tracks).wait(120) == 0
    endings = []
    for number in range(40):
        process = start(tmp_path / "parts", tracks)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL if number % 2 else signal.SIGTERM)
        endings.append(process.wait(60))
        if endings[-1] == 0:
            break
    assert start(tmp_path / "parts", tracks).wait(120) == 0
    whole, parts = (json.loads((tmp_path / name / "task-3.json").read_text()) for name in ("whole", "parts"))
    assert whole == parts
    assert whole["batches"] == tracks // detector.BATCH
    assert set(endings) - {0}, "it was never stopped, so this test shows nothing"


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"in vain waited for {what}"
        time.sleep(0.02)


@pytest.mark.parametrize("status", [503, 507], ids=["away", "full"])
def test_a_task_goes_on_while_its_store_is_away_or_full_and_is_resumed_by_its_address(
    tmp_path: Path, web: WebStore, detector: ModuleType, status: int
) -> None:
    """It begins while the store is away, is stopped, begins again, and is done only when its sums are saved."""
    tracks = 4 * detector.BATCH
    assert start(tmp_path / "folder", tracks).wait(PATIENCE_S) == 0
    whole = json.loads((tmp_path / "folder" / "task-3.json").read_text())
    half = {"batches": 1, "sums": detector.add({}, detector.batch_sums(3, 0))}
    web.kept["/bag/task-3.json"] = json.dumps(half).encode()
    web.trouble = status
    process = start(f"{web.url}/bag", tracks)
    until(lambda: web.refused >= 3, "the store to be asked in vain")
    assert process.poll() is None, "it is not done as long as its sums are not saved"
    assert json.loads(web.kept["/bag/task-3.json"]) == half
    web.trouble = 0
    assert process.wait(PATIENCE_S) == 0
    assert json.loads(web.kept["/bag/task-3.json"]) == whole


def test_a_task_that_is_told_to_end_while_its_store_is_away_is_not_done(web: WebStore, detector: ModuleType) -> None:
    web.trouble = 503
    process = start(f"{web.url}/bag", detector.BATCH)
    until(lambda: web.refused >= 2, "the store to be asked in vain")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == detector.STOPPED
    assert web.kept == {}


def test_tasks_differ_and_each_is_the_same_again(detector: ModuleType) -> None:
    assert detector.batch_sums(1, 0) == detector.batch_sums(1, 0)
    assert detector.batch_sums(1, 0) != detector.batch_sums(2, 0)
    assert detector.batch_sums(1, 0) != detector.batch_sums(1, 1)


def test_muons_lose_what_they_should(detector: ModuleType) -> None:
    """A muon near minimum ionisation loses about 1.5 MeV/(g/cm2) in iron and 1.7 in silicon; thick iron stops some of
    them, thin silicon none; and they stray further with every layer."""
    sums = detector.batch_sums(0, 0, tracks=20_000)
    silicon, iron = sums["deposited_ev"][0] / 20_000 / 1e6, sums["deposited_ev"][4] / 20_000 / 1e6
    assert 0.08 < silicon < 0.25
    assert 150 < iron < 320
    assert sums["stopped"][0] == 0 < sums["stopped"][4]
    shifts = sums["shift2_1e6_nm2"][:4]
    assert shifts == sorted(shifts)
