"""A Slurm cluster of our own on loopback: munged, slurmctld, many slurmd (one for each pretended node), slurmrestd."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

PACKAGES = ("slurmctld", "slurmd", "slurmrestd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "slurmrestd", "munged", "sbatch", "squeue", "sinfo", "scancel", "scontrol")
USER = "games"
"""Who submits: slurmrestd and jobs refuse to be root, and this user is on every Debian."""
CPUS, MEMORY_MIB, GPUS = 16, 65_536, 2
API = "v0.0.38"
FILL = {"fill": "CANCEL GraceTime=0", "again": "REQUEUE GraceTime=0", "gently": "CANCEL GraceTime=60"}
"""Partitions of all nodes whose jobs make room for those of the others, and how."""


@dataclass(frozen=True)
class Sizes:
    """How many nodes of each kind: ``cpu`` nodes are n1, n2 ..., ``gpu`` nodes come after them."""

    cpu: int = 16
    gpu: int = 4

    @property
    def all(self) -> int:
        return self.cpu + self.gpu


class Slurm:
    """``with Slurm() as slurm: slurm.url`` -- or ``start`` and ``stop``. All of it blocks for some seconds."""

    def __init__(self, sizes: Sizes = Sizes(), min_job_age_s: int = 300) -> None:
        self._programs = find_slurm()
        self.sizes = sizes
        self._min_job_age_s = min_job_age_s

    @property
    def url(self) -> str:
        """Of slurmrestd, as a Cluster document has it."""
        return f"unix:{self.directory}/rest/s.sock"

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
        self._configure()
        self._make_servers()
        try:
            self._munged.start()
            self._munged.wait_until(self._munge_socket.exists, 20.0, "listening")
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
        """Start slurmrestd and wait until it listens."""
        path = self.directory / "rest" / "s.sock"
        path.unlink(missing_ok=True)
        self.rest.start()
        self.rest.wait_until(lambda: _listens(path), 20.0, "listening")

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
        for server in (self.rest, *self.nodes, self.controller, self._munged):
            server.stop(signal.SIGKILL)
        _end_steps(self.directory)

    def _make_servers(self) -> None:
        at, conf, programs = self.directory, str(self.directory / "slurm.conf"), self._programs
        munged = [programs["munged"], "--foreground", "--force", "--key-file", str(at / "munge" / "key")]
        munged += ["--socket", str(self._munge_socket), "--pid-file", str(at / "munge" / "pid")]
        munged += ["--log-file", str(at / "munge" / "log"), "--seed-file", str(at / "munge" / "seed")]
        self._munged = Server("munged", munged, at / "munged.log")
        self.controller = Server("slurmctld", [programs["slurmctld"], "-D", "-f", conf], at / "slurmctld.out")
        self.nodes = [
            Server(f"slurmd n{i}", [programs["slurmd"], "-D", "-N", f"n{i}", "-f", conf], at / f"slurmd.n{i}.out")
            for i in range(1, self.sizes.all + 1)
        ]
        rest = [programs["slurmrestd"], "-a", "rest_auth/local", "-s", f"openapi/{API}", "-f", conf]
        (at / "slurmrestd.log").touch()
        self.rest = Server("slurmrestd", [*rest, self.url], at / "slurmrestd.log", USER)

    def _configure(self) -> None:
        at, sizes = self.directory, self.sizes
        key = at / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        host = socket.gethostname().split(".")[0]
        lines = [
            "ClusterName=test", f"SlurmctldHost={host}(127.0.0.1)", f"SlurmctldPort={free_port()}", "SlurmUser=root",
            "SlurmdUser=root", "AuthType=auth/munge", f"AuthInfo=socket={self._munge_socket}", "CredType=cred/munge",
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny", "SlurmdParameters=config_overrides",
            f"StateSaveLocation={at}/state", f"SlurmdSpoolDir={at}/spool.%n", f"SlurmctldPidFile={at}/slurmctld.pid",
            f"SlurmdPidFile={at}/slurmd.%n.pid", f"SlurmctldLogFile={at}/slurmctld.log",
            f"SlurmdLogFile={at}/slurmd.%n.log", "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/none", "SwitchType=switch/none", "MpiDefault=none", "GresTypes=gpu",
            "SelectType=select/cons_tres", "SelectTypeParameters=CR_CPU_Memory", "ReturnToService=2",
            f"MinJobAge={self._min_job_age_s}", "KillWait=5", "MessageTimeout=10", "SchedulerType=sched/backfill",
            "SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0",
            "DefMemPerCPU=100", "SlurmdTimeout=30", "BatchStartTimeout=5", "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE", "SlurmctldParameters=preempt_send_user_signal",
        ]  # fmt: skip
        common = f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MIB}"
        gpus = range(sizes.cpu + 1, sizes.all + 1)
        for i in range(1, sizes.all + 1):
            more = f" Gres=gpu:{GPUS} Feature=v100" if i in gpus else " Feature=plain"
            lines.append(f"NodeName=n{i} {common} Port={free_port()}{more}")
        usual = "MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
        lines.append(f"PartitionName=cpu Nodes=n[1-{sizes.cpu}] Default=YES {usual}")
        lines.append(f"PartitionName=gpu Nodes=n[{gpus[0]}-{gpus[-1]}] {usual}")
        for name, mode in FILL.items():
            lines.append(f"PartitionName={name} Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode={mode}")
        (at / "slurm.conf").write_text("\n".join(lines) + "\n")
        devices = " ".join(f"Name=gpu Count={GPUS} File=/dev/loop[0-{GPUS - 1}]".split())
        (at / "gres.conf").write_text(f"NodeName=n[{gpus[0]}-{gpus[-1]}] {devices}\n")

    @property
    def _munge_socket(self) -> Path:
        return self.directory / "munge" / "socket"

    def _all_idle(self) -> bool:
        return self._try("sinfo", "-h", "-N", "-o", "%T").split().count("idle") >= self.sizes.all

    def _try(self, *words: str) -> str:
        try:
            return self.run(*words)
        except (ServerFailed, subprocess.TimeoutExpired):
            return ""


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


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


def find_slurm() -> dict[str, str]:
    """Slurm's programs by name; root installs Debian's packages when one is missing. Raises ServerFailed."""
    if (found := _programs()) is not None:
        return found
    if os.geteuid() != 0:
        raise ServerFailed(f"Slurm is missing and only root may install it: apt-get install {' '.join(PACKAGES)}")
    codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    with tempfile.TemporaryDirectory() as directory:
        apt = PrivateApt(Path(directory), suite=codename[1] if codename else "bookworm", host_status=True)
        apt.update()
        apt.install(PACKAGES)
    if (found := _programs()) is None:
        raise ServerFailed(f"the packages are installed, but not all of these are there: {', '.join(PROGRAMS)}")
    return found


def _programs() -> dict[str, str] | None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=path) for name in PROGRAMS}
    return {name: where for name, where in found.items() if where} if all(found.values()) else None
