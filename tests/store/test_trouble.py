"""Databases that are full, locked, away, damaged, forbidden or of tomorrow: one clear error, nothing lost, and on."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from federator.model.records import Changes
from federator.ports import StoreUnavailable
from federator.store import SqlStore, database
from federator.store.address import Address
from tests.patience import PATIENCE_S
from tests.servers.postgres import Postgres
from tests.servers.processes import free_port
from tests.store.samples import entry, many, workload


async def test_a_full_disk_refuses_a_commit_whole_and_the_next_one_works(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path}/federator.db")
    await store.open()
    await store.commit(Changes(workloads=(workload("a"),), history=(entry("a"),)))

    async def limit(connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("PRAGMA max_page_count = 60")

    async def no_limit(connection: AsyncConnection) -> None:
        await connection.exec_driver_sql("PRAGMA max_page_count = 1000000")

    await store._writer.transact("filling the disk", limit)
    for _ in range(2):
        with pytest.raises(
            StoreUnavailable, match=r"committing: database or disk is full: no room is left .* free some"
        ):
            await store.commit(many(400, history=100))
    assert len((await store.load()).workloads) == 1
    assert len(await store.events()) == 1

    await store._writer.transact("freeing the disk", no_limit)
    assert [one.id for one in await store.commit(many(400, history=1))] == [2]
    assert len((await store.load()).workloads) == 401
    await store.close()


async def test_a_lock_of_another_program_is_waited_for_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/federator.db"
    other = sqlite3.connect(tmp_path / "federator.db", isolation_level=None)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.3)
    impatient = SqlStore(url)
    await impatient.open()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match=r"database is locked: another program holds a lock"):
        await impatient.commit(Changes(workloads=(workload("a"),)))
    assert await impatient.load(), "reading goes on"
    other.execute("ROLLBACK")
    await impatient.close()

    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", PATIENCE_S)
    store = SqlStore(url)
    await store.open()
    other.execute("BEGIN IMMEDIATE")
    committing = asyncio.create_task(store.commit(Changes(workloads=(workload("b"),))))
    await asyncio.sleep(0.05)
    assert not committing.done()
    other.execute("ROLLBACK")
    await committing
    assert [record.name for record in (await store.load()).workloads] == ["b"]
    other.close()
    await store.close()


async def test_the_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqlStore(f"sqlite:///{tmp_path}/federator.db")
        await store.open()
        await store.commit(Changes(values={"a": 1}))
    finally:
        os.umask(before)
    files = sorted(path.name for path in os.scandir(tmp_path))
    assert files == ["federator.db", "federator.db-shm", "federator.db-wal", "federator.db.lock"]
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path)} == {0o600}
    await store.close()


async def test_a_file_that_was_removed_while_in_use_is_noticed(tmp_path: Path) -> None:
    """SQLite would go on writing to a file without a name, and all of it would be gone with the process."""
    file = tmp_path / "federator.db"
    store = SqlStore(f"sqlite:///{file}")
    await store.open()
    kept = tmp_path / "kept.db"
    file.rename(kept)
    with pytest.raises(StoreUnavailable, match="No such file"):
        await store.commit(Changes(values={"a": 1}))
    file.touch()
    with pytest.raises(StoreUnavailable, match="was replaced while in use"):
        await store.commit(Changes(values={"a": 1}))
    kept.replace(file)
    await store.commit(Changes(values={"a": 1}))
    await store.close()


async def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    (tmp_path / "folder.db").mkdir()
    damaged = SqlStore(f"sqlite:///{tmp_path}/damaged.db")
    await damaged.open()
    await damaged.commit(many(500))
    await damaged.close()
    whole = (tmp_path / "damaged.db").read_bytes()
    (tmp_path / "damaged.db").write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    for path, words in {
        "text.db": "is no SQLite database; is the path right",
        "folder.db": "cannot be opened",
        "missing/x.db": "No such file.*must exist and belong",
        "damaged.db": "damaged; restore a backup",
    }.items():
        store = SqlStore(f"sqlite:///{tmp_path}/{path}")
        with pytest.raises(StoreUnavailable, match=words):
            await store.open()
        await store.close()


READ_ONLY = """
import asyncio, os, sys
from federator.ports import StoreUnavailable
from federator.store import SqlStore
store = SqlStore(sys.argv[1])  # loads the drivers, from folders that may be closed to others
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
async def main():
    try:
        await store.open()
    except StoreUnavailable as error:
        print(error)
asyncio.run(main())
"""


@pytest.mark.parametrize("there", [False, True], ids=["new file", "file of another user"])
async def test_a_folder_without_leave_to_write_says_so(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    file = folder / "federator.db"
    if there:
        store = SqlStore(f"sqlite:///{file}")
        await store.open()
        await store.close()
        file.chmod(0o444)
        (folder / "federator.db.lock").chmod(0o444)
    folder.chmod(0o555)
    for parent in (tmp_path, *list(tmp_path.parents)[:2]):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/tmp"):
            parent.chmod(0o755)  # pytest's folders are closed to others, and a test run by root becomes another
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", READ_ONLY, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    folder.chmod(0o755)
    assert "Permission denied" in done.stdout, done.stdout + done.stderr
    assert "must exist and belong to the federator's user" in done.stdout


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:hunter2@h/d", "no store is called 'mysql'"),
        ("hunter2", "cannot be read; write sqlite:///"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_urls_that_name_no_database(url: str, words: str) -> None:
    with pytest.raises(StoreUnavailable, match=words) as refusal:
        SqlStore(url)
    assert "hunter2" not in str(refusal.value)


def test_operators_words_become_the_drivers() -> None:
    address = Address.of("postgres://u:hunter2@h:5432/d?sslmode=require")
    assert address.url.drivername == "postgresql+asyncpg"
    assert dict(address.url.query) == {"ssl": "require"}
    assert "hunter2" not in address.shown + repr(address)
    assert Address.of("sqlite:///~/x.db").path == Path.home() / "x.db"
    assert Address.of("sqlite:///x.db").path == Path.cwd() / "x.db"
    assert Address.of("sqlite:////var/x.db").path == Path("/var/x.db")


async def test_a_server_that_is_not_there_says_so() -> None:
    store = SqlStore(f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d")
    with pytest.raises(
        StoreUnavailable, match="does not answer; is it running, and are host and port right"
    ) as refusal:
        await store.open()
    assert "hunter2" not in str(refusal.value)
    await store.close()


@pytest.mark.real
async def test_a_wrong_password_or_database_says_so(postgres_server: Postgres) -> None:
    wrong = postgres_server.url.replace(":" + postgres_server._password, ":hunter2")
    missing = postgres_server.url_of("never_made")
    for url, words in ((wrong, "refuses the user or the password"), (missing, "no database of this name")):
        store = SqlStore(url)
        with pytest.raises(StoreUnavailable, match=words) as refusal:
            await store.open()
        assert "hunter2" not in str(refusal.value)
        await store.close()


@pytest.mark.real
async def test_a_server_that_stops_and_comes_back_costs_only_the_commits_between(
    postgres_server: Postgres, postgres_url: str
) -> None:
    store = SqlStore(postgres_url)
    await store.open()
    await store.commit(Changes(workloads=(workload("before"),), history=(entry("before"),)))
    await store.load()
    await asyncio.to_thread(postgres_server.halt)
    try:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await store.commit(Changes(workloads=(workload("meanwhile"),), history=(entry("meanwhile"),)))
            with pytest.raises(StoreUnavailable):
                await store.load()
    finally:
        await asyncio.to_thread(postgres_server.resume)
    written = await store.commit(Changes(workloads=(workload("after"),), history=(entry("after"),)))
    assert [one.id for one in written] == [2]
    assert [record.name for record in (await store.load()).workloads] == ["before", "after"]
    await store.close()


@pytest.mark.real
async def test_a_server_that_hangs_is_not_waited_for_for_ever(postgres_server: Postgres, postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    postgres_server.freeze()
    try:
        async with asyncio.timeout(database.CONNECT_TIMEOUT_S + PATIENCE_S):
            with pytest.raises(StoreUnavailable, match="did not answer in time"):
                await store.open()
    finally:
        postgres_server.thaw()
    await store.open()
    await store.close()
