"""A store in memory: keeps the promises of ``ports.Store``, and breaks down when it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from federator.model.intent import Intent
from federator.model.records import Changes, HistoryEntry, Stored, StoredObject, Token, WorkloadRecord
from federator.ports import StoreUnavailable


class MemoryStore:
    """Outlives the daemon object, as a database does."""

    def __init__(self) -> None:
        self.workloads: dict[str, WorkloadRecord] = {}
        self.intents: dict[str, Intent] = {}
        self.objects: dict[tuple[str, str], StoredObject] = {}
        self.values: dict[str, Any] = {}
        self.entries: list[HistoryEntry] = []
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.commits = 0
        self.written: Counter[str] = Counter()
        """How often each of the values was written."""
        self.down = ""
        """While it is not empty every write fails with these words."""

    async def open(self) -> None:
        if self.down:
            raise StoreUnavailable(self.down)

    async def load(self) -> Stored:
        busy = {i.workload for i in self.intents.values()}
        live = [w for w in self.workloads.values() if not w.state.over or w.name in busy]
        kept = tuple(live), tuple(self.intents.values()), tuple(self.objects.values()), dict(self.values)
        return Stored(*kept, last_event=len(self.entries))

    async def commit(self, changes: Changes) -> Sequence[HistoryEntry]:
        if self.down:
            raise StoreUnavailable(self.down)
        self.commits += 1
        self.workloads.update({w.name: w for w in changes.workloads})
        self.intents.update({i.id: i for i in changes.intents})
        self.objects.update({(o.kind, o.name): o for o in changes.objects})
        for name in changes.dropped_workloads:
            self.workloads.pop(name, None)
        for name in changes.dropped_intents:
            self.intents.pop(name, None)
        for key in changes.dropped_objects:
            self.objects.pop(key, None)
        self.values.update(changes.values)
        self.values = {name: value for name, value in self.values.items() if value is not None}
        self.written.update(changes.values.keys())
        first = len(self.entries) + 1
        stored = [replace(entry, id=first + n) for n, entry in enumerate(changes.history)]
        self.entries.extend(stored)
        return stored

    async def find_workload(self, name: str) -> WorkloadRecord | None:
        return self.workloads.get(name)

    async def find_workloads(self, names: Sequence[str]) -> Mapping[str, WorkloadRecord]:
        return {name: self.workloads[name] for name in names if name in self.workloads}

    async def ended_workloads(self, *, after: str = "", limit: int = 100, queue: str = "") -> Sequence[WorkloadRecord]:
        found = [w for n, w in sorted(self.workloads.items()) if n > after and w.state.over and queue in ("", w.queue)]
        return found[:limit]

    async def history(self, workload: str, *, after: int = 0, limit: int = 500) -> Sequence[HistoryEntry]:
        return [e for e in self.entries if e.workload == workload and e.id > after][:limit]

    async def events(self, *, after: int = 0, limit: int = 500) -> Sequence[HistoryEntry]:
        return [e for e in self.entries if e.id > after][:limit]

    async def prune(self, before_s: float) -> int:
        return 0

    async def recall(self, key: str) -> Mapping[str, Any] | None:
        return self.answers.get(key)

    async def remember(self, key: str, answer: Mapping[str, Any], at_s: float) -> None:
        self.answers[key] = answer

    async def tokens(self) -> Sequence[Token]:
        return ()

    async def put_token(self, token: Token) -> None:
        raise NotImplementedError("the daemon itself makes no tokens")

    async def drop_token(self, name: str) -> bool:
        return False

    async def close(self) -> None:
        """Nothing to let go of."""
