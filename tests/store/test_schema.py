"""Migrations make exactly the tables that the program uses, once."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from federator.ports import StoreUnavailable
from federator.store import SqlStore, schema, upgrade
from federator.store.database import Reader, Writer
from federator.store.tables import metadata


async def test_migrations_give_the_schema_of_the_tables(store: SqlStore) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with store._reader.transaction("comparing") as connection:
        assert await connection.run_sync(differences) == []
        assert await connection.run_sync(schema.revision) == schema.HEAD


def test_the_newest_migration_is_the_one_the_program_expects() -> None:
    scripts = ScriptDirectory.from_config(schema._config())
    assert scripts.get_heads() == [schema.HEAD]


async def test_a_database_is_upgraded_once(url: str) -> None:
    assert await upgrade(url)
    assert not await upgrade(url)


async def test_a_start_with_nothing_to_migrate_does_not_load_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/federator.db"
    await upgrade(url)
    program = """
import asyncio, sys
from federator.store import SqlStore
async def main():
    store = SqlStore(sys.argv[1])
    await store.open()
    await store.close()
asyncio.run(main())
print("alembic" in sys.modules)
"""
    command = [sys.executable, "-c", program, url]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_a_database_of_a_newer_program_is_left_alone(store: SqlStore, url: str) -> None:
    await store.close()
    writer = Writer(store._address)

    async def age(connection: object) -> None:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")  # type: ignore[attr-defined]

    await writer.transact("ageing", age)
    await writer.close()
    for attempt in (SqlStore(url).open, lambda: upgrade(url)):
        with pytest.raises(StoreUnavailable, match=r"schema 9999, this program knows .* newer federator; install that"):
            await attempt()


async def test_tables_of_something_else_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE tokens (mine TEXT)")
        other.execute("INSERT INTO tokens VALUES ('keep')")
    with pytest.raises(StoreUnavailable, match="tables called tokens that no federator made"):
        await SqlStore(f"sqlite:///{file}").open()
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT * FROM tokens").fetchall() == [("keep",)]
        assert len(other.execute("SELECT * FROM sqlite_master").fetchall()) == 1, "nothing half done"


async def test_a_start_finds_its_few_workloads_by_an_index(tmp_path: Path) -> None:
    """A start must not read the million workloads that are over."""
    url = f"sqlite:///{tmp_path}/federator.db"
    store = SqlStore(url)
    await store.open()
    reader = Reader(store._address)
    async with reader.transaction("explaining") as connection:
        for statement in (
            "SELECT * FROM workloads WHERE is_over = 0",
            "SELECT * FROM workloads WHERE is_over = 1 AND name IN (SELECT workload FROM intents)",
            "SELECT * FROM history WHERE workload = 'a' AND id > 5 ORDER BY id LIMIT 5",
            "SELECT id FROM history WHERE at_s < 5 LIMIT 5",
        ):
            plan = str((await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")).all())
            assert "SCAN workloads" not in plan, plan
            assert "SCAN history" not in plan, plan
    await reader.close()
    await store.close()
