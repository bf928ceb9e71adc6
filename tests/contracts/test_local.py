"""Local clusters keep the contract."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federator.clock import SystemClock
from federator.clusters.local import LocalProvider, LocalSettings
from federator.clusters.local.launch import stop_everything
from federator.model.cluster import Flavor, NodeGroup
from federator.model.resources import CPU, MEMORY, Resources
from federator.processes import birth, marked, marker_of
from tests.contracts.harness import GIB, Member, ShellMember
from tests.contracts.provider_contract import ProviderContract
from tests.patience import PATIENCE_S

NODE = Resources.of({CPU: 4000, MEMORY: 8 * GIB})


class LocalMember(ShellMember):
    """A local cluster of two pretended nodes. Each replica adds its index to a file of its intent."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory / "cluster"
        self.witness = directory / "starts"
        self.witness.mkdir()

    def make_provider(self) -> LocalProvider:
        flavors = (Flavor("standard", 2, NODE, (NodeGroup(NODE, 2),)),)
        settings = LocalSettings(
            self.directory, flavors, kill_grace_s=1.0, backoff_s=0.1, timeout_s=PATIENCE_S, ready_s=0.2
        )
        return LocalProvider("member", settings, clock=SystemClock())

    def running(self, intent_id: str) -> list[int]:
        mine = marked("FEDERATOR_DIRECTORY", f"{os.path.realpath(self.directory)}/{intent_id}/")
        return sorted({int(marker_of(pid, "FEDERATOR_REPLICA_INDEX") or -1) for pid in mine if birth(pid)})

    async def cut_off(self) -> None:
        self.directory.rename(self.directory.with_name("away"))

    async def reconnect(self) -> None:
        self.directory.with_name("away").rename(self.directory)

    async def clear(self) -> None:
        await super().clear()
        stop_everything(self.directory)


class TestLocal(ProviderContract):
    @pytest.fixture
    async def member(self, tmp_path: Path) -> AsyncIterator[Member]:
        member = LocalMember(tmp_path)
        yield member
        await member.clear()
