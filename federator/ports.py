"""What the daemon asks of the world: clusters, a store, a clock. The promises live here, the doing elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from federator.model.indexset import IndexSet
from federator.model.intent import Observation, Order
from federator.model.pilots import LineChanges, Mail, Pilot, Progress, Result, StoredLine
from federator.model.records import Changes, HistoryEntry, Stored, Token, WorkloadRecord


class ClusterUnreachable(Exception):
    """The cluster does not answer (or not in time, or it does not let us in). Trying again later may help."""

    def __init__(self, cluster: str, detail: str) -> None:
        super().__init__(f"cluster {cluster}: {detail}")
        self.cluster = cluster
        self.detail = detail


class OrderRefused(Exception):
    """The cluster answered and does not take the order.

    ``permanent``: the same order will never be taken there (invalid, forbidden, refused by admission); otherwise it
    may be sent again after ``retry_after_s`` (too many requests, a quota that is used up, a conflict).
    ``reason`` is a short code for metrics (Invalid, Forbidden, AdmissionDenied, TooManyRequests, QuotaExceeded ...).
    """

    def __init__(self, reason: str, detail: str, *, permanent: bool, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.permanent = permanent
        self.retry_after_s = retry_after_s


class NoLogs(Exception):
    """The replica has no logs (it has not started, or they are gone); the text says which."""


class ClusterProvider(Protocol):
    """What the daemon asks of a cluster, whatever runs there.

    A call may be repeated after a crash, so ``submit`` must find an intent that it has already sent, and ``cancel``
    must not mind one that is gone. Every method raises ``ClusterUnreachable`` when the cluster does not answer, and
    none takes longer than the provider's own time limit. An observation taken after ``submit`` has returned shows
    the intent, unless it has been removed since.
    """

    name: str

    async def open(self) -> None:
        """Begin to watch the cluster. Called once; may be followed by any other call even if it failed."""
        ...

    async def observe(self) -> Observation:
        """What the cluster has and runs now, of our intents all that it knows (ended ones too, until cancelled)."""
        ...

    async def changed(self) -> None:
        """Return when something changed since the last ``observe`` began (at once, if it already has)."""
        ...

    async def submit(self, order: Order) -> None:
        """Make the cluster run the order, or change what runs to match it (a service's number or spec).

        Raises OrderRefused.
        """
        ...

    async def cancel(self, intent_id: str, grace_s: float = 30.0, indices: IndexSet | None = None) -> None:
        """Remove what the cluster has of this intent; its replicas get ``grace_s`` to end by themselves.

        With ``indices`` only those replicas of a batch intent are removed (and do not come back), else everything.
        Returns when the removal has been asked for; observations show when it is done.
        """
        ...

    def logs(
        self, intent_id: str, index: int, *, follow: bool = False, tail_lines: int | None = None
    ) -> AsyncIterator[bytes]:
        """The output of one replica, in pieces. Raises NoLogs."""
        ...

    async def close(self) -> None:
        """Stop watching. What runs goes on running."""
        ...


class Store(Protocol):
    """What outlives the daemon. Raises ``StoreUnavailable`` where the database does not answer or cannot write."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises StoreUnavailable with the cure in its words."""
        ...

    async def load(self) -> Stored:
        """All that the daemon needs to go on where it was."""
        ...

    async def commit(self, changes: Changes) -> Sequence[HistoryEntry]:
        """Write all of the changes in one transaction; returns the history entries with their ids."""
        ...

    async def find_workload(self, name: str) -> WorkloadRecord | None:
        """One workload, also if it is over."""
        ...

    async def find_workloads(self, names: Sequence[str]) -> Mapping[str, WorkloadRecord]:
        """Those of the named workloads that there are, by name, also if they are over."""
        ...

    async def ended_workloads(self, *, after: str = "", limit: int = 100, queue: str = "") -> Sequence[WorkloadRecord]:
        """Workloads that are over, by name, from after the given name on."""
        ...

    async def history(self, workload: str, *, after: int = 0, limit: int = 500) -> Sequence[HistoryEntry]:
        """The history of one workload name, oldest first, from after entry number ``after`` on."""
        ...

    async def events(self, *, after: int = 0, limit: int = 500) -> Sequence[HistoryEntry]:
        """The history of all workloads, oldest first, from after entry number ``after`` on."""
        ...

    async def prune(self, before_s: float) -> int:
        """Forget workloads that were over before, history and audit entries from before; returns how many."""
        ...

    async def recall(self, key: str) -> Mapping[str, Any] | None:
        """The answer remembered under an idempotency key, with the fingerprint of its request; None if none."""
        ...

    async def remember(self, key: str, answer: Mapping[str, Any], at_s: float) -> None:
        """Remember the answer to a request under its idempotency key (dropped by ``prune``)."""
        ...

    async def tokens(self) -> Sequence[Token]:
        """All local tokens."""
        ...

    async def put_token(self, token: Token) -> None:
        """Add a token, or replace the one of the same name."""
        ...

    async def drop_token(self, name: str) -> bool:
        """Remove a token; False if there was none."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


class LineStore(Protocol):
    """What outlives the daemon of lines that pilots pull from. Raises ``StoreUnavailable``."""

    async def load_line(self, cluster: str) -> StoredLine:
        """All that is kept of one cluster's line."""
        ...

    async def commit_line(self, changes: LineChanges) -> None:
        """Write all of the changes in one transaction; without any, only see whether one could be written."""
        ...


class UnknownPilot(Exception):
    """No pilot of that name is registered (any more): it should register, and its old leases are void."""


class LeaseRefused(Exception):
    """What a pilot says of a lease does not count. ``reason``: LeaseVoid, LeaseUnknown, AlreadyEnded."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@runtime_checkable
class PilotSite(Protocol):
    """What pilots ask of their cluster's line. Every call may be repeated; all but ``register`` raise UnknownPilot.

    Any call is a sign of life. A lease is good for ``Mail.lease_s`` after the last call that named it; one that was
    not named for so long is void, for ever. All may raise StoreUnavailable, which changed nothing.
    """

    name: str
    used: Mapping[str, float]
    """Core seconds of pilots since the daemon began, by use: ``payload`` (leases held them), ``idle``."""
    marks: Mapping[str, bool]
    """Whether a site that is sent pilots takes none now: ``closed`` (they end badly), ``full`` (they wait too long),
    ``away`` (its batch system does not answer). Of other sites nothing."""

    async def register(self, pilot: Pilot) -> Mail:
        """A pilot is there (or is there again, as it is now). The mail says how long a lease is good for."""
        ...

    async def lease(self, pilot: str, held: Sequence[str], limit: int, wait_s: float) -> Mail:
        """Up to ``limit`` further replicas that fit it, and anything else it should know.

        ``held`` are all leases the pilot knows of: those it has and does not name are told again. With nothing to
        tell, the answer waits for up to ``wait_s``.
        """
        ...

    async def heartbeat(self, pilot: str, held: Sequence[str]) -> Mail:
        """Renew all of these leases."""
        ...

    async def progress(self, pilot: str, news: Sequence[Progress]) -> Mail:
        """Payloads that run, and pieces of their output."""
        ...

    async def finish(self, pilot: str, lease: str, result: Result) -> None:
        """A payload has ended. Raises LeaseRefused where that does not count."""
        ...

    async def drain(self, pilot: str) -> Mail:
        """The pilot takes no more work."""
        ...

    async def goodbye(self, pilot: str) -> None:
        """The pilot ends. What it still holds is void."""
        ...

    def names(self) -> Collection[str]:
        """All pilots that are registered."""
        ...

    def pilots(self, names: Collection[str] | None = None) -> Sequence[Mapping[str, Any]]:
        """Those of these names (or all), as people see them: ``{"name", "cluster", "state", "leases", ...}``."""
        ...

    def states(self) -> Mapping[str, int]:
        """How many pilots there are, by state."""
        ...


class StoreUnavailable(Exception):
    """The database does not answer, is locked, or cannot write (a full disk). The text says which and the cure."""


class StoreRefused(StoreUnavailable):
    """The database answers and is not for this program: another one holds it, or made it. Waiting does not help."""


class Clock(Protocol):
    """Where time comes from: the machine's in the daemon, the simulation's in the simulator."""

    def now_s(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of this clock."""
        ...
