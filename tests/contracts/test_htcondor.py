"""HTCondor pools keep the contract: a real collector, negotiator, schedd and startd; only the machine's size is
pretended."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federator.clock import SystemClock
from federator.clusters.htcondor import HTCondorProvider, HTCondorSettings
from federator.clusters.htcondor.settings import Access
from federator.processes import marked, marker_of
from tests.contracts.harness import Member, ShellMember
from tests.contracts.provider_contract import ProviderContract
from tests.servers.fixtures import htcondor_pool
from tests.servers.htcondor import Pool
from tests.servers.processes import temporary_directory

__all__ = ["htcondor_pool"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class HTCondorMember(ShellMember):
    """A federation of its own in a shared pool. Each replica adds its index to a file of its intent."""

    short_s = 0.5

    def __init__(self, pool: Pool, directory: Path) -> None:
        super().__init__()
        self.pool = pool
        self.federation = f"contract-{uuid.uuid4().hex[:8]}"
        self.directory = directory
        self.witness = temporary_directory("witness")
        self.witness.chmod(0o777)  # jobs run as another user

    def make_provider(self) -> HTCondorProvider:
        access = Access(self.pool.collector, self.pool.name, str(self.pool.token_file), timeout_s=3.0)
        settings = HTCondorSettings(access, self.directory, grace_s=3.0, poll_s=0.2)
        return HTCondorProvider("member", settings, clock=SystemClock(), federation=self.federation)

    def running(self, intent_id: str) -> list[int]:
        mine = marked("FEDERATOR_INTENT", intent_id)
        return sorted({int(marker_of(pid, "FEDERATOR_REPLICA_INDEX") or -1) for pid in mine})

    async def cut_off(self) -> None:
        self.pool.freeze()

    async def reconnect(self) -> None:
        self.pool.thaw()

    async def clear(self) -> None:
        await super().clear()
        self.pool.thaw()
        await asyncio.to_thread(self.pool.remove, f'FederatorName == "{self.federation}/member"')
        shutil.rmtree(self.witness)


class TestHTCondor(ProviderContract):
    @pytest.fixture
    async def member(self, htcondor_pool: Pool, tmp_path: Path) -> AsyncIterator[Member]:
        member = HTCondorMember(htcondor_pool, tmp_path / "output")
        yield member
        await member.clear()
