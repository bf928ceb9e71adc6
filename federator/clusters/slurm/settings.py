"""What a Slurm cluster is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """How to reach a Slurm cluster, and what its jobs are like. Exactly one way in: ``url`` or ``command``."""

    ledger: Path
    """Where the daemon keeps what it has sent and seen. One cluster, one directory; it outlives the daemon."""
    directory: str
    """Of the cluster, shared by its nodes: replicas work and write their output below it."""
    url: str = ""
    """Of slurmrestd: ``http://HOST:PORT``, ``https://HOST:PORT`` or ``unix:PATH``."""
    command: tuple[str, ...] | None = None
    """What comes before Slurm's commands (``("ssh", "login.site")``); empty: they run on this machine."""
    user: str = ""
    """Who submits, for slurmrestd with a token."""
    token_file: str = ""
    """The file with the token (JWT); read anew for every call, so that it can be exchanged."""
    api: str = "v0.0.38"
    """The version of slurmrestd's interface."""
    mounted_at: str = ""
    """Where ``directory`` is seen from the daemon's machine; empty: it is not."""
    partitions: tuple[str, ...] = ()
    """The partitions that may be used; empty: the cluster's default one."""
    account: str = ""
    qos: str = ""
    backfill_partition: str = ""
    """Where backfill goes: a partition that Slurm empties for those above; empty: where all else goes."""
    backfill_qos: str = ""
    """The quality of service of backfill, which Slurm ends for others; empty: that of all else. Where both are empty
    the cluster is not filled."""
    gpu_resource: str = "nvidia.com/gpu"
    """What a ``gpu`` of Slurm is called here."""
    images_as_processes: bool = False
    """Run the command of a container as a plain process, whatever its image."""
    array_size: int = 1000
    """The most tasks of one array; below the site's ``MaxArraySize``."""
    end_grace_s: float = 10.0
    """From SIGTERM to SIGKILL for a replica over its time limit."""
    poll_s: float = 2.0
    """How often Slurm is asked while somebody waits for news."""
    timeout_s: float = 30.0
    """The longest that one call may take."""
