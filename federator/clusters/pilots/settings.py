"""What a cluster of pilots is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PilotsSettings:
    """Settings of a cluster whose replicas pilots pull."""

    lease_s: float = 60.0
    """How long a lease is good for without a heartbeat."""
    images_as_processes: bool = False
    """Run the command of an image as a plain process of the worker node."""
    margin_s: float = 60.0
    """A replica is given to a pilot only if at least so much of the pilot's lifetime is left (or the replica's time
    limit, if it has one and that is longer)."""
    forget_s: float = 3600.0
    """How long a pilot that was lost is still shown."""
    ready_s: float = 1.0
    """How long a replica of a service must have run before the next one is exchanged for a new spec."""
    backoff_s: float = 1.0
    """How long a service waits before it runs a replica again that ended; doubled for each quick end in a row."""
    backoff_max_s: float = 300.0
    """The longest such wait."""
