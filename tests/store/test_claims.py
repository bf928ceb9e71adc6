"""One federator for a database, whatever happened to the one before."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from federator.model.records import Changes
from federator.ports import StoreUnavailable
from federator.store import SqlStore, restore, upgrade
from tests.patience import PATIENCE_S
from tests.store.samples import workload

HOLD = """
import asyncio, sys
from federator.store import SqlStore
async def main():
    await SqlStore(sys.argv[1]).open()
    print("open", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
FORK_AND_HOLD = """
import asyncio, os, sys, time
from federator.store import SqlStore
async def main():
    await SqlStore(sys.argv[1]).open()
    child = os.fork()
    if not child:
        time.sleep(600)
    print(child, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def holder(url: str, program: str = HOLD) -> tuple[subprocess.Popen[str], str]:
    """Another process with the store open, and the first line it printed."""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program, url], text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, "the other process did not get its store"
    return process, line


async def opened_soon(url: str) -> SqlStore:
    """Open a store, again and again for a while: a server needs a moment to see that a client has gone."""
    store = SqlStore(url)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await store.open()
            except StoreUnavailable:
                await asyncio.sleep(0.1)
            else:
                return store


async def test_a_second_store_in_the_same_process_is_refused(store: SqlStore, url: str) -> None:
    second = SqlStore(url)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=f"another federator holds .*{os.getpid()}.*stop it first"):
            await second.open()
    await second.close()
    await store.commit(Changes(values={"still": "mine"}))
    with pytest.raises(StoreUnavailable, match="another federator holds"):
        await upgrade(url)
    with pytest.raises(StoreUnavailable, match="another federator holds"):
        await restore(url, Path("/nowhere"))


async def test_the_claim_ends_with_close(store: SqlStore, url: str) -> None:
    await store.close()
    second = SqlStore(url)
    await second.open()
    await second.commit(Changes(values={"x": 1}))
    await second.close()


async def test_another_process_is_named_and_its_death_frees_the_store(url: str) -> None:
    process, _ = holder(url)
    try:
        second = SqlStore(url)
        with pytest.raises(StoreUnavailable, match=f"another federator holds .*process {process.pid}"):
            await second.open()
        await second.close()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    store = await opened_soon(url)
    await store.close()


async def test_a_forked_child_that_outlives_its_daemon_holds_nothing(tmp_path: Path) -> None:
    """A worker of the planner may live on after a SIGKILL of the daemon; the next daemon must start all the same."""
    url = f"sqlite:///{tmp_path}/federator.db"
    process, line = holder(url, FORK_AND_HOLD)
    child = int(line)
    try:
        process.kill()
        process.wait()
        os.kill(child, 0)  # alive
        store = SqlStore(url)
        await store.open()
        await store.close()
    finally:
        os.kill(child, signal.SIGKILL)


async def test_a_symbolic_link_leads_to_the_same_claim(store: SqlStore, url: str, tmp_path: Path) -> None:
    if not url.startswith("sqlite"):
        return
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    second = SqlStore(f"sqlite:///{tmp_path}/elsewhere/federator.db")
    with pytest.raises(StoreUnavailable, match="another federator holds"):
        await second.open()
    await second.close()


@pytest.mark.real
async def test_who_lost_its_claim_cannot_write_over_its_successor(postgres_url: str) -> None:
    """The first federator's connection breaks without its noticing; a second one takes over, writes, and ends.

    The first must neither write over that nor take up again with what it remembers.
    """
    first = SqlStore(postgres_url)
    await first.open()
    await first.commit(Changes(workloads=(workload("a"),)))
    async with first._reader.transaction("ending the other's connection") as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    second = await opened_soon(postgres_url)
    await second.commit(Changes(workloads=(workload("b"),)))
    with pytest.raises(StoreUnavailable, match="work goes on when it is back"):
        await first.commit(Changes(dropped_workloads=("b",)))
    with pytest.raises(StoreUnavailable, match="another federator holds"):
        await first.commit(Changes(dropped_workloads=("b",)))
    await second.close()
    with pytest.raises(StoreUnavailable, match=r"another federator has used .* stop this one and start it again"):
        await first.commit(Changes(dropped_workloads=("b",)))
    assert await first.find_workload("b")
    await first.close()


@pytest.mark.real
async def test_a_broken_connection_costs_one_commit(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    await store.open()
    async with store._reader.transaction("ending the other's connection") as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with pytest.raises(StoreUnavailable, match="work goes on when it is back"):
        await store.commit(Changes(values={"a": 1}))
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await store.commit(Changes(values={"a": 2}))
                break
            except StoreUnavailable:
                await asyncio.sleep(0.1)
    assert (await store.load()).values == {"a": 2}
    await store.close()
