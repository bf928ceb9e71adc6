"""The same container under a pilot by Apptainer as anywhere: command, environment, directory, exit code, logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.federator_process import Federator, batch, named
from tests.e2e.pilot_process import PilotProcess, pilot_token, url_of
from tests.servers.apptainer import find_apptainer

pytestmark = pytest.mark.real

LOOK = "echo replica $FEDERATOR_REPLICA_INDEX of $WHO in $PWD; grep NoNewPrivs /proc/self/status; ls /proc"


@pytest.fixture
def pilot(federator: Federator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PilotProcess]:
    """A daemon with a cluster of pilots, and a pilot that runs nothing but images."""
    apptainer = find_apptainer()
    monkeypatch.setenv("PATH", str(apptainer.programs), prepend=":")
    federator.write([named("Cluster", "grid", {"provider": "pilots", "pilots": {"lease": "10s", "margin": "0s"}})])
    federator.start()
    pilot = PilotProcess(tmp_path, "one", url_of(federator), pilot_token(federator), runtime="apptainer")
    pilot.start()
    yield pilot
    pilot.clean_up()


def test_an_unpacked_image_runs_as_elsewhere(federator: Federator, pilot: PilotProcess) -> None:
    container = {"image": "/image", "command": ["sh", "-c", f"{LOOK}; exit 0"], "env": {"WHO": "a,b c"}}
    federator.submit(batch("look", 2, [], container=container))
    federator.wait_for("look", lambda w: w["state"] == "finished")
    text = federator.cli("logs", "look", "--replica", "1")
    assert "replica 1 of a,b c in /work" in text
    assert "NoNewPrivs:\t1" in text
    pids = [int(line) for line in text.splitlines() if line.isdigit()]
    assert pids
    assert max(pids) < 100, "it has process ids of its own, and sees no pilot that it could signal"
    assert not pilot.payloads()


def test_a_failure_inside_has_its_own_exit_code(federator: Federator, pilot: PilotProcess) -> None:
    container = {"image": "/image", "command": ["sh", "-c", "echo oh no; exit 7"]}
    federator.submit(batch("fails", 1, [], container=container, retries=0))
    failed = federator.wait_for("fails", lambda w: w["state"] == "failed")
    assert "exited with 7: oh no" in str(federator.http("/api/v1/workloads/fails/history")) + failed["message"]


def test_a_container_that_is_cancelled_leaves_nothing_running(federator: Federator, pilot: PilotProcess) -> None:
    container = {"image": "/image", "command": ["sh", "-c", "sleep 600 & sleep 600"]}
    federator.submit(batch("long", 1, [], container=container))
    federator.wait_for("long", lambda w: w["running"] == 1)
    assert pilot.payloads()
    federator.cli("cancel", "long")
    federator.wait_for("long", lambda w: w["state"] == "cancelled")
    assert not pilot.payloads()
