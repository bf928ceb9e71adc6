"""What is known of pilots that are sent, whatever batch system they are sent to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from federator.clusters.sizing import Limits
from federator.model.resources import CPU, GPU, MEMORY

PROGRAM = "pilot.pyz"


@dataclass(frozen=True, slots=True)
class PilotJobs:
    """Settings of a site that is sent pilots."""

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
    gpu_resource: str = GPU
    """What a GPU of the batch system is called here."""

    def words(self, cluster: str, name: str) -> list[str]:
        """The pilot's command line; the files that go with it are in its working folder."""
        size = self.limits.size
        words = ["--url", self.url, "--token-file", Path(self.token_file).name, "--name", name, "--cluster", cluster]
        words += ["--cpu", f"{size[CPU] / 1000:g}", "--memory", str(size[MEMORY])]
        words += ["--gpus", str(size[self.gpu_resource]), "--lifetime", f"{self.lifetime_s:g}"]
        words += ["--idle", f"{self.idle_s:g}"]
        words += [word for runtime in sorted(self.runtimes) for word in ("--runtime", runtime)]
        return words + (["--ca-file", Path(self.ca_file).name] if self.ca_file else [])
