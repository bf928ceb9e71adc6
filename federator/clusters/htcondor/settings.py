"""What an HTCondor pool is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a schedd. The token is named by its file and never read here."""

    collector: str
    """HOST:PORT of the collector."""
    schedd: str = ""
    """The name of the schedd, with or without its ``@HOST``. Empty: the only one of the pool."""
    token_file: str = ""
    """An IDTOKEN or SciToken. Empty: as whoever the daemon runs as (FS)."""
    ca_file: str = ""
    """Whose certificates the pool's daemons may show, with a SciToken. Empty: those that HTCondor trusts by itself."""
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
