"""Fake clusters keep the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from federator.clock import SystemClock
from federator.clusters.fake import FakeCluster, FakeProvider, FakeSettings
from federator.model.cluster import Flavor, NodeGroup
from federator.model.intent import Container
from federator.model.resources import CPU, MEMORY, Resources
from tests.contracts.harness import GIB, Behaviour, Member
from tests.contracts.provider_contract import ProviderContract

NODE = Resources.of({CPU: 4000, MEMORY: 8 * GIB})
SETTINGS = FakeSettings(flavors=(Flavor("standard", 2, NODE, (NodeGroup(NODE, 2),)),), start_delay_s=0.02)


class FakeMember(Member):
    """A fake cluster in the machine's time; its own tests are in virtual time."""

    short_s = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.cluster = FakeCluster(SETTINGS)
        self.made: list[FakeProvider] = []

    def make_provider(self) -> FakeProvider:
        self.made.append(FakeProvider("member", SETTINGS, clock=SystemClock(), cluster=self.cluster))
        return self.made[-1]

    def container(self, behaviour: Behaviour) -> Container:
        env = {"FAKE_EXIT_CODE": str(behaviour.exit_code)}
        if behaviour.runs_for_s is not None:
            env["FAKE_RUN_S"] = str(behaviour.runs_for_s)
        return Container(image="none", env=env)

    def starts(self, intent_id: str) -> list[int]:
        return [index for name, indices in self.cluster.starts if name == intent_id for index in indices]

    def running(self, intent_id: str) -> list[int]:
        return list(self.cluster.intents[intent_id].running) if intent_id in self.cluster.intents else []

    async def cut_off(self) -> None:
        self.made[-1].go_away()

    async def reconnect(self) -> None:
        self.made[-1].come_back()


class TestFake(ProviderContract):
    @pytest.fixture
    async def member(self) -> AsyncIterator[Member]:
        member = FakeMember()
        yield member
        await member.clear()
