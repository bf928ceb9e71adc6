"""The daemon as a process: how it starts, what it leaves, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.processes import free_port

pytestmark = pytest.mark.real
COMMAND = str(Path(sys.executable).with_name("federator"))
START_S = 60.0
CONFIGURATION = """\
apiVersion: federator.dev/v1alpha1
kind: Configuration
metadata: {name: test}
spec: {listen: {port: PORT}}
"""
WORK = """\
apiVersion: federator.dev/v1alpha1
kind: Workload
metadata: {name: hello}
spec: {replicas: 2, requests: {cpu: 10m}, container: {command: [sh, -c, "echo hello from $FEDERATOR_REPLICA_INDEX"]}}
"""


class Running:
    """A daemon in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "HOME": str(folder)}
        (folder / "config.yaml").write_text(CONFIGURATION.replace("PORT", str(free_port())))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "run", "--config", "config.yaml"],
            cwd=self.folder,
            env=self.environment,
            stdout=(self.folder / "out").open("w"),
            stderr=(self.folder / "err").open("w"),
        )
        limit = time.monotonic() + START_S
        while not (self.folder / "var" / "endpoint.json").exists():
            assert self.process.poll() is None, (self.folder / "err").read_text()
            assert time.monotonic() < limit, "the daemon did not start in time"
            time.sleep(0.1)

    def client(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def test_work_handed_in_on_the_command_line_runs_and_is_still_known_after_a_restart(daemon: Running) -> None:
    (daemon.folder / "work.yaml").write_text(WORK)
    assert daemon.client("submit", "-f", "work.yaml").returncode == 0
    waited = daemon.client("wait", "hello", "--timeout", "60s")
    assert waited.returncode == 0, waited.stderr
    assert daemon.client("logs", "hello", "--replica", "1").stdout == "hello from 1\n"
    assert daemon.stop(signal.SIGINT) == 0
    assert not (daemon.folder / "var" / "endpoint.json").exists()
    assert daemon.client("get", "wl").returncode == 3
    daemon.start()
    assert json.loads(daemon.client("get", "wl", "hello", "-o", "json").stdout)["state"] == "finished"
    assert daemon.stop() == 0


def test_the_first_start_says_where_it_is_and_makes_one_private_token(daemon: Running) -> None:
    endpoint = json.loads((daemon.folder / "var" / "endpoint.json").read_text())
    out = (daemon.folder / "out").read_text()
    assert endpoint["url"] in out
    assert endpoint["token_file"] in out
    token = Path(endpoint["token_file"])
    assert token.stat().st_mode & 0o777 == 0o600
    secret = token.read_text().strip()
    for line in (daemon.folder / "err").read_text().splitlines():
        assert {"ts", "level", "event"} <= set(json.loads(line)), "elsewhere than in a terminal, logs are JSON lines"
        assert secret not in line
    with urllib.request.urlopen(f"{endpoint['url']}/healthz", timeout=10) as answer:
        assert answer.status == 200
    assert daemon.stop() == 0


def test_a_second_daemon_on_the_same_state_is_refused_with_the_cure(daemon: Running) -> None:
    second = daemon.client("run", "--config", "config.yaml")
    assert second.returncode == 2
    assert "another federator holds" in second.stderr
    assert "Traceback" not in second.stderr
    assert (daemon.folder / "var" / "endpoint.json").exists(), "the first one's address is not taken away"
    assert daemon.stop() == 0
