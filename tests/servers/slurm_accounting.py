"""What a Slurm with qualities of service (QOS) has besides: a MariaDB, and slurmdbd, which keeps them there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.servers.mariadb import MariaDb
from tests.servers.processes import Server, ServerFailed, free_port
from tests.servers.slurm_configuration import USER, host, munge_socket

FILL_QOS = {"fill": ("cancel", 0), "again": ("requeue", 0), "gently": ("cancel", 60)}
"""Qualities of service whose jobs make room for those of ``normal``: how, and after how many seconds of grace."""


class Accounting:
    """Started after munged and before slurmctld. ``run`` runs one of Slurm's commands as root."""

    def __init__(self, at: Path, programs: Mapping[str, str]) -> None:
        """``at``: the cluster's directory."""
        self._at = at
        (at / "mariadb").mkdir(mode=0o700)
        self._database = MariaDb(at / "mariadb")
        self.port = free_port()
        command = ["env", f"SLURM_CONF={at}/slurm.conf", programs["slurmdbd"], "-D"]
        self.server = Server("slurmdbd", command, at / "slurmdbd.out")

    def start(self, run: Callable[..., str]) -> None:
        self._database.start()
        self._configure()
        self.server.start()
        self.server.wait_until(lambda: _answers(run), 60.0, "answering", 0.2)
        for words in _records():
            run("sacctmgr", "--immediate", *words.split())

    def stop(self) -> None:
        self.server.stop()
        self._database.stop()

    def _configure(self) -> None:
        lines = [
            "AuthType=auth/munge", f"AuthInfo=socket={munge_socket(self._at)}", f"DbdHost={host()}",
            "DbdAddr=127.0.0.1", f"DbdPort={self.port}", "SlurmUser=root", f"PidFile={self._at}/slurmdbd.pid",
            f"LogFile={self._at}/slurmdbd.log", "StorageType=accounting_storage/mysql", "StorageHost=127.0.0.1",
            f"StoragePort={self._database.port}", "StorageUser=root", "StorageLoc=slurm",
        ]  # fmt: skip
        path = self._at / "slurmdbd.conf"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")


def _records() -> list[str]:
    """What sacctmgr is told."""
    fills = ",".join(FILL_QOS)
    qualities = [
        f"add qos {name} preemptmode={mode} gracetime={grace_s} priority=1"
        for name, (mode, grace_s) in FILL_QOS.items()
    ]
    return [
        "add cluster test",
        *qualities,
        f"modify qos normal set priority=100 preempt={fills}",
        "add account test",
        f"add user {USER} account=test qos=normal,{fills} defaultqos=normal",
    ]


def _answers(run: Callable[..., str]) -> bool:
    try:
        run("sacctmgr", "--noheader", "show", "cluster")
    except ServerFailed:
        return False
    return True
