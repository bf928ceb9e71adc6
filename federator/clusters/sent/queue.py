"""What is asked of a batch system that pilots are sent to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from federator.clusters.sizing import End

KEPT_S = 3600
"""How long it is remembered how a pilot ended."""


class QueueAway(Exception):
    """The batch system did not answer, or said no; the words say which."""


@dataclass(frozen=True, slots=True)
class Queued:
    """What a queue says of our pilots. Times are those of its own clock; jobs are called by their ids."""

    now_s: float
    waiting: Mapping[str, float] = field(default_factory=dict)
    """Those that wait for a place, and for how long."""
    running: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """By pilot's name: the job's id, and for how long it has run."""
    going: frozenset[str] = frozenset()
    """Those that are ending just now."""
    ended: Mapping[str, End] = field(default_factory=dict)
    """Those that ended by themselves. One that was removed is in none of these."""
    words: str = ""
    """Why the last of those that ended badly did."""

    def unheard(self, known: Collection[str]) -> dict[str, tuple[str, float]]:
        """Pilots that run and are not among the ``known``: their jobs and for how long they have run."""
        return {name: told for name, told in self.running.items() if name not in known}


class PilotQueue(Protocol):
    """A batch system. Every call may be repeated after a crash: what it took and did not answer is in its queue.

    All raise QueueAway.
    """

    what: str
    """What people call it: ``the schedd``."""

    async def open(self) -> None:
        """Make ready what pilots need."""
        ...

    async def look(self) -> Queued:
        """Our pilots."""
        ...

    async def start(self, count: int) -> Sequence[str]:
        """Send so many; their job ids."""
        ...

    async def withdraw(self, jobs: Sequence[str]) -> None:
        """Take pilots back. Those that are gone are none."""
        ...

    async def close(self) -> None:
        """Let go. Pilots that were sent go on."""
        ...
