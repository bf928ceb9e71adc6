"""What every store must do, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace

import pytest

from federator.api.access import Role, new_token
from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.records import (
    AuditEntry,
    Changes,
    HistoryEntry,
    StoredObject,
    Token,
    WorkloadRecord,
    WorkloadState,
)
from federator.store import SqlStore, codec, queries, tables
from tests.patience import PATIENCE_S
from tests.store.samples import entry, intent, many, workload

FULL_WORKLOAD = WorkloadRecord(
    name="reco", uid="u1", document={"spec": {"x": [1, 2.5, None, True, "ä\x00\ud800"]}}, owner="sam@wlcg",
    submitted_s=1762530000.123456, queue="atlas", generation=3, state=WorkloadState.RUNNING,
    finished={"": IndexSet.of([0, 2, 3]), "launcher": IndexSet()}, failures={"worker": {0: 1, 11: 4}}, waves=7,
    tried={"worker": {3: IndexSet.of([0, 4]), 5: IndexSet.of([4])}},
    message="läuft", ended_s=2.5, started_s=1.5, deleted=True,
)  # fmt: skip
FULL_INTENT = Intent(
    id="reco-1", workload="reco", workload_uid="u1", role="worker", cluster="cern", indices=IndexSet.of([1, 2, 9]),
    state=IntentState.LEAVING, generation=2, created_s=1.5, sent_s=2.5, plan_id="p9", tier="cern", policy="fill",
    moved=True, settled=IndexSet.of([1]), withdrawn=IndexSet.of([9]), ended_s=3.5, reason="drained",
)  # fmt: skip
FULL_OBJECT = StoredObject("Queue", "atlas", {"spec": {"weight": 2}}, "olga", 5.5)


async def reopened(store: SqlStore, url: str) -> SqlStore:
    await store.close()
    again = SqlStore(url)
    await again.open()
    return again


async def test_what_was_committed_is_there_after_a_restart(store: SqlStore, url: str) -> None:
    changes = Changes(
        workloads=(FULL_WORKLOAD,), intents=(FULL_INTENT,), objects=(FULL_OBJECT,), values={"clock": [1, {"a": None}]}
    )
    assert await store.commit(changes) == ()
    again = await reopened(store, url)
    stored = await again.load()
    assert stored.workloads == (FULL_WORKLOAD,)
    assert stored.intents == (FULL_INTENT,)
    assert stored.objects == (FULL_OBJECT,)
    assert stored.values == {"clock": [1, {"a": None}]}
    await again.close()


async def test_a_new_store_is_empty(store: SqlStore) -> None:
    stored = await store.load()
    assert (stored.workloads, stored.intents, stored.objects, stored.values) == ((), (), (), {})
    assert await store.find_workload("reco") is None
    assert await store.events() == []
    assert await store.recall("k") is None
    assert await store.tokens() == []


@pytest.mark.parametrize(
    ("sample", "table", "decode"),
    [
        (FULL_WORKLOAD, "workloads", codec.workload),
        (FULL_INTENT, "intents", codec.intent),
        (entry("reco"), "history", codec.history_entry),
        (FULL_OBJECT, "objects", codec.stored_object),
    ],
)
def test_rows_have_the_columns_of_their_table_in_its_order(sample: object, table: str, decode: object) -> None:
    encode = {"workloads": codec.workload_row, "intents": codec.intent_row, "history": codec.history_row,
              "objects": codec.object_row}[table]  # fmt: skip
    row = encode(sample)  # type: ignore[operator]
    assert list(row) == list(tables.metadata.tables[table].columns.keys())
    assert decode(list(row.values())) == sample  # type: ignore[operator]
    assert {f.name for f in fields(sample)} <= set(row), "a field that is not kept"  # type: ignore[arg-type]


async def test_a_later_commit_replaces_and_drops(store: SqlStore) -> None:
    await store.commit(Changes(workloads=(workload("a"), workload("b")), intents=(intent("a"), intent("b"))))
    changed = replace(workload("a"), state=WorkloadState.RUNNING, generation=2, message="runs")
    await store.commit(Changes(workloads=(changed,), dropped_workloads=("b", "never-there"), dropped_intents=("b-0",)))
    stored = await store.load()
    assert stored.workloads == (changed,)
    assert stored.intents == (intent("a"),)


async def test_a_name_can_be_given_up_and_taken_in_one_commit(store: SqlStore) -> None:
    await store.commit(Changes(workloads=(workload("a"),), objects=(FULL_OBJECT,)))
    second = replace(workload("a"), uid="second")
    await store.commit(Changes(dropped_workloads=("a",), workloads=(second,), dropped_objects=(("Queue", "atlas"),)))
    stored = await store.load()
    assert stored.workloads == (second,)
    assert stored.objects == ()


async def test_a_value_of_none_is_removed(store: SqlStore) -> None:
    await store.commit(Changes(values={"a": 1, "b": {}, "c": ""}))
    await store.commit(Changes(values={"a": None, "d": False}))
    assert (await store.load()).values == {"b": {}, "c": "", "d": False}


async def test_a_start_reads_what_is_not_over_or_still_somewhere(store: SqlStore) -> None:
    over = [WorkloadState.FINISHED, WorkloadState.FAILED, WorkloadState.CANCELLED]
    records = [workload(state.value, state) for state in WorkloadState]
    await store.commit(Changes(workloads=(*records, workload("late", over[0])), intents=(intent("late"),)))
    names = {record.name for record in (await store.load()).workloads}
    assert names == {state.value for state in WorkloadState if state not in over} | {"late"}
    assert await store.find_workload("finished") == workload("finished", WorkloadState.FINISHED)


async def test_ended_workloads_come_in_pages_by_name(store: SqlStore) -> None:
    names = ["B", "a", "b", "c-1", "c.2", "ä"]  # by code point, whatever the server's language
    records = [workload(name, WorkloadState.FINISHED, queue="cms" if name == "b" else "atlas") for name in names]
    await store.commit(Changes(workloads=(*reversed(records), workload("alive"))))
    first = await store.ended_workloads(limit=4)
    rest = await store.ended_workloads(after=first[-1].name, limit=4)
    assert [record.name for record in (*first, *rest)] == names
    assert [record.name for record in await store.ended_workloads(queue="cms")] == ["b"]
    assert await store.ended_workloads(queue="cms", after="b") == []


async def test_history_gets_growing_numbers_and_can_be_resumed(store: SqlStore, url: str) -> None:
    first = await store.commit(Changes(history=(entry("a"), entry("b"), entry("a", "Started"))))
    assert [one.id for one in first] == [1, 2, 3]
    assert [replace(one, id=0) for one in first] == [entry("a"), entry("b"), entry("a", "Started")]
    store = await reopened(store, url)
    second = await store.commit(Changes(history=(entry("b"),)))
    assert await store.events() == [*first, *second]
    assert await store.events(after=2, limit=1) == [first[2]]
    assert await store.history("a") == [first[0], first[2]]
    assert await store.history("a", after=1) == [first[2]]
    await store.close()


async def test_numbers_are_never_used_again(store: SqlStore, url: str) -> None:
    """Otherwise a stream that is resumed after everything was forgotten would miss what is new."""
    await store.commit(Changes(history=(entry("a"), entry("b"))))
    assert await store.prune(100.0) == 2
    store = await reopened(store, url)
    assert [one.id for one in await store.commit(Changes(history=(entry("c"),)))] == [3]
    await store.close()


async def test_a_reader_that_resumes_misses_no_entry_while_many_write(store: SqlStore) -> None:
    seen: list[HistoryEntry] = []
    writing = asyncio.gather(*(store.commit(Changes(history=(entry(f"w{n}"),) * (n % 4 + 1))) for n in range(60)))
    while not writing.done():
        seen.extend(await store.events(after=seen[-1].id if seen else 0, limit=7))
    written = [one for batch in await writing for one in batch]
    while page := await store.events(after=seen[-1].id if seen else 0):
        seen.extend(page)
    assert [one.id for one in seen] == list(range(1, len(written) + 1))
    assert seen == sorted(written, key=lambda one: one.id)


async def test_text_that_no_database_takes_holds_up_nothing(store: SqlStore) -> None:
    nasty = "pod said \x00\x01 \ud800 \U0001f4a9 ä"
    await store.commit(
        Changes(
            workloads=(replace(workload("a"), message=nasty, owner=nasty, document={nasty: nasty}),),
            intents=(replace(intent("a"), reason=nasty),),
            history=(replace(entry("a"), message=nasty, details={"said": nasty}),),
            audit=(AuditEntry(1.0, nasty, ("reader",), nasty, "GET", nasty, 200, nasty),),
            values={"v": nasty},
        )
    )
    stored = await store.load()
    assert stored.workloads[0].message == "pod said \ufffd\x01 ? \U0001f4a9 ä"
    assert stored.workloads[0].document == {nasty: nasty}
    assert stored.values == {"v": nasty}
    assert (await store.events())[0].details == {"said": nasty}


async def test_a_commit_is_whole_or_absent(store: SqlStore) -> None:
    await store.commit(Changes(workloads=(workload("a"),)))
    bad = StoredObject("Queue", "q", {"x": {1, 2}}, "olga", 1.0)  # a set is no JSON
    with pytest.raises(TypeError):
        await store.commit(Changes(workloads=(workload("b"),), history=(entry("b"),), objects=(bad,)))
    assert [record.name for record in (await store.load()).workloads] == ["a"]
    assert [one.id for one in await store.commit(Changes(history=(entry("a"),)))] == [1]


@pytest.mark.parametrize("turns", [1, 3, 10, 30])
async def test_a_cancelled_caller_leaves_nothing_half_done(store: SqlStore, turns: int) -> None:
    committing = asyncio.create_task(store.commit(many(600, history=600)))
    for _ in range(turns):
        await asyncio.sleep(0)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    await store.commit(Changes(values={"after": 1}))
    stored = await store.load()
    assert (len(stored.workloads), len(stored.intents)) in ((600, 600), (0, 0))
    assert len(await store.events(limit=1000)) == len(stored.workloads)


async def test_retention_forgets_what_is_over_and_old(store: SqlStore) -> None:
    finished = WorkloadState.FINISHED
    old, recent = workload("old", finished, ended_s=10.0), workload("recent", finished, ended_s=90.0)
    held = workload("held", finished, ended_s=10.0)
    running = replace(workload("running"), submitted_s=1.0, started_s=2.0)
    audit = tuple(AuditEntry(at_s, "sam", ("reader",), "::1", "GET", "/", 200) for at_s in (10.0, 90.0))
    await store.commit(
        Changes(
            workloads=(old, recent, held, running),
            intents=(intent("held"),),
            history=(entry("old", at_s=10.0), entry("recent", at_s=90.0), entry("running", at_s=10.0)),
            audit=audit,
        )
    )
    await store.remember("early", {"status": 201}, 10.0)
    await store.remember("late", {"status": 200}, 90.0)
    assert await store.prune(50.0) == 1 + 2 + 1 + 1
    assert await store.find_workload("old") is None
    assert await store.find_workload("recent") == recent
    assert {record.name for record in (await store.load()).workloads} == {"held", "running"}
    assert [one.workload for one in await store.events()] == ["recent"]
    assert await store.audit() == [audit[1]]
    assert await store.recall("early") is None
    assert await store.recall("late") == {"status": 200}
    assert await store.prune(50.0) == 0


async def test_retention_goes_a_little_at_a_time_and_lets_commits_through(store: SqlStore) -> None:
    await store.commit(Changes(history=tuple(entry(f"w{n}", at_s=1.0) for n in range(3000))))
    pruning = asyncio.create_task(store.prune(50.0))
    commits = 0
    while not pruning.done():
        await store.commit(Changes(values={"n": commits}))
        commits += 1
    assert await pruning == 3000
    assert commits > 2


async def test_answers_are_remembered_under_their_key(store: SqlStore) -> None:
    answer = {"fingerprint": "f", "status": 201, "body": '{"ä": 1}'}
    await store.remember("k", answer, 1.0)
    assert await store.recall("k") == answer
    await store.remember("k", {"status": 500}, 2.0)
    assert await store.recall("k") == {"status": 500}


async def test_tokens_are_kept_without_their_secret(store: SqlStore, url: str) -> None:
    text, token = new_token("sam", [Role.SUBMITTER], ["atlas*", "cms"], expires_s=5.5)
    pilot = new_token("pia", [Role.PILOT], site="north")[1]
    await store.put_token(token)
    await store.put_token(pilot)
    assert await store.tokens() == [pilot, token]
    await store.put_token(replace(token, roles=("reader",)))
    assert [one.roles for one in await store.tokens()] == [("pilot",), ("reader",)]
    assert await store.drop_token("pia")
    assert not await store.drop_token("pia")
    with pytest.raises(ValueError, match="only the SHA-256"):
        await store.put_token(Token("sam", text, ("reader",)))


async def test_the_audit_trail_keeps_its_order(store: SqlStore) -> None:
    entries = [AuditEntry(float(n), "sam", ("reader", "x"), "::1", "POST", f"/{n}", 200 + n, "d") for n in range(5)]
    await store.commit(Changes(audit=tuple(entries[:3])))
    await store.commit(Changes(audit=tuple(entries[3:])))
    assert await store.audit() == entries
    assert await store.audit(since_s=2.0, limit=2) == entries[2:4]


async def test_commits_and_starts_are_quick(store: SqlStore) -> None:
    """A guard against the accidentally quadratic, not a measurement: docs/store.md has the figures."""
    changes = many(1000, history=2000)
    async with asyncio.timeout(PATIENCE_S):
        await store.commit(changes)
        stored = await store.load()
    assert stored.workloads == changes.workloads
    assert set(stored.intents) == set(changes.intents)


def test_every_query_has_a_name_and_a_sentence() -> None:
    found = [value for value in vars(queries).values() if isinstance(value, queries.Query)]
    found += [*queries.PRUNING, queries.take_numbers("sqlite"), queries.write(tables.workloads, "postgresql")]
    assert len(found) > 20
    for query in found:
        assert f"/* {query.name} */" in str(query.statement), query.name
        assert query.sentence.endswith(".")


async def test_several_workloads_are_found_at_once_and_those_that_are_not_there_are_left_out(store: SqlStore) -> None:
    await store.commit(Changes(workloads=tuple(workload(f"w{number}") for number in range(1200))))
    found = await store.find_workloads([f"w{number}" for number in range(0, 2400, 2)])
    assert sorted(found) == sorted(f"w{number}" for number in range(0, 1200, 2))
    assert all(name == record.name for name, record in found.items())
