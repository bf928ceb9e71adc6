"""A MariaDB for Slurm's accounting: Debian's server, unpacked into the cache; nothing is installed.

It asks nobody for a password: it listens on loopback alone, and holds what the tests made.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.servers.private_apt import unpacked
from tests.servers.processes import Server, ServerFailed, free_port

PACKAGES = ("mariadb-server-core", "libaio1", "liburing2", "libnuma1")
"""The server, and the libraries of it that a small machine may lack."""
FORGETFUL = ("--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=16M", "--innodb-buffer-pool-size=16M")
"""Nobody pulls the plug of a test."""


def find_mariadb() -> Path:
    """The tree of its files: from the cache, or from Debian. Raises AptFailed."""
    return unpacked("mariadb-1", PACKAGES)


class MariaDb:
    """One server. ``start`` and ``stop`` block for some seconds."""

    def __init__(self, directory: Path) -> None:
        """``directory``: an empty folder, for all that it writes."""
        tree = find_mariadb()
        self._share = tree / "usr/share/mysql"
        (libraries,) = (tree / "usr/lib").glob("*-linux-gnu")
        self.port = free_port()
        self._directory = directory
        self._command = [
            "env", f"LD_LIBRARY_PATH={libraries}", str(tree / "usr/sbin/mariadbd"), "--no-defaults", "--user=root",
            f"--datadir={directory}/data", f"--lc-messages-dir={self._share}", "--skip-log-bin",
            f"--character-sets-dir={self._share}/charsets", f"--plugin-dir={tree}/usr/lib/mysql/plugin", *FORGETFUL,
        ]  # fmt: skip
        listens = ["--skip-grant-tables", "--bind-address=127.0.0.1", f"--port={self.port}"]
        listens += [f"--socket={directory}/socket", f"--pid-file={directory}/pid"]
        self._server = Server("mariadbd", [*self._command, *listens], directory / "mariadbd.log")

    def start(self) -> None:
        (self._directory / "data").mkdir()
        self._bootstrap()
        self._server.start()
        self._server.wait_until(self._listens, 60.0, "listening")

    def stop(self) -> None:
        self._server.stop()

    def _bootstrap(self) -> None:
        """The tables of its own, without which it has no procedures."""
        files = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        words = "\n".join(
            ("create database mysql;", "use mysql;", *((self._share / name).read_text() for name in files))
        )
        done = subprocess.run(
            [*self._command, "--bootstrap"], input=words, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise ServerFailed(f"mariadbd could not make its tables: {done.stderr[-2000:]}")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
