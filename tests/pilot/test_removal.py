"""What Podman may have left is removed beside the pilot's loop."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from federator.pilot import removal
from federator.pilot.agent import Agent
from federator.pilot.removal import Removals
from federator.pilot.resources import Node
from federator.pilot.settings import Settings
from federator.pilot.spool import Spool


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that writes down how it was called, and ends when a file is there."""
    program = tmp_path / "podman"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nwhile [ ! -e {tmp_path}/end ]; do sleep 0.02; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def over(removals: Removals) -> bool:
    end = time.monotonic() + 30
    while not removals.over() and time.monotonic() < end:
        time.sleep(0.02)
    return removals.over()


def test_nobody_waits_for_it_but_it_is_known_when_it_is_over(podman: Path) -> None:
    removals = Removals()
    assert removals.over()
    removals.begin("federator-a")
    removals.begin("federator-b")
    assert not removals.over()
    (podman / "end").touch()
    assert over(removals)
    calls = (podman / "calls").read_text().splitlines()
    assert sorted(calls) == [f"rm --force --ignore --time 0 federator-{name}" for name in "ab"]


def test_one_that_hangs_is_ended(podman: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "LIMIT_S", 0.1)
    removals = Removals()
    removals.begin("federator-a")
    assert over(removals)
    assert not (podman / "end").exists()


def test_without_podman_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="podman"):
        Removals().begin("federator-a")


def test_a_pilot_removes_what_the_one_before_it_left(podman: Path) -> None:
    (podman / "end").touch()
    spool = Spool(podman / "spool")
    for lease, runtime in (("a", "container"), ("b", "process")):
        spool.add({"lease": lease, "runtime": runtime})
    os.close(spool._lock)  # that pilot is gone
    agent = Agent(Settings("http://localhost", "token", podman / "spool"), Node(1.0, 1, (), None, ("podman",)))
    agent.recover()
    assert over(agent._removals)
    assert (podman / "calls").read_text().split()[-1] == "federator-a"
    assert len((podman / "calls").read_text().splitlines()) == 1
    assert sorted(agent.results) == ["a", "b"]
