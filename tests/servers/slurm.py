"""A Slurm cluster of our own on loopback: munged, slurmctld, many slurmd (one for each pretended node), slurmrestd.

There are two slurmrestd: one trusts whoever reaches its Unix socket, the other one, on TCP, wants tokens.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.processes import (
    Server,
    ServerFailed,
    free_port,
    keep_directory,
    primary_group,
    remove_directory,
    temporary_directory,
)
from tests.servers.slurm_accounting import Accounting
from tests.servers.slurm_configuration import CPUS, TWENTY, USER, Sizes, configure, munge_socket, signing_key
from tests.servers.slurm_programs import find_slurm

API = "v0.0.38"
__all__ = ["API", "CPUS", "USER", "Sizes", "Slurm"]


class Slurm:
    """``with Slurm() as slurm: slurm.url`` -- or ``start`` and ``stop``. All of it blocks for some seconds."""

    def __init__(self, sizes: Sizes = TWENTY, min_job_age_s: int = 300, *, by_quality: bool = False) -> None:
        """``by_quality``: jobs make room by their quality of service (QOS), and not by their partition."""
        self._programs = find_slurm()
        self.sizes = sizes
        self._min_job_age_s = min_job_age_s
        self._by_quality = by_quality
        self._accounting: Accounting | None = None

    @property
    def url(self) -> str:
        """Of slurmrestd, as a Cluster document has it."""
        return f"unix:{self.directory}/rest/s.sock"

    @property
    def token_url(self) -> str:
        """Of the slurmrestd that wants a token."""
        return f"http://127.0.0.1:{self._token_port}"

    def token(self, lifespan_s: int = 600, user: str = USER) -> str:
        """A new token (JWT), from Slurm itself."""
        told = self.run("scontrol", "token", f"username={user}", f"lifespan={lifespan_s}")
        return told.strip().removeprefix("SLURM_JWT=")

    @property
    def signing_key(self) -> Path:
        """What tokens are signed with (HS256)."""
        return signing_key(self.directory)

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf")}

    @property
    def command(self) -> list[str]:
        """A prefix for Slurm's commands: they run as the user, on this cluster."""
        conf = f"SLURM_CONF={self.directory}/slurm.conf"
        group = str(primary_group(USER))
        return ["setpriv", "--reuid", USER, "--regid", group, "--clear-groups", "env", conf]

    def shared(self) -> Path:
        """A new folder that jobs can write to."""
        path = Path(tempfile.mkdtemp(dir=self.directory / "shared"))
        path.chmod(0o777)
        return path

    def run(self, *words: str) -> str:
        """What one of Slurm's commands prints, run by root."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise ServerFailed(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def clear(self) -> None:
        """End all jobs, at once."""
        self.run("scancel", "--user", USER)

    def start(self) -> None:
        self.directory = temporary_directory("slurm")
        self.directory.chmod(0o755)
        for name, mode in (("shared", 0o1777), ("state", 0o700), ("munge", 0o755), ("rest", 0o755)):
            (self.directory / name).mkdir()
            (self.directory / name).chmod(mode)
        shutil.chown(self.directory / "rest", USER, primary_group(USER))
        for key, size in ((self.directory / "munge" / "key", 1024), (self.signing_key, 32)):
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(size))
        if self._by_quality:
            self._accounting = Accounting(self.directory, self._programs)
        port = self._accounting.port if self._accounting else None
        configure(self.directory, self.sizes, self._min_job_age_s, port)
        self._make_servers()
        try:
            self._munged.start()
            self._munged.wait_until(munge_socket(self.directory).exists, 20.0, "listening")
            if self._accounting:
                self._accounting.start(self.run)
            self.controller.start()
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(Server.start, self.nodes))
            self.controller.wait_until(self._all_idle, 60.0, "seeing all nodes idle", 0.2)
            self.start_rest()
        except BaseException:
            self._end()
            keep_directory(self.directory)  # for the logs
            raise

    def start_rest(self) -> None:
        """Start both slurmrestd and wait until they listen."""
        path = self.directory / "rest" / "s.sock"
        if not self.rest.running:
            path.unlink(missing_ok=True)
        for server, address in ((self.rest, str(path)), (self.token_rest, ("127.0.0.1", self._token_port))):
            server.start()
            server.wait_until(functools.partial(_listens, address), 20.0, "listening")

    def start_controller(self) -> None:
        self.controller.start()
        self.controller.wait_until(lambda: "UP" in self._try("scontrol", "ping"), 30.0, "answering", 0.1)

    def forget(self) -> None:
        """A controller that begins anew and knows no job, ended or not."""
        self.controller.stop(signal.SIGTERM)
        usual = self.controller.command
        self.controller.command = [*usual, "-c"]
        self.start_controller()
        self.controller.command = usual
        self.controller.wait_until(self._all_idle, 60.0, "seeing all nodes idle", 0.2)

    def stop(self) -> None:
        self._end()
        remove_directory(self.directory)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end(self) -> None:
        for server in (self.rest, self.token_rest, *self.nodes, self.controller, self._munged):
            server.stop(signal.SIGKILL)
        if self._accounting:
            self._accounting.stop()
        _end_steps(self.directory)

    def _make_servers(self) -> None:
        at, conf, programs = self.directory, str(self.directory / "slurm.conf"), self._programs
        munged = [programs["munged"], "--foreground", "--force", "--key-file", str(at / "munge" / "key")]
        munged += ["--socket", str(munge_socket(at)), "--pid-file", str(at / "munge" / "pid")]
        munged += ["--log-file", str(at / "munge" / "log"), "--seed-file", str(at / "munge" / "seed")]
        self._munged = Server("munged", munged, at / "munged.log")
        self.controller = Server("slurmctld", [programs["slurmctld"], "-D", "-f", conf], at / "slurmctld.out")
        self.nodes = [
            Server(f"slurmd n{i}", [programs["slurmd"], "-D", "-N", f"n{i}", "-f", conf], at / f"slurmd.n{i}.out")
            for i in range(1, self.sizes.all + 1)
        ]
        self._token_port = free_port()
        rest = [programs["slurmrestd"], "-s", f"openapi/{API}", "-f", conf, "-a"]
        self.rest = Server("slurmrestd", [*rest, "rest_auth/local", self.url], at / "slurmrestd.log", USER)
        # Without the variable it speaks to slurmctld by munge, and lets no token through.
        by_token = ["env", "SLURM_JWT=daemon", *rest, "rest_auth/jwt", self.token_url.removeprefix("http://")]
        self.token_rest = Server("slurmrestd with tokens", by_token, at / "slurmrestd.token.log", USER)

    def _all_idle(self) -> bool:
        return self._try("sinfo", "-h", "-N", "-o", "%T").split().count("idle") >= self.sizes.all

    def _try(self, *words: str) -> str:
        try:
            return self.run(*words)
        except (ServerFailed, subprocess.TimeoutExpired):
            return ""


def _listens(address: str | tuple[str, int]) -> bool:
    """``address``: the path of a Unix socket, or host and port."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as probe:
        return probe.connect_ex(address) == 0


def _end_steps(directory: Path) -> None:
    """Each job's slurmstepd has a group of its own, and so has the job: found by the cluster's folder.

    A slurmstepd holds the log of its slurmd open, a job has the folder in its environment.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            held = [os.readlink(fd) for fd in (entry / "fd").iterdir()]
            in_environment = f"SLURM_CONF={directory}/".encode() in (entry / "environ").read_bytes()
            if in_environment or any(path.startswith(f"{directory}/slurmd.") for path in held):
                os.kill(int(entry.name), signal.SIGKILL)
