"""A PostgreSQL of our own on a loopback port, with its data in a temporary directory."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.private_apt import PrivateApt
from tests.servers.processes import (
    Server,
    ServerFailed,
    free_port,
    keep_directory,
    primary_group,
    remove_directory,
    temporary_directory,
)

# Nobody pulls the plug of a test. Commits still are written when they are made: a halt loses none.
FORGETFUL = ("fsync=off", "full_page_writes=off", "max_connections=200")
UNPRIVILEGED = "postgres"


class Postgres:
    """``with Postgres() as server: server.url`` -- or ``start`` and ``stop``. All of it blocks briefly."""

    def __init__(self) -> None:
        self._programs = find_postgres()
        self._password = secrets.token_hex(16)
        # PostgreSQL refuses to run as root; the package brings a user for it.
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """The database ``federator``, for SQLAlchemy."""
        return self.url_of("federator")

    def url_of(self, database: str) -> str:
        return f"postgresql+asyncpg://federator:{self._password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, prefix: str = "test") -> str:
        """The URL of a new, empty database."""
        name = f"{prefix}_{secrets.token_hex(4)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "federator", name)
        return self.url_of(name)

    def start(self) -> None:
        self.directory = temporary_directory("postgres")
        self.port = free_port()
        try:
            self._initialise()
            self.resume()
            self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "federator", "federator")
        except BaseException:
            self._server.stop(signal.SIGQUIT)
            keep_directory(self.directory)  # for its log
            raise

    def stop(self) -> None:
        self.thaw()
        self.halt()
        remove_directory(self.directory)

    def halt(self) -> None:
        """An outage: all connections break, new ones are refused, the data stay."""
        # SIGQUIT: the postmaster takes its children along, which are groups of their own.
        self._server.stop(signal.SIGQUIT)

    def resume(self) -> None:
        self._server.start()
        self._server.wait_until(self._accepts, 30.0, "accepting connections")

    def freeze(self) -> None:
        """No new connection is served. Those that are open have a process each and go on."""
        self._server.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._server.send(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _initialise(self) -> None:
        data, password_file = self.directory / "data", self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}"]
        words = [word for setting in (*settings, *FORGETFUL) for word in ("-c", setting)]
        command = [self._programs / "postgres", "-D", data, *words]
        self._server = Server("postgres", [str(word) for word in command], self.directory / "postgres.log", self._user)
        if self._user is not None:
            for path in (self.directory, password_file):
                shutil.chown(path, self._user, primary_group(self._user))
        self._run(
            "initdb", "-D", str(data), "-U", "federator", "--pwfile", str(password_file), "--no-sync",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
        )  # fmt: skip

    def _accepts(self) -> bool:
        probe = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words], cwd=self.directory, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "PGPASSWORD": self._password},
            user=self._user, group=None if self._user is None else primary_group(self._user),
            extra_groups=None if self._user is None else [],
        )  # fmt: skip
        if done.returncode:
            raise ServerFailed(f"{program} ended with {done.returncode}:\n{done.stdout[-2000:]}")


def find_postgres() -> Path:
    """The newest PostgreSQL's programs; root installs Debian's package when there is none."""
    if (found := _newest()) is not None:
        return found
    if os.geteuid() != 0:
        raise ServerFailed("PostgreSQL is missing and only root may install it: apt-get install postgresql")
    # The package would start a cluster of its own on port 5432; nobody asked for that one.
    common = Path("/etc/postgresql-common")
    common.mkdir(exist_ok=True)
    if not (common / "createcluster.conf").exists():
        (common / "createcluster.conf").write_text("create_main_cluster = false\n")
    codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    with tempfile.TemporaryDirectory() as directory:
        apt = PrivateApt(Path(directory), suite=codename[1] if codename else "bookworm", host_status=True)
        apt.update()
        apt.install(["postgresql"])
    if (found := _newest()) is None:
        raise ServerFailed("the package postgresql is installed, but there is no /usr/lib/postgresql/*/bin/initdb")
    return found


def _newest() -> Path | None:
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in found), key=lambda path: float(path.parent.name), default=None)
