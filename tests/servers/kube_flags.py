"""The flags of each program, for servers from 1.20 to 1.36.

Flags that are needed are chosen by version. Flags that only make tests quicker
are passed when the program's own ``--help`` knows them.
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.binaries import KubernetesBinaries

AUDIENCE = "https://kubernetes.default.svc"
# From here on the insecure ports are gone, and so are the flags that closed them.
NO_INSECURE_PORT = (1, 24)


@dataclass(frozen=True)
class Ports:
    etcd: int
    etcd_peer: int
    apiserver: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True)
class Files:
    """What the programs read; all below one temporary directory."""

    directory: Path
    ca: Path
    serving_cert: Path
    serving_key: Path
    service_account_key: Path
    tokens: Path
    kubeconfig: Path


@dataclass(frozen=True)
class Tuning:
    """What a test may want otherwise than a server has it."""

    node_grace_s: float = 40.0
    feature_gates: Mapping[str, bool] = field(default_factory=dict)

    @property
    def gates(self) -> list[str]:
        words = ",".join(f"{name}={str(on).lower()}" for name, on in self.feature_gates.items())
        return [f"--feature-gates={words}"] if words else []


def etcd(binaries: KubernetesBinaries, ports: Ports, files: Files) -> list[str]:
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        str(binaries.etcd),
        f"--data-dir={files.directory}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        # Nobody pulls the plug of a test. (3.4's help is silent about the flag, so ask for the version.)
        *(["--unsafe-no-fsync=true"] if _etcd_version(binaries.etcd) >= (3, 4, 23) else []),
    ]


def apiserver(binaries: KubernetesBinaries, ports: Ports, files: Files, tuning: Tuning) -> list[str]:
    flags = [
        str(binaries.apiserver),
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.apiserver}",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--etcd-prefix=/registry",
        f"--tls-cert-file={files.serving_cert}",
        f"--tls-private-key-file={files.serving_key}",
        f"--client-ca-file={files.ca}",
        f"--token-auth-file={files.tokens}",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={AUDIENCE}",
        f"--service-account-key-file={files.service_account_key}",
        f"--service-account-signing-key-file={files.service_account_key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        *tuning.gates,
    ]
    if binaries.version < NO_INSECURE_PORT:
        flags += ["--insecure-port=0", f"--api-audiences={AUDIENCE}"]
    return flags


def controller_manager(binaries: KubernetesBinaries, ports: Ports, files: Files, tuning: Tuning) -> list[str]:
    flags = [
        str(binaries.controller_manager),
        *_client_of(files, ports.controller_manager),
        # Without it all controllers share one identity, which RBAC forbids most things.
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={files.service_account_key}",
        f"--root-ca-file={files.ca}",
        f"--node-monitor-grace-period={tuning.node_grace_s:g}s",
        *tuning.gates,
        *known(
            binaries.controller_manager,
            # The default of 20 requests a second per controller would be what a benchmark measures.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--node-monitor-period=1s",
            "--concurrent-job-syncs=20",
            "--terminated-pod-gc-threshold=0",
        ),
    ]
    return flags + (["--port=0"] if binaries.version < NO_INSECURE_PORT else [])


def scheduler(binaries: KubernetesBinaries, ports: Ports, files: Files, tuning: Tuning) -> list[str]:
    flags = [
        str(binaries.scheduler),
        *_client_of(files, ports.scheduler),
        *tuning.gates,
        *known(binaries.scheduler, "--kube-api-qps=500", "--kube-api-burst=1000"),
    ]
    return flags + (["--port=0"] if binaries.version < NO_INSECURE_PORT else [])


def known(program: Path, *flags: str) -> list[str]:
    """Those of the flags that the program's help mentions."""
    text = _help(program)
    return [flag for flag in flags if flag.split("=")[0] + " " in text]


def _client_of(files: Files, secure_port: int) -> list[str]:
    names = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [
        *(f"--{name}={files.kubeconfig}" for name in names),
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={secure_port}",
    ]


@functools.cache
def _etcd_version(program: Path) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else (0,)


@functools.cache
def _help(program: Path) -> str:
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
