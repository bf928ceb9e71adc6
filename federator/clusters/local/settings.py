"""What a local cluster is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from federator.model.cluster import Binding, Flavor, NodeGroup
from federator.model.resources import CPU, MEMORY, Resources


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of a cluster whose replicas are processes of this machine."""

    directory: Path
    """Where intents, working directories and output are kept. One cluster, one directory; it outlives the daemon."""
    flavors: tuple[Flavor, ...] = ()
    """Pretended nodes. Empty: one node with this machine's cores and memory."""
    binding: Binding = Binding.SPREAD
    """How replicas are bound to the pretended nodes."""
    whole_cores: bool = False
    """Whether a replica that asks for a part of a core takes all of it."""
    kill_grace_s: float = 10.0
    """From SIGTERM to SIGKILL where nobody says otherwise: over time, exchanged for a new spec, scaled down."""
    enforce_memory: bool = True
    """Kill a replica that holds more memory than it asked for (and 5% and 32 MiB above)."""
    ready_s: float = 1.0
    """How long a replica of a service must have run before the next one is exchanged for a new spec."""
    backoff_s: float = 1.0
    """How long a service waits before it starts a replica again that ended; doubled for each quick end in a row."""
    backoff_max_s: float = 300.0
    """The longest such wait."""
    poll_s: float = 0.1
    """How often the provider looks for news while somebody waits for them."""
    timeout_s: float = 10.0
    """The longest that a call waits for another federator that uses the same directory."""

    def all_flavors(self) -> tuple[Flavor, ...]:
        """The flavors as written, or this machine."""
        return self.flavors or (this_machine(),)


def this_machine() -> Flavor:
    """One node with the cores that this process may use and the memory of the machine."""
    size = Resources.of(
        {CPU: 1000 * len(os.sched_getaffinity(0)), MEMORY: os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")}
    )
    return Flavor("machine", 1, size, (NodeGroup(size, 1),))
