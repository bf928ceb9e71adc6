"""An HTCondor pool of our own on one loopback port: a schedd and one pretended machine, run by an ordinary user."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.patience import PATIENCE_S
from tests.servers.htcondor_issuer import Issuer
from tests.servers.htcondor_programs import find_htcondor
from tests.servers.processes import (
    Server,
    ServerFailed,
    free_port,
    keep_directory,
    primary_group,
    remove_directory,
    temporary_directory,
)

UNPRIVILEGED = "nobody"
QUICK = """
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 0
NEGOTIATOR_MIN_INTERVAL = 0
SCHEDD_INTERVAL = 1
SCHEDD_MIN_INTERVAL = 0
PERIODIC_EXPR_INTERVAL = 2
PERIODIC_EXPR_TIMESLICE = 1
UPDATE_INTERVAL = 1
JOB_START_COUNT = 100
JOB_START_DELAY = 0
CLAIM_WORKLIFE = 0
RUNBENCHMARKS = False
MASTER_BACKOFF_CONSTANT = 1
MASTER_BACKOFF_CEILING = 2
HasContainer = True
STARTD_ATTRS = $(STARTD_ATTRS) HasContainer
NUM_SLOTS_TYPE_2 = 1
SLOT_TYPE_2 = 100%
SLOT_TYPE_2_PARTITIONABLE = True
SLOT_TYPE_2_BACKFILL = True
SLOT_TYPE_2_START = TARGET.AcctGroup =?= "nice-user"
SLOT_TYPE_2_PREEMPT = ResourceConflict =!= undefined
"""


class Pool:
    """``start`` and ``stop``, which block briefly. Its machine pretends to have the cores and memory given."""

    def __init__(self, name: str = "pool", *, cpus: int = 16, memory_mib: int = 65536) -> None:
        self.name = name
        self.cpus, self._memory_mib = cpus, memory_mib
        self._programs = find_htcondor()
        self._user = UNPRIVILEGED if os.geteuid() == 0 else None

    @property
    def collector(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def token_file(self) -> Path:
        """The token of the identity ``fed``, readable for us alone."""
        return self.directory / "fed.token"

    @property
    def owner(self) -> str:
        """Whose its jobs are."""
        return self._user or pwd.getpwuid(os.geteuid()).pw_name

    def start(self) -> None:
        self.directory = temporary_directory(self.name)
        self.directory.chmod(0o755)
        self.port = free_port()
        try:
            self._write()
            self.resume()
            ours = f"fed@{self.name}.test"
            self.run("condor_qusers", "-add", ours)
            token = self.run("condor_token_create", "-identity", ours, "-key", "POOL")
            self.token_file.touch(0o600)
            self.token_file.write_text(token)
        except BaseException:
            self.halt()
            keep_directory(self.directory)  # for its logs
            raise

    def stop(self) -> None:
        self.thaw()
        self.halt()
        remove_directory(self.directory)

    def halt(self) -> None:
        """Everything of the pool is killed, the jobs too; the queue stays on the disk."""
        if hasattr(self, "_server"):
            self._server.stop()

    def resume(self) -> None:
        """Start it, or start it again over the same queue, and wait until it has a schedd and a machine."""
        self._server = Server(self.name, self._command(), self.directory / "master.log")
        self._server.start()
        self._server.wait_until(self._ready, PATIENCE_S, "ready", 0.2)

    def restart_schedd(self) -> None:
        """Kill the schedd; the master starts another one."""
        self._signal_schedd(signal.SIGKILL)

    def freeze(self) -> None:
        """The schedd answers nothing, and its connections stay open."""
        self._signal_schedd(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_schedd(signal.SIGCONT)

    def _signal_schedd(self, number: signal.Signals) -> None:
        """The schedd and those that answer queries for it, which may end by themselves at any moment."""
        for pid in self.pids("condor_schedd"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def remove(self, constraint: str) -> None:
        """Take jobs out of the queue."""
        with contextlib.suppress(ServerFailed):  # it minds when there are none
            self.run("condor_rm", "-constraint", constraint)

    def submit(self, script: str, cpus: int, more: Mapping[str, str]) -> None:
        """A job of somebody who knows nothing of us, by ``condor_submit``; without single quotes in its script."""
        told = {
            "executable": "/bin/sh",
            "transfer_executable": "false",
            "arguments": f"\"-c '{script}'\"",
            "request_cpus": str(cpus),
            "request_memory": "100",
            "should_transfer_files": "YES",
            "transfer_output_files": '""',
            **more,
        }
        path = self.directory / "job.submit"
        path.write_text("".join(f"{name} = {value}\n" for name, value in told.items()) + "queue 1\n")
        self.run("condor_submit", str(path))

    def pids(self, program: str) -> list[int]:
        """The processes of this pool that run the program."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                mine = f"CONDOR_CONFIG={self.directory}/condor_config".encode() in (path / "environ").read_bytes()
            except OSError:
                continue
            if mine and Path(words[0].decode()).name == program:
                found.append(int(path.name))
        return sorted(found)

    def run(self, program: str, *words: str) -> str:
        """One of HTCondor's own commands, as the pool's user."""
        found = self._programs / "bin" / program
        done = subprocess.run(
            [*self._as_user(), str(found), *words], env=self._environment(), cwd=self.directory, text=True, check=False,
            capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
        if done.returncode:
            raise ServerFailed(f"{program} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _write(self) -> None:
        local = self.directory / "local"
        for name in ("log", "spool", "execute", "passwords.d", "tokens.d"):
            (local / name).mkdir(parents=True)
        domain = f"{self.name}.test"
        self.issuer = Issuer(self.directory, local, f"head.{domain}", "federator", f"fed@{domain}")
        (self.directory / "condor_config").write_text(self._configuration(local))
        key = local / "passwords.d/POOL"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(64))
        for name in ("passwords.d", "tokens.d"):
            (local / name).chmod(0o700)
        if self._user is not None:
            group = primary_group(self._user)
            for path in (local, *local.rglob("*")):
                os.chown(path, _uid(self._user), group)

    def _configuration(self, local: Path) -> str:
        domain = f"{self.name}.test"
        settings: Mapping[str, object] = {
            "RELEASE_DIR": self._programs,
            "BIN": "$(RELEASE_DIR)/bin",
            "SBIN": "$(RELEASE_DIR)/sbin",
            "LIB": "$(RELEASE_DIR)/lib",
            "LIBEXEC": "$(RELEASE_DIR)/libexec/condor",
            "LOCAL_DIR": local,
            "CONDOR_HOST": "127.0.0.1",
            "COLLECTOR_HOST": self.collector,
            "NETWORK_INTERFACE": "127.0.0.1",
            "BIND_ALL_INTERFACES": False,
            "ENABLE_IPV6": False,
            "NO_DNS": True,
            "DEFAULT_DOMAIN_NAME": domain,
            "UID_DOMAIN": domain,
            "FILESYSTEM_DOMAIN": domain,
            "TRUST_DOMAIN": domain,
            "NETWORK_HOSTNAME": f"head.{domain}",
            "USE_SHARED_PORT": True,
            "SHARED_PORT_PORT": self.port,
            "SCHEDD_NAME": self.name,
            "DAEMON_LIST": "MASTER COLLECTOR NEGOTIATOR SCHEDD STARTD",
            "NUM_CPUS": self.cpus,
            "MEMORY": self._memory_mib,
            "DISK": 1_000_000_000,
            "NUM_SLOTS_TYPE_1": 1,
            "SLOT_TYPE_1": "100%",
            "SLOT_TYPE_1_PARTITIONABLE": True,
            "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
            "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS, IDTOKENS, SCITOKENS",
            **self.issuer.settings,
            "SEC_PASSWORD_DIRECTORY": local / "passwords.d",
            "SEC_TOKEN_DIRECTORY": local / "tokens.d",
            "ALLOW_READ": "*",
            "ALLOW_WRITE": "*",
            "ALLOW_DAEMON": f"*@{domain}",
            "ALLOW_NEGOTIATOR": f"*@{domain}",
            "ALLOW_ADMINISTRATOR": f"*@{domain}",
            "QUEUE_SUPER_USERS": f"root, condor, fed@{domain}",
        }
        return "\n".join(f"{name} = {value}" for name, value in settings.items()) + QUICK

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "CONDOR_CONFIG": str(self.directory / "condor_config")}

    def _as_user(self) -> list[str]:
        if self._user is None:
            return []
        return ["setpriv", "--reuid", self._user, "--regid", str(primary_group(self._user)), "--clear-groups", "--"]

    def _command(self) -> list[str]:
        """In a process namespace of its own: when its first process is killed nothing of the pool stays."""
        namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if self._user is None:
            namespace[1:1] = ["--user", "--map-current-user"]
        environment = ["env", "-i", *(f"{name}={value}" for name, value in self._environment().items())]
        master = [str(self._programs / "sbin/condor_master"), "-f", "-t"]
        return [*namespace, *self._as_user(), *environment, *master]

    def _ready(self) -> bool:
        try:
            machines = self.run("condor_status", "-af", "Name")
            return bool(machines.strip()) and bool(self.run("condor_status", "-schedd", "-af", "Name").strip())
        except ServerFailed:
            return False


def _uid(user: str) -> int:
    return pwd.getpwnam(user).pw_uid
