"""Copies: whole, portable, for their owner's eyes, and never over something by accident."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import stat
from pathlib import Path

import pytest

from federator.api.access import Role, new_token
from federator.model.records import AuditEntry, Changes, StoredObject
from federator.ports import StoreUnavailable
from federator.store import BackupUnusable, SqlStore, backup, restore, schema, upgrade
from tests.servers.postgres import Postgres
from tests.store.samples import entry, intent, workload

QUEUE = StoredObject("Queue", "atlas", {"spec": {"weight": 2}}, "olga", 5.5)


async def filled(store: SqlStore) -> None:
    await store.commit(
        Changes(
            workloads=(workload("a"), workload("ä")),
            intents=(intent("a"), intent("a", 1, "exoscale")),
            history=tuple(entry("a") for _ in range(600)),
            objects=(QUEUE,),
            audit=(AuditEntry(1.0, "sam", ("reader",), "::1", "GET", "/", 200),),
            values={"clock": [1, None]},
        )
    )
    await store.put_token(new_token("sam", [Role.READER])[1])
    await store.remember("k", {"status": 201}, 1.0)


async def contents(store: SqlStore) -> tuple[object, ...]:
    return (
        await store.load(), await store.events(limit=5000), await store.tokens(), await store.recall("k"),
        await store.audit(),
    )  # fmt: skip


async def restored_at(url: str, file: Path) -> tuple[SqlStore, int]:
    rows = await restore(url, file)
    store = SqlStore(url)
    await store.open()
    return store, rows


async def test_a_copy_is_restored_whole(store: SqlStore, tmp_path: Path) -> None:
    await filled(store)
    file = tmp_path / "copy.jsonl.gz"
    rows = await backup(str(store._url), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    copy, restored = await restored_at(f"sqlite:///{tmp_path}/copy.db", file)
    assert restored == rows > 600
    assert await contents(copy) == await contents(store)
    assert [one.id for one in await copy.commit(Changes(history=(entry("a"),)))] == [601], "numbers go on"
    await copy.close()


@pytest.mark.real
async def test_a_copy_moves_between_databases(postgres_server: Postgres, tmp_path: Path) -> None:
    sqlite, postgres, back = (
        f"sqlite:///{tmp_path}/1.db", postgres_server.create_database(), f"sqlite:///{tmp_path}/2.db",
    )  # fmt: skip
    first = SqlStore(sqlite)
    await first.open()
    await filled(first)
    await backup(sqlite, tmp_path / "1.gz")
    second, _ = await restored_at(postgres, tmp_path / "1.gz")
    await backup(postgres, tmp_path / "2.gz")
    third, _ = await restored_at(back, tmp_path / "2.gz")
    assert await contents(first) == await contents(second) == await contents(third)
    for store in (first, second, third):
        await store.close()


async def test_a_copy_is_of_one_instant_while_a_daemon_writes(store: SqlStore, tmp_path: Path) -> None:
    """Each commit writes a workload, an intent and an entry; a copy must have as many of each."""
    copying = asyncio.create_task(backup(str(store._url), tmp_path / "copy.gz"))
    number = 0
    while not copying.done():
        name = f"w{number}"
        await store.commit(Changes(workloads=(workload(name),), intents=(intent(name),), history=(entry(name),)))
        number += 1
    await copying
    copy, _ = await restored_at(f"sqlite:///{tmp_path}/copy.db", tmp_path / "copy.gz")
    stored = await copy.load()
    assert len(stored.workloads) == len(stored.intents) == len(await copy.events(limit=5000)) <= number
    await copy.close()


async def test_nothing_is_restored_over_a_store_in_use_unless_forced(store: SqlStore, tmp_path: Path) -> None:
    await filled(store)
    url = str(store._url)
    await backup(url, tmp_path / "copy.gz")
    before = await contents(store)
    await store.commit(Changes(workloads=(workload("later"),)))
    await store.close()
    with pytest.raises(BackupUnusable, match=r"not empty .*use --force"):
        await restore(url, tmp_path / "copy.gz")
    await restore(url, tmp_path / "copy.gz", force=True)
    again = SqlStore(url)
    await again.open()
    assert await contents(again) == before
    await again.close()


async def test_a_store_that_was_only_opened_counts_as_empty(store: SqlStore, tmp_path: Path) -> None:
    await filled(store)
    await backup(str(store._url), tmp_path / "copy.gz")
    fresh = SqlStore(f"sqlite:///{tmp_path}/fresh.db")
    await fresh.open()
    await fresh.close()
    assert await restore(f"sqlite:///{tmp_path}/fresh.db", tmp_path / "copy.gz")


def _lines(file: Path) -> list[str]:
    with gzip.open(file, "rt") as lines:
        return list(lines)


async def test_a_copy_that_is_not_whole_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/federator.db"
    store = SqlStore(url)
    await store.open()
    await filled(store)
    good = tmp_path / "good.gz"
    await backup(url, good)
    before = await contents(store)
    await store.close()
    lines, raw = _lines(good), good.read_bytes()
    header = json.loads(lines[0])
    bad = {
        "cut in the middle": raw[: len(raw) // 2],
        "without its end": gzip.compress("".join(lines[:-1]).encode()),
        "a row short": gzip.compress("".join(lines[:5] + lines[6:]).encode()),
        "longer than its end says": gzip.compress("".join([*lines, lines[5]]).encode()),
        "changed in a byte": raw[:300] + bytes([raw[300] ^ 255]) + raw[301:],
        "only text": b"hello",
        "empty": b"",
        "empty gzip": gzip.compress(b""),
        "other JSON": gzip.compress(b'{"a": 1}\n'),
        "of a newer program": gzip.compress((json.dumps({**header, "schema": "9999"}) + "\n").encode()),
        "made with a strange line": gzip.compress((lines[0] + "7\n").encode()),
    }
    for what, content in bad.items():
        (tmp_path / "bad.gz").write_bytes(content)
        try:
            await restore(url, tmp_path / "bad.gz", force=True)
        except BackupUnusable:
            continue
        pytest.fail(f"a copy was restored although it is {what}")
    with pytest.raises(BackupUnusable, match="No such file"):
        await restore(url, tmp_path / "missing.gz", force=True)
    again = SqlStore(url)
    await again.open()
    assert await contents(again) == before
    await again.close()


async def test_a_copy_that_cannot_be_written_leaves_the_last_one(store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match="No such file"):
        await backup(str(store._url), tmp_path / "missing" / "copy.gz")
    full = Path("/dev/full")
    last = tmp_path / "copy.gz"
    last.write_text("the last copy")
    (tmp_path / "copy.gz.part").symlink_to(full)  # what is left of an earlier attempt is not written through
    await backup(str(store._url), last)
    assert _lines(last)
    assert not (tmp_path / "copy.gz.part").exists()


async def test_what_is_no_store_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no such file"):
        await backup(f"sqlite:///{tmp_path}/missing.db", tmp_path / "copy.gz")
    assert os.listdir(tmp_path) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreUnavailable, match="has schema none, this program writes copies of"):
        await backup(f"sqlite:///{tmp_path}/empty.db", tmp_path / "copy.gz")
    assert not (tmp_path / "copy.gz").exists()


async def test_the_schema_is_in_the_copy(url: str, tmp_path: Path) -> None:
    await upgrade(url)
    await backup(url, tmp_path / "copy.gz")
    assert json.loads(_lines(tmp_path / "copy.gz")[0]) == {"format": "federator-backup", "schema": schema.HEAD}
