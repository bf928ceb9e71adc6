"""What a Slurm of ours is told: slurm.conf and gres.conf."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import free_port

USER = "games"
"""Who submits: slurmrestd and jobs refuse to be root, and this user is on every Debian."""
CPUS, MEMORY_MIB, GPUS = 16, 65_536, 2
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

    @property
    def gpu_nodes(self) -> str:
        """As Slurm writes them."""
        return f"n[{self.cpu + 1}-{self.all}]"


TWENTY = Sizes()


def configure(at: Path, sizes: Sizes, min_job_age_s: int, accounting_port: int | None = None) -> None:
    """Write the files into the cluster's directory. ``accounting_port``: of slurmdbd; then Slurm makes room by quality
    of service, and otherwise by partition."""
    preemption = _by_partition() if accounting_port is None else _by_quality(at, accounting_port)
    partitions = _partitions(sizes, filled=accounting_port is None)
    lines = [*_servers(at, min_job_age_s), *preemption, *_nodes(sizes), *partitions]
    (at / "slurm.conf").write_text("\n".join(lines) + "\n")
    devices = f"Name=gpu Count={GPUS} File=/dev/loop[0-{GPUS - 1}]"
    (at / "gres.conf").write_text(f"NodeName={sizes.gpu_nodes} {devices}\n")


def munge_socket(at: Path) -> Path:
    """Where munged listens."""
    return at / "munge" / "socket"


def signing_key(at: Path) -> Path:
    """What tokens are signed with (HS256)."""
    return at / "jwt.key"


def host() -> str:
    """This machine, as Slurm calls it."""
    return socket.gethostname().split(".")[0]


def _servers(at: Path, min_job_age_s: int) -> list[str]:
    return [
        "ClusterName=test", f"SlurmctldHost={host()}(127.0.0.1)", f"SlurmctldPort={free_port()}", "SlurmUser=root",
        "SlurmdUser=root", "AuthType=auth/munge", f"AuthInfo=socket={munge_socket(at)}", "CredType=cred/munge",
        "AuthAltTypes=auth/jwt", f"AuthAltParameters=jwt_key={signing_key(at)}",
        "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny", "SlurmdParameters=config_overrides",
        f"StateSaveLocation={at}/state", f"SlurmdSpoolDir={at}/spool.%n", f"SlurmctldPidFile={at}/slurmctld.pid",
        f"SlurmdPidFile={at}/slurmd.%n.pid", f"SlurmctldLogFile={at}/slurmctld.log",
        f"SlurmdLogFile={at}/slurmd.%n.log", "ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/none", "SwitchType=switch/none", "MpiDefault=none", "GresTypes=gpu",
        "SelectType=select/cons_tres", "SelectTypeParameters=CR_CPU_Memory", "ReturnToService=2",
        f"MinJobAge={min_job_age_s}", "KillWait=5", "MessageTimeout=10", "SchedulerType=sched/backfill",
        "SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0,sched_min_interval=0",
        "DefMemPerCPU=100", "SlurmdTimeout=30", "BatchStartTimeout=5",
    ]  # fmt: skip


_TOLD_FIRST = "SlurmctldParameters=preempt_send_user_signal"


def _by_partition() -> list[str]:
    return ["PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE", _TOLD_FIRST]


def _by_quality(at: Path, port: int) -> list[str]:
    return [
        "PreemptType=preempt/qos", "PreemptMode=REQUEUE", _TOLD_FIRST, "PriorityType=priority/multifactor",
        "PriorityWeightQOS=1000", "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1", f"AccountingStoragePort={port}", "AccountingStorageEnforce=qos",
        f"AccountingStoragePass={munge_socket(at)}",
    ]  # fmt: skip


def _nodes(sizes: Sizes) -> list[str]:
    common = f"NodeHostname={host()} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory={MEMORY_MIB}"
    kinds = ["Feature=plain"] * sizes.cpu + [f"Gres=gpu:{GPUS} Feature=v100"] * sizes.gpu
    return [f"NodeName=n{i} {common} Port={free_port()} {kind}" for i, kind in enumerate(kinds, start=1)]


def _partitions(sizes: Sizes, *, filled: bool) -> list[str]:
    usual = "MaxTime=INFINITE State=UP" + (" PriorityTier=10 PreemptMode=OFF" if filled else "")
    lines = [f"PartitionName=cpu Nodes=n[1-{sizes.cpu}] Default=YES {usual}"]
    lines.append(f"PartitionName=gpu Nodes={sizes.gpu_nodes} {usual}")
    for name, mode in FILL.items() if filled else ():
        lines.append(f"PartitionName={name} Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode={mode}")
    return lines
