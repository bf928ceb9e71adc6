"""Clusters of pilots keep the contract: the API on loopback, and the agent as a process that runs real payloads."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from federator.clock import SystemClock
from federator.clusters.pilots import PilotsProvider, PilotsSettings
from federator.model.pilots import LineChanges, StoredLine
from federator.ports import StoreUnavailable
from federator.processes import birth, marked, marker_of
from federator.store import SqlStore
from tests.api.conftest import Api, start
from tests.contracts.harness import Member, ShellMember
from tests.contracts.provider_contract import ProviderContract
from tests.patience import PATIENCE_S

CPU, GIB = 8, 1 << 30


class Cuttable:
    """The way to the store, which a test can cut."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.cut = False

    async def load_line(self, cluster: str) -> StoredLine:
        self._check()
        return await self.store.load_line(cluster)

    async def commit_line(self, changes: LineChanges) -> None:
        self._check()
        await self.store.commit_line(changes)

    def _check(self) -> None:
        if self.cut:
            raise StoreUnavailable("the test has cut the way to the store")


class PilotsMember(ShellMember):
    """A cluster of one pilot. Each replica adds its index to a file of its intent."""

    def __init__(self, api: Api, store: SqlStore, folder: Path) -> None:
        super().__init__()
        self.api = api
        self.way = Cuttable(store)
        self.spool = folder / "spool"
        self.witness = folder / "starts"
        self.witness.mkdir()
        token = folder / "token"
        token.write_text(api.tokens["pilot"])
        self.command = [sys.executable, "-m", "federator.pilot.main", "--url", api.url, "--token-file", str(token)]
        self.command += ["--spool", str(self.spool), "--cpu", str(CPU), "--memory", "16Gi", "--runtime", "process"]
        self.log = folder / "pilot.log"
        self.pilot: subprocess.Popen[bytes] | None = None

    def make_provider(self) -> PilotsProvider:
        settings = PilotsSettings(images_as_processes=True, backoff_s=0.1, ready_s=0.2)
        provider = PilotsProvider("grid", settings, store=self.way, clock=SystemClock(), count=lambda _: None)
        self.api.service.site = provider
        return provider

    async def provider(self) -> Any:
        provider = await super().provider()
        if self.pilot is None:
            self._start_pilot()
        async with asyncio.timeout(PATIENCE_S):
            while not (await provider.observe()).flavors:
                await asyncio.sleep(0.02)
        return provider

    def _start_pilot(self) -> None:
        with self.log.open("ab") as log:
            self.pilot = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def running(self, intent_id: str) -> list[int]:
        mine = marked("FEDERATOR_INTENT", intent_id)
        return sorted({_index(pid) for pid in mine if birth(pid) and str(self.spool) == _spool(pid)})

    async def cut_off(self) -> None:
        self.way.cut = True

    async def reconnect(self) -> None:
        self.way.cut = False

    async def clear(self) -> None:
        await super().clear()
        if self.pilot is not None:
            self.pilot.kill()
            self.pilot.wait()
        async with asyncio.timeout(PATIENCE_S):
            while any(birth(pid) for pid in marked("FEDERATOR_PILOT_SPOOL", str(self.spool))):
                await asyncio.sleep(0.05)  # the guard ends them


def _index(pid: int) -> int:
    return int(marker_of(pid, "FEDERATOR_REPLICA_INDEX") or -1)


def _spool(pid: int) -> str:
    return marker_of(pid, "FEDERATOR_PILOT_SPOOL") or ""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore(f"sqlite:///{tmp_path}/federator.db")
    await store.open()
    yield store
    await store.close()


@pytest.mark.real
class TestPilots(ProviderContract):
    @pytest.fixture
    async def member(self, store: SqlStore, tmp_path: Path) -> AsyncIterator[Member]:
        api = await start()
        member = PilotsMember(api, store, tmp_path)
        yield member
        await member.clear()
        await api.session.close()
        await api.running.stop()


def test_the_agent_needs_nothing_but_python(tmp_path: Path) -> None:
    """No package of the environment is there with -S: an import of one would fail."""
    words: Sequence[str] = ("-I", "-S", "-c", "import sys; sys.path.append(sys.argv[1]); import federator.pilot.main")
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, *words, root], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
