"""What is kept in the store: workloads, their history, documents made through the API, the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from federator.model.checkpoints import Tried
from federator.model.indexset import IndexSet
from federator.model.intent import Intent


class WorkloadState(StrEnum):
    """Where a workload is on its way. ``engine/lifecycle.py`` has the table of moves."""

    WAITING = "waiting"
    """Nothing of it runs or is on its way."""
    DISPATCHED = "dispatched"
    """Some replicas are at clusters; none is known to run."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLING = "cancelling"
    """Cancelled; something of it is still at a cluster."""
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to the workload by itself."""
        return self in (WorkloadState.FINISHED, WorkloadState.FAILED, WorkloadState.CANCELLED)


@dataclass(frozen=True, slots=True)
class WorkloadRecord:
    """One workload as the store has it.

    ``document`` is what was handed in (a Workload, or a native manifest), with defaults left out. ``uid`` is unique
    for all time, ``generation`` grows with every change of the document. ``finished`` and ``failures`` are by role:
    the indices counted complete, and how often each index failed by its own fault; so is ``tried``, where checkpoints
    are kept. ``deleted`` means that it is dropped once nothing of it is left at any cluster.
    """

    name: str
    uid: str
    document: Mapping[str, Any]
    owner: str
    submitted_s: float
    queue: str = "default"
    generation: int = 1
    state: WorkloadState = WorkloadState.WAITING
    finished: Mapping[str, IndexSet] = field(default_factory=dict)
    failures: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    waves: int = 0
    """How many intents were made for it so far; names the next one."""
    message: str = ""
    ended_s: float | None = None
    started_s: float | None = None
    deleted: bool = False
    tried: Mapping[str, Tried] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change in a workload's life. ``kind`` is a stable code, ``details`` go out as JSON."""

    workload: str
    workload_uid: str
    at_s: float
    kind: str
    message: str
    plan_id: str = ""
    cluster: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
    """Given by the store; grows with every entry of any workload, so that a stream can be resumed."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A document made through the API (Cluster, PlacementPolicy, Queue, ReplicaSchedulingPreference, Planning)."""

    kind: str
    name: str
    document: Mapping[str, Any]
    owner: str
    changed_s: float


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One write to the API: who, when, what, from where, and how it ended (an HTTP status)."""

    at_s: float
    who: str
    roles: tuple[str, ...]
    address: str
    verb: str
    path: str
    status: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """A local bearer token, known only by the SHA-256 of its secret (hex)."""

    name: str
    sha256: str
    roles: tuple[str, ...]
    queues: tuple[str, ...] = ()
    """Queues a submitter may use (globs); empty: none but those of its groups. ``*`` is all."""
    site: str = ""
    expires_s: float | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction writes. Either all of it is in the store afterwards, or nothing."""

    workloads: tuple[WorkloadRecord, ...] = ()
    dropped_workloads: tuple[str, ...] = ()
    """Names of workloads to forget (their history stays until retention ends)."""
    intents: tuple[Intent, ...] = ()
    dropped_intents: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    objects: tuple[StoredObject, ...] = ()
    dropped_objects: tuple[tuple[str, str], ...] = ()
    """(kind, name) pairs."""
    audit: tuple[AuditEntry, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    """Small named JSON values (tier clocks, cordons ...); None removes one."""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the daemon reads when it starts: all that is not over, or still has intents."""

    workloads: tuple[WorkloadRecord, ...] = ()
    intents: tuple[Intent, ...] = ()
    objects: tuple[StoredObject, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    last_event: int = 0
    """The number of the newest history entry."""
