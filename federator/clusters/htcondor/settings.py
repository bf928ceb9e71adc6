"""What an HTCondor pool is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from federator.clusters.sizing import Limits


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a schedd. The token is named by its file and never read here."""

    collector: str
    """HOST:PORT of the collector."""
    schedd: str = ""
    """The name of the schedd, with or without its ``@HOST``. Empty: the only one of the pool."""
    token_file: str = ""
    """An IDTOKEN or SciToken. Empty: as whoever the daemon runs as (FS)."""
    timeout_s: float = 30.0
    """The longest that one call may take; then whoever makes it is killed."""


@dataclass(frozen=True, slots=True)
class HTCondorSettings:
    """Settings of a pool that runs each replica as a job."""

    access: Access
    directory: Path
    """Where outputs that people ask for are fetched to; outlives nothing."""
    grace_s: float = 30.0
    """From SIGTERM to SIGKILL; a slot may grant less. HTCondor wants to know it when the job starts."""
    poll_s: float = 1.0
    """How often the schedd is asked for news while somebody waits for them."""


@dataclass(frozen=True, slots=True)
class PilotJobs:
    """Settings of a pool that is sent pilots."""

    access: Access
    directory: Path
    """Where the pilot is packed."""
    url: str
    """Where pilots find the federator."""
    token_file: str
    """The pilots' token, whose site is the cluster; it goes with them."""
    limits: Limits
    """How large a pilot is, and how many there may be."""
    ca_file: str = ""
    """Certificates that pilots trust instead of the system's; goes with them."""
    runtimes: frozenset[str] = frozenset({"process"})
    """In what pilots run payloads: process, apptainer, podman."""
    lifetime_s: float = 86400.0
    idle_s: float = 600.0
    """How long a pilot without work waits for some before it ends."""
    silent_s: float = 600.0
    """How long a pilot may run before it registers."""
    poll_s: float = 2.0
    """How often the queue is looked at, and the number of pilots decided."""
