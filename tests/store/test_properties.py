"""Whatever is committed in whatever order: the store says what a plain dictionary would."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.records import (
    AuditEntry,
    Changes,
    HistoryEntry,
    Stored,
    StoredObject,
    WorkloadRecord,
    WorkloadState,
)
from federator.store import SqlStore, backup, restore
from tests.servers.postgres import Postgres

pytestmark = pytest.mark.thorough

NAMES = st.sampled_from(["a", "b", "B", "c-1", "c.2", "reco-2031"])
TEXT = st.text(max_size=6).map(lambda text: text.replace("\x00", ""))
TIMES = st.floats(0, 2e9)
COUNTS = st.integers(0, 2**31 - 1)
INDICES = st.lists(st.integers(0, 30), max_size=8).map(IndexSet.of)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(TEXT, JSON, max_size=3)
WORKLOADS = st.builds(
    WorkloadRecord, name=NAMES, uid=TEXT, document=DOCUMENTS, owner=TEXT, submitted_s=TIMES, queue=NAMES,
    generation=COUNTS, state=st.sampled_from(WorkloadState), finished=st.dictionaries(TEXT, INDICES, max_size=2),
    failures=st.dictionaries(TEXT, st.dictionaries(COUNTS, COUNTS, max_size=3), max_size=2), waves=COUNTS,
    message=TEXT, ended_s=st.none() | TIMES, started_s=st.none() | TIMES, deleted=st.booleans(),
)  # fmt: skip
INTENTS = st.builds(
    Intent, id=NAMES, workload=NAMES, workload_uid=TEXT, role=TEXT, cluster=TEXT, indices=INDICES,
    state=st.sampled_from(IntentState), generation=COUNTS, created_s=TIMES, sent_s=TIMES, plan_id=TEXT, tier=TEXT,
    policy=TEXT, moved=st.booleans(), settled=INDICES, withdrawn=INDICES, ended_s=TIMES, reason=TEXT,
)  # fmt: skip
ENTRIES = st.builds(
    HistoryEntry, workload=NAMES, workload_uid=TEXT, at_s=TIMES, kind=TEXT, message=TEXT, plan_id=TEXT, cluster=TEXT,
    details=DOCUMENTS,
)  # fmt: skip
KINDS = st.sampled_from(["Queue", "Cluster"])
OBJECTS = st.builds(StoredObject, kind=KINDS, name=NAMES, document=DOCUMENTS, owner=TEXT, changed_s=TIMES)
AUDIT = st.builds(
    AuditEntry, at_s=TIMES, who=TEXT, roles=st.lists(TEXT, max_size=2).map(tuple), address=TEXT, verb=TEXT, path=TEXT,
    status=COUNTS, detail=TEXT,
)  # fmt: skip


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=3).map(tuple)


CHANGES = st.builds(
    Changes, workloads=some(WORKLOADS), dropped_workloads=some(NAMES), intents=some(INTENTS),
    dropped_intents=some(NAMES), history=some(ENTRIES), objects=some(OBJECTS),
    dropped_objects=some(st.tuples(KINDS, NAMES)), audit=some(AUDIT), values=st.dictionaries(NAMES, JSON, max_size=3),
)  # fmt: skip
RETENTION = TIMES
STEPS = st.lists(CHANGES | RETENTION, max_size=6)


@dataclass
class Model:
    """A store in a few dictionaries."""

    workloads: dict[str, WorkloadRecord] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    objects: dict[tuple[str, str], StoredObject] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    history: list[HistoryEntry] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def commit(self, changes: Changes) -> None:
        for name in changes.dropped_workloads:
            self.workloads.pop(name, None)
        for name in changes.dropped_intents:
            self.intents.pop(name, None)
        for key in changes.dropped_objects:
            self.objects.pop(key, None)
        self.workloads.update({record.name: record for record in changes.workloads})
        self.intents.update({intent.id: intent for intent in changes.intents})
        self.objects.update({(stored.kind, stored.name): stored for stored in changes.objects})
        self.values = {k: v for k, v in {**self.values, **changes.values}.items() if v is not None}
        self.history += [replace(entry, id=next(self.numbers)) for entry in changes.history]
        self.audit += changes.audit

    def prune(self, before_s: float) -> None:
        held = {intent.workload for intent in self.intents.values()}
        for name, record in list(self.workloads.items()):
            end_s = record.submitted_s if record.ended_s is None else record.ended_s
            if record.state.over and end_s < before_s and name not in held:
                del self.workloads[name]
        self.history = [entry for entry in self.history if entry.at_s >= before_s]
        self.audit = [entry for entry in self.audit if entry.at_s >= before_s]

    def load(self) -> Stored:
        held = {intent.workload for intent in self.intents.values()}
        live = [record for record in self.workloads.values() if not record.state.over or record.name in held]
        return Stored(tuple(live), tuple(self.intents.values()), tuple(self.objects.values()), self.values)


def ordered(stored: Stored) -> Stored:
    return Stored(
        tuple(sorted(stored.workloads, key=lambda record: record.name)),
        tuple(sorted(stored.intents, key=lambda intent: intent.id)),
        tuple(sorted(stored.objects, key=lambda one: (one.kind, one.name))),
        dict(stored.values),
    )


async def agrees(store: SqlStore, model: Model) -> None:
    assert ordered(await store.load()) == ordered(model.load())
    assert await store.events(limit=1000) == model.history
    assert await store.audit(limit=1000) == model.audit
    for name in ("a", "B", "c-1"):
        assert await store.find_workload(name) == model.workloads.get(name)
        assert await store.history(name) == [entry for entry in model.history if entry.workload == name]
    over = sorted(name for name, record in model.workloads.items() if record.state.over)
    assert [record.name for record in await store.ended_workloads()] == over


async def play(url: str, steps: list[Changes | float]) -> Model:
    """Do the steps, then close and open: the store must agree with the model, which is returned."""
    model, store = Model(), SqlStore(url)
    await store.open()
    for step in steps:
        if isinstance(step, Changes):
            model.commit(step)
            await store.commit(step)
        else:
            model.prune(step)
            await store.prune(step)
    await agrees(store, model)
    await store.close()
    await agrees_when_opened(url, model)
    return model


async def agrees_when_opened(url: str, model: Model) -> None:
    store = SqlStore(url)
    await store.open()
    await agrees(store, model)
    await store.close()


async def play_and_copy(url: str, copy_url: str, file: Path, steps: list[Changes | float]) -> None:
    """The same, and then for a copy of it."""
    model = await play(url, steps)
    await backup(url, file)
    await restore(copy_url, file, force=True)
    await agrees_when_opened(copy_url, model)


def moderately(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


def test_sqlite_is_a_dictionary_that_lasts(tmp_path: Path) -> None:
    template = tmp_path / "empty.db"
    asyncio.run(play(f"sqlite:///{template}", []))  # migrated once, copied for each example

    @moderately(12)
    @given(STEPS)
    def holds(steps: list[Changes | float]) -> None:
        file = tmp_path / "federator.db"
        shutil.copy(template, file)
        asyncio.run(play(f"sqlite:///{file}", steps))

    holds()


def test_a_copy_is_the_same_dictionary(tmp_path: Path) -> None:
    numbers = itertools.count()

    @moderately(2)
    @given(STEPS)
    def holds(steps: list[Changes | float]) -> None:
        number = next(numbers)
        copy = f"sqlite:///{tmp_path}/copy.db"
        asyncio.run(play_and_copy(f"sqlite:///{tmp_path}/{number}.db", copy, tmp_path / "copy.gz", steps))

    holds()


@pytest.mark.real
def test_postgresql_is_a_dictionary_that_lasts(postgres_server: Postgres, tmp_path: Path) -> None:
    @moderately(8)
    @given(STEPS)
    def holds(steps: list[Changes | float]) -> None:
        url, copy = postgres_server.create_database(), f"sqlite:///{tmp_path}/copy.db"
        asyncio.run(play_and_copy(url, copy, tmp_path / "copy.gz", steps))

    holds()
