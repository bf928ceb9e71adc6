"""The daemon as a process in a folder of its own, and the command line beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import yaml

from tests.patience import PATIENCE_S

COMMAND = [sys.executable, "-m", "federator"]


@dataclass(frozen=True)
class Answer:
    """What the API answered: any status, the body read as JSON (else as text), headers in lower case."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Federator:
    """One daemon; may be killed and started again over the same state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith("FEDERATOR")}

    @property
    def held(self) -> str:
        """Shell words for a replica that waits until the test lets go."""
        return f"until [ -e {self.folder}/gate ]; do sleep 0.1; done"

    def let_go(self) -> None:
        """Everything that is held goes on."""
        (self.folder / "gate").touch()

    def write(self, documents: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        """The documents that its files hold, and its configuration."""
        self.write_file("federation.yaml", documents)
        spec = {
            "files": ["federation.yaml"],
            "stateDirectory": str(self.folder / "var"),
            "listen": {"port": 0},
            "cycle": "200ms",
            "keepEnded": "5m",
            **settings,
        }
        head = {"apiVersion": "federator.dev/v1alpha1", "kind": "Configuration", "metadata": {"name": "test"}}
        self.config.write_text(yaml.safe_dump({**head, "spec": spec}))

    def write_file(self, name: str, documents: Sequence[Mapping[str, Any]]) -> Path:
        """A file of documents."""
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(with_version(d) for d in documents))
        return path

    def start(self, timeout_s: float = PATIENCE_S) -> None:
        """Start the daemon and wait until it is ready."""
        (self.folder / "var" / "endpoint.json").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "run", "--config", str(self.config), "--no-live"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, env=self._environment,
            )  # fmt: skip
        until(self._ready, "the daemon to be ready", self.tail, timeout_s)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.tail()}")
        if not (self.folder / "var" / "endpoint.json").exists():
            return False
        try:
            return bool(self.http("/readyz")["ready"])
        except (AssertionError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL: what a crash is like."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """SIGTERM, as a supervisor does; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def try_cli(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """One command of the federator, whatever comes of it."""
        return subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, cwd=self.folder, input=stdin, timeout=120,
            env=self._environment, check=False,
        )  # fmt: skip

    def cli(self, *words: str, stdin: str | None = None) -> str:
        """One command of the federator, which must succeed; what it printed."""
        done = self.try_cli(*words, stdin=stdin)
        assert done.returncode == 0, f"federator {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        """The same, with ``-o json``."""
        return json.loads(self.cli(*words, "-o", "json"))

    def submit(self, *documents: Mapping[str, Any]) -> None:
        """Hand in workloads."""
        path = self.write_file("submitted.yaml", documents)
        self.cli("submit", "-f", str(path))

    def http(self, path: str, accept: str = "application/json") -> Any:
        """What the API answers to a GET, with the operator's token; None for 404."""
        answer = self.ask("GET", path, headers={"Accept": accept})
        if answer.status == 404:
            return None
        assert answer.status < 300, f"GET {path}: {answer.status} {answer.body}"
        return answer.body

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """What the API answers, whatever it is; with the operator's token where no other is given ("": none)."""
        endpoint = json.loads((self.folder / "var" / "endpoint.json").read_text())
        if token is None:
            token = Path(endpoint["token_file"]).read_text().strip()
        data = body.encode() if isinstance(body, str) else body
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"Content-Type": "application/yaml", "Accept": "application/json", **(headers or {})}
        try:
            with urlopen(Request(endpoint["url"] + path, data, sent, method=method), timeout=60) as got:
                return _read(got.status, got.read(), got.headers.items())
        except HTTPError as error:
            return _read(error.code, error.read(), error.headers.items())

    def checks(self) -> dict[str, Any]:
        """What /readyz says, by the name of the check; under ``ready`` its sum."""
        body = self.ask("GET", "/readyz").body
        return {"ready": body["ready"], **{check["name"]: check for check in body["checks"]}}

    def workload(self, name: str) -> Any:
        """A workload as ``get`` shows it; None if it is not there."""
        return self.http(f"/api/v1/workloads/{name}")

    def items(self, path: str) -> list[Any]:
        """All of a list."""
        return list(self.http(f"/api/v1/{path}")["items"])

    def wait_for(self, name: str, condition: Callable[[Any], bool], timeout_s: float = PATIENCE_S) -> Any:
        """Wait until the workload is as wanted; returns it."""
        latest: dict[str, Any] = {}

        def holds() -> bool:
            latest.clear()
            latest.update(self.workload(name) or {})
            return bool(latest) and condition(latest)

        until(holds, f"workload {name}", lambda: f"{json.dumps(latest, indent=1)}\n{self.tail()}", timeout_s)
        return latest

    def tail(self, lines: int = 40) -> str:
        """The end of the daemon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def clean_up(self) -> None:
        """End the daemon and every process that local clusters started for it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
            told = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
            if any(str(self.folder) in word for word in told) and process.info["pid"] != os.getpid():
                process.kill()


def _read(status: int, raw: bytes, headers: Iterable[tuple[str, str]]) -> Answer:
    text, told = raw.decode(errors="replace"), {key.lower(): value for key, value in headers}
    return Answer(status, json.loads(text) if "json" in told.get("content-type", "") else text, told)


def until(
    condition: Callable[[], bool], what: str, story: Callable[[], str] = lambda: "", timeout_s: float = PATIENCE_S
) -> None:
    """Wait for a condition; fails with the story if it does not come true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_s:g} s for {what}\n{story()}")
        time.sleep(0.2)


def with_version(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with our apiVersion where it names none."""
    return {"apiVersion": "federator.dev/v1alpha1", **document}


def named(kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """A document."""
    return {"kind": kind, "metadata": {"name": name, **metadata}, "spec": dict(spec)}


def kubernetes(name: str, kubeconfig: Path, namespace: str, **labels: str) -> dict[str, Any]:
    """A Kubernetes cluster."""
    block = {"kubeconfig": str(kubeconfig), "namespace": namespace, "qps": 200, "burst": 400, "timeout": "5s"}
    return named("Cluster", name, {"provider": "kubernetes", "kubernetes": block}, labels=labels)


def local(name: str, cpu: int, nodes: int = 1, **labels: str) -> dict[str, Any]:
    """A local cluster of a pretended size."""
    flavor = {"name": "standard", "count": nodes, "allocatable": {"cpu": cpu, "memory": "16Gi"}}
    return named("Cluster", name, {"provider": "local", "flavors": [flavor]}, labels=labels)


def batch(name: str, replicas: int, command: Sequence[str], cpu: str = "1", **spec: Any) -> dict[str, Any]:
    """A batch workload."""
    requests = {"cpu": cpu, "memory": "64Mi", **spec.pop("requests", {})}
    container = {"image": "example.org/payload:1", "command": list(command), **spec.pop("container", {})}
    return named("Workload", name, {"replicas": replicas, "requests": requests, "container": container, **spec})
