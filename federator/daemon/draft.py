"""Changes that are being made, over the state they are made to, until the store has accepted them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from federator.daemon.strays import PREFIX, Strays, of_leaving
from federator.documents import WorkloadSpec
from federator.engine.assign import intent_id
from federator.model.checkpoints import Tried, name_of
from federator.model.intent import Intent
from federator.model.records import AuditEntry, Changes, HistoryEntry, StoredObject, WorkloadRecord
from federator.ports import Store

if TYPE_CHECKING:
    from federator.daemon.state import Live, State


class Draft:
    """A set of changes to workloads and intents, with the history entries that tell of them.

    Reads see the changes made so far. Nothing is anywhere else before ``commit``.
    """

    def __init__(self, state: State, at_s: float, plan_id: str = "") -> None:
        self._state = state
        self.at_s = at_s
        self.plan_id = plan_id
        self.records: dict[str, WorkloadRecord | None] = {}
        self.specs: dict[str, WorkloadSpec] = {}
        self.intents: dict[str, Intent | None] = {}
        self._intents_of: dict[str, set[str]] = {}
        self.history: list[HistoryEntry] = []
        self.stored_history: Sequence[HistoryEntry] = ()
        self.objects: list[StoredObject] = []
        self.dropped_objects: list[tuple[str, str]] = []
        self.audit: list[AuditEntry] = []
        self.values: dict[str, Any] = {}
        self.strays: dict[str, Strays] = {}

    @property
    def size(self) -> int:
        """How many changes there are to workloads, intents and histories."""
        return len(self.records) + len(self.intents) + len(self.history)

    @property
    def touched(self) -> set[str]:
        """Names of the workloads that change here, themselves or in their intents."""
        return {*self.records, *self._intents_of}

    def record(self, live: Live) -> WorkloadRecord:
        """The workload's record as it will be."""
        return self.records.get(live.record.name) or live.record

    def intent(self, intent_id: str) -> Intent | None:
        """The intent as it will be; None if it will not be."""
        if intent_id in self.intents:
            return self.intents[intent_id]
        return self._state.intents.get(intent_id)

    def intents_of(self, live: Live) -> list[Intent]:
        """The workload's intents as they will be, in the order of their making."""
        ids = live.intents | self._intents_of.get(live.record.name, set())
        found = [intent for i in ids if (intent := self.intent(i)) is not None]
        return sorted(found, key=lambda intent: (intent.created_s, intent.id))

    def put(self, *intents: Intent) -> None:
        """Make, or change, intents."""
        for intent in intents:
            self.intents[intent.id] = intent
            self._intents_of.setdefault(intent.workload, set()).add(intent.id)

    def drop(self, intent_id: str) -> None:
        """Forget an intent: nothing of it is left at its cluster."""
        known = self.intent(intent_id)
        if known is not None:
            self._intents_of.setdefault(known.workload, set()).add(intent_id)
        self.intents[intent_id] = None

    def put_record(self, record: WorkloadRecord, spec: WorkloadSpec | None = None) -> None:
        """Make (with its spec), or change, a workload."""
        self.records[record.name] = record
        if spec is not None:
            self.specs[record.name] = spec

    def drop_workload(self, name: str) -> None:
        """Forget a workload."""
        self.records[name] = None

    def tell(self, record: WorkloadRecord, kind: str, message: str, *, cluster: str = "", **details: object) -> None:
        """Add to the workload's history."""
        self.history.append(
            HistoryEntry(record.name, record.uid, self.at_s, kind, message, self.plan_id, cluster, details)
        )

    def leave(self, live: Live, tried: Tried) -> None:
        """Nobody needs any more what these attempts have kept."""
        if tried and live.spec.checkpoints is not None:
            record = self.record(live)
            name = name_of(intent_id(record.name, record.uid, 0))
            known = self.strays.get(name) or self._state.strays.get(name)
            self.strays[name] = (known or Strays(live.spec.checkpoints.url, self.at_s, {})).more(tried)

    def _leave_strays(self) -> None:
        """Of workloads of which nothing is left anywhere, all that they have kept."""
        for name in self.touched:
            live = self._state.workloads.get(name)
            if live is None or live.spec.checkpoints is None:
                continue
            record = self.record(live)
            dropped = name in self.records and self.records[name] is None
            left = of_leaving(record) if dropped or record.state.over else {}
            if left and not self.intents_of(live):
                self.leave(live, left)
                if not dropped:
                    self.put_record(replace(record, tried={}))

    def changes(self) -> Changes:
        """What the store is asked to write."""
        return Changes(
            workloads=tuple(r for r in self.records.values() if r is not None),
            dropped_workloads=tuple(n for n, r in self.records.items() if r is None),
            intents=tuple(i for i in self.intents.values() if i is not None),
            dropped_intents=tuple(n for n, i in self.intents.items() if i is None),
            history=tuple(self.history),
            objects=tuple(self.objects),
            dropped_objects=tuple(self.dropped_objects),
            audit=tuple(self.audit),
            values={**self.values, **{PREFIX + name: one.as_value() for name, one in self.strays.items()}},
        )

    async def commit(self, store: Store) -> None:
        """Write everything, then let the state take it over. Raises StoreUnavailable, and then nothing has changed.

        The caller holds ``state.writing``.
        """
        self._leave_strays()
        changes = self.changes()
        if changes:
            self.stored_history = await store.commit(changes)
        self._state.adopt(self)


def spread(counts: Mapping[str, int]) -> str:
    """Numbers by cluster in words: "6 on cern, 3 on exoscale"."""
    return ", ".join(f"{count} on {cluster}" for cluster, count in sorted(counts.items()))
