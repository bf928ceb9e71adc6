"""What a journal tells of an intent's replicas. Read alike by the supervisor and the provider. Standard library only.

Events, each with ``at_s`` (seconds since the epoch):

``supervisor``  boot, pid, birth                              a supervisor began its work, in this run of the kernel
``started``     index, pid, birth, hash                 written before the command runs: no start is ever unknown
``ended``       index, reason, message, exit_code, own_fault, again_s, cpu_s
                                                        reason "" is a success; again_s: a service starts it again then;
                                                        cpu_s: what it was measured to use, if that is known
``kept``        index, outcome, message                 what became of a checkpoint (``federator.keeper``)
``left``        index, cpu_s                            a replica that was not wanted any more has stopped
``gone``                                                nothing of the intent runs any more and nothing will
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from federator.clusters.local.layout import Event

WAITING, RUNNING, ENDED = "waiting", "running", "ended"


STEADY_S = 60.0
"""A replica of a service that ran for so long is not in a row of quick ends."""


class Replica:
    """One replica as the journal has it. ``phase``: waiting (for its next start), running or ended (for good)."""

    __slots__ = ("again_s", "at_s", "birth", "boot", "end", "hash", "index", "phase", "pid", "starts", "streak")

    def __init__(self, index: int) -> None:
        self.index = index
        self.phase = WAITING
        self.at_s = 0.0
        """When the phase began."""
        self.pid = 0
        self.birth = 0
        self.boot = ""
        self.hash = ""
        self.starts = 0
        self.streak = 0
        """How often in a row it ended soon after it had started."""
        self.end: dict[str, Any] = {}
        """The last ``ended`` event; empty if it never ended."""
        self.again_s = 0.0


class Story:
    """The replicas of an intent that ever started, told event by event."""

    def __init__(self) -> None:
        self.replicas: dict[int, Replica] = {}
        self.left: set[int] = set()
        self.gone = False
        self.started_s: float | None = None
        self._boot = ""

    def tell(self, events: Iterable[Event]) -> None:
        """Add events, in the order of the journal."""
        for event in events:
            kind = event["event"]
            if kind == "started":
                self._started(event)
            elif kind == "ended":
                self._ended(event)
            elif kind == "left":
                self.replicas.pop(event["index"], None)
                self.left.add(event["index"])
            elif kind == "supervisor":
                self._boot = event["boot"]
            elif kind == "gone":
                self.gone = True

    def _started(self, event: Event) -> None:
        replica = self.replicas.setdefault(event["index"], Replica(event["index"]))
        replica.phase, replica.at_s, replica.boot = RUNNING, event["at_s"], self._boot
        replica.pid, replica.birth, replica.hash = event["pid"], event["birth"], event["hash"]
        replica.starts += 1
        self.left.discard(event["index"])
        if self.started_s is None:
            self.started_s = event["at_s"]

    def _ended(self, event: Event) -> None:
        replica = self.replicas.setdefault(event["index"], Replica(event["index"]))
        ran_s = event["at_s"] - replica.at_s if replica.phase == RUNNING else 0.0
        replica.streak = 1 if ran_s > STEADY_S else replica.streak + 1
        replica.end = event
        replica.again_s = event["again_s"] or 0.0
        replica.phase = ENDED if event["again_s"] is None else WAITING
        replica.at_s = event["at_s"]
