"""What the daemon offers to those who speak to it: the API and the live table.

Every method takes and returns JSON-able values; who may call what is decided before, in ``api``.
Times are seconds since the epoch. A ``permit`` is called with the name of each queue that the call touches, and
raises where the caller may not use it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from federator.model.pilots import Mail, Pilot
from federator.ports import PilotSite

Json = Mapping[str, Any]
Permit = Callable[[str], None]


class NotFound(Exception):
    """No such thing; the text names the nearest one that there is."""


class Conflict(Exception):
    """The request contradicts what is there: an object owned by a file, another workload of that name."""


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, sorted by name. ``next`` is what to give as ``after`` for the rest; empty at the end."""

    items: tuple[Json, ...]
    next: str = ""


class Service(Protocol):
    """Implemented by ``daemon/desk.py``. Any method that writes may raise ``ports.StoreUnavailable``.

    Kinds of ``get``, ``list`` and ``delete`` are the plural words of the API: workloads, clusters, queues, cohorts,
    limits, policies, backfills, placements, pilots. A workload looks like this::

        {"name", "uid", "queue", "owner", "labels", "priority", "lifetime", "state", "replicas", "running",
         "pending", "finished", "failed", "waiting", "placements": {"cern": 6}, "policy", "message", "generation",
         "submittedAt", "startedAt", "endedAt", "document": {...}}        # document: in ``get``, not in lists

    a cluster::

        {"name", "provider", "labels", "health", "message", "version", "cordoned", "draining", "drainBy",
         "downtime": {"from", "to", "drainFrom", "reason", "state": announced, draining or begun}, "source",
         "capacity": {"cpu": 8.0, "memory": 1024, ...}, "used": {"production": {...}, "foreign": {...}},
         "free": {...}, "flavors": [{"name", "count", "allocatable", "free", "labels", "taints"}],
         "running", "pending", "lastSeen",
         "productionStart": {"backfill": {"medianSeconds": 3.1, "of": 200}, "free": {...}}}    # see daemon/starts.py

    a queue::

        {"name", "weight", "priority", "cohort", "source", "workloads": {"waiting": 3, "running": 2}, "used": {...},
         "quota": {...}, "share", "dominant", "byWeight", "due", "lately", "borrowed", "left": {...},
         "budget": {"period", "money", "carbon"}, "spent": {"money", "carbon"}}    # where it has a budget

    a limit::

        {"name", "scope": "federation", "limit": 20, "used": 12, "waiting": 4, "source",    # limit None: without end
         "clusters": {"cern": {"limit": 5, "used": 5}}}

    A queue comes with the shares of ``engine.answer.share_document``, as the last plan began with them; a cohort
    likewise, with ``parent`` and ``queues`` instead of ``priority``, ``cohort`` and ``workloads``; a policy ``{"name",
    "order", "source", "document", "governs": 12, "message"}``, a placement ``{"workload", "role", "cluster",
    "replicas", "running", "pending", "tier", "policy", "intents": [...]}``; a backfill is shown
    as ``daemon/fillers.py`` does. Amounts of cpu are in cores (floats), memory in bytes. ``source`` is "file:line" or
    "api".
    """

    def ready(self) -> Json:
        """``{"ready": bool, "checks": [{"name", "ok", "detail"}]}``: the store answers, a first cycle has ended."""
        ...

    async def submit(self, objects: Sequence[Json], *, owner: str, permit: Permit) -> Sequence[Json]:
        """Take in workloads: all or none. Returns the workloads, each with a ``result`` created or unchanged.

        Raises ``documents.DocumentErrors``, Conflict (a different workload of that name is there), what permit raises.
        """
        ...

    async def apply(self, objects: Sequence[Json], *, owner: str, permit: Permit) -> Sequence[Json]:
        """Make the objects (any kind) be as written: all or none.

        Returns ``{"kind", "name", "result"}`` each, result created, changed or unchanged. Raises as submit does;
        Conflict also where a file owns the object. A batch workload cannot change once submitted, a service can.
        ``permit`` is called with "*" for every object that is not a workload.
        """
        ...

    async def cancel(self, name: str, *, permit: Permit) -> Json:
        """Stop a workload wherever it runs; it stays listed as cancelled. Idempotent. Raises NotFound."""
        ...

    async def delete(self, kind: str, name: str, *, permit: Permit) -> Json:
        """Remove an object; a workload is cancelled first and forgotten once nothing of it is left anywhere.

        Raises NotFound, Conflict (owned by a file).
        """
        ...

    async def get(self, kind: str, name: str) -> Json:
        """One object. Raises NotFound."""
        ...

    async def list(
        self,
        kind: str,
        *,
        after: str = "",
        limit: int = 100,
        queue: str = "",
        state: str = "",
        labels: Mapping[str, str] | None = None,
    ) -> Page:
        """Objects of a kind, by name, from after the given name on; ``state`` as in WorkloadState."""
        ...

    async def explain(self, name: str) -> Json:
        """Why a workload is where it is (``engine.answer.explanation_document``), with what the clusters say of its
        replicas under ``notes``: ``[{"cluster", "index", "reason", "message"}]``. Raises NotFound."""
        ...

    async def history(self, name: str, *, after: int = 0, limit: int = 500) -> Sequence[Json]:
        """``{"id", "at", "kind", "message", "cluster", "plan", "workload", "details"}``, oldest first. NotFound."""
        ...

    async def events(self, *, after: int = 0, limit: int = 500) -> Sequence[Json]:
        """The history of everything, oldest first, from after entry ``after`` on."""
        ...

    async def last_event(self) -> int:
        """The id of the latest event; 0 if there is none. For those who want only what comes from now on."""
        ...

    async def wait_events(self, after: int) -> None:
        """Return when there may be events after that number."""
        ...

    def logs(
        self, name: str, *, role: str = "", index: int = 0, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """The output of one replica. Raises NotFound, ``ports.NoLogs``, ``ports.ClusterUnreachable``."""
        ...

    async def set_cordon(self, cluster: str, cordoned: bool) -> Json:
        """Give a cluster no new work (or again). Kept over restarts. Raises NotFound."""
        ...

    async def set_drain(self, cluster: str, draining: bool, deadline_s: float | None = None) -> Json:
        """Cordon a cluster and move its work elsewhere (or stop doing so); what has found no other place when the
        deadline is over (None: there is none) stops, and waits. Kept over restarts. Raises NotFound."""
        ...

    async def plan(self, objects: Sequence[Json]) -> Json:
        """Dry run: the plan if these objects were there too (``engine.answer.plan_document``). Changes nothing."""
        ...

    async def snapshot(self) -> Sequence[Json]:
        """The live federation as documents, for ``federator plan``."""
        ...

    async def register_pilot(self, pilot: Pilot) -> Mail:
        """A pilot joins its cluster (``PilotSite.register``). Raises NotFound, Conflict (the name is another's)."""
        ...

    def site_of_pilot(self, pilot: str, cluster: str) -> PilotSite:
        """Where a pilot of this cluster pulls. Raises ``ports.UnknownPilot``."""
        ...

    def queue_of(self, name: str) -> str:
        """The queue of a workload, for access control. Raises NotFound."""
        ...
