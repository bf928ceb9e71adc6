"""Pilots as processes beside a daemon, each in a folder of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from federator.processes import birth, marked
from tests.e2e.federator_process import Federator, named, until
from tests.patience import PATIENCE_S


class PilotProcess:
    """One pilot; may be killed and started again over the same spool."""

    def __init__(
        self, folder: Path, name: str, url: str, token: Path, *options: str, cpu: int = 4, runtime: str = "process"
    ) -> None:
        self.name = name
        self.spool = folder / f"spool-{name}"
        self.log = folder / f"pilot-{name}.log"
        self.command = [sys.executable, "-m", "federator", "pilot", "--url", url, "--token-file", str(token)]
        self.command += ["--name", name, "--spool", str(self.spool), "--cpu", str(cpu), "--memory", "4Gi"]
        self.command += ["--runtime", runtime, *options]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """SIGKILL, and wait until its guard has ended what it left behind."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        until(lambda: not self.payloads(), f"what {self.name} left behind to be gone", self.tail)

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM, as a batch system does; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def payloads(self) -> list[int]:
        """The processes of its payloads."""
        return [pid for pid in marked("FEDERATOR_PILOT_SPOOL", str(self.spool)) if birth(pid)]

    def results(self) -> int:
        """How many ends are on its disk that the server has not acknowledged."""
        return len(list(self.spool.glob("*/result.json")))

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""

    def clean_up(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        end = time.monotonic() + 10
        while self.payloads() and time.monotonic() < end:
            time.sleep(0.05)


def grid(name: str = "grid", lease: str = "3s", **labels: str) -> dict[str, object]:
    """A cluster of pilots."""
    block = {"lease": lease, "imagesAsProcesses": True, "margin": "0s"}
    return named("Cluster", name, {"provider": "pilots", "pilots": block}, labels=labels)


def pilot_token(federator: Federator, site: str = "grid") -> Path:
    """A token for the pilots of a site, in a file."""
    path = federator.folder / f"token-{site}"
    federator.cli("token", "new", f"pilots-{site}", "--role", "pilot", "--site", site, "--to-file", str(path))
    return path


def url_of(federator: Federator) -> str:
    """Where the daemon listens."""
    return str(json.loads((federator.folder / "var" / "endpoint.json").read_text())["url"])


def leases(federator: Federator, cluster: str = "grid") -> dict[str, int]:
    """``federator_leases_total`` of a cluster by outcome."""
    text = federator.http("/metrics", accept="text/plain")
    found = re.findall(r'^federator_leases_total\{cluster="(\w+)",outcome="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {outcome: int(float(value)) for name, outcome, value in found if name == cluster}


def indices(files: Sequence[Path]) -> list[int]:
    """The indices that payloads wrote, sorted, each as often as it was written."""
    return sorted(int(line) for file in files if file.exists() for line in file.read_text().split())
