"""Slurm clusters keep the contract, by both ways in: a real slurmctld with twenty nodes, whose jobs really run."""

from __future__ import annotations

import asyncio
import shlex
import signal
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clock import SystemClock
from federator.clusters.slurm import SlurmProvider, SlurmSettings
from federator.processes import birth, marked, marker_of
from tests.contracts.harness import Member, ShellMember
from tests.contracts.provider_contract import BatchContract
from tests.servers.fixtures import slurm
from tests.servers.slurm import USER, Slurm

__all__ = ["slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


class SlurmMember(ShellMember):
    """A federation of its own in a shared cluster. Each replica adds its index to a file of its intent."""

    short_s = 0.6

    def __init__(self, server: Slurm, folder: Path) -> None:
        super().__init__()
        self.server = server
        self.shared = server.shared()
        self.witness = server.shared()
        self.ledger = folder / "ledger"
        self.federation = f"contract-{uuid.uuid4().hex[:8]}"

    def settings(self) -> SlurmSettings:
        return SlurmSettings(
            self.ledger,
            str(self.shared),
            url=self.server.url,
            mounted_at=str(self.shared),
            partitions=("cpu", "gpu"),
            images_as_processes=True,
            end_grace_s=1.0,
            poll_s=0.3,
            timeout_s=20.0,
        )

    def make_provider(self) -> SlurmProvider:
        return SlurmProvider("member", self.settings(), clock=SystemClock(), federation=self.federation)

    def running(self, intent_id: str) -> list[int]:
        mine = [pid for pid in marked("FEDERATOR_INTENT", intent_id) if birth(pid)]
        return sorted({int(marker_of(pid, "FEDERATOR_REPLICA_INDEX") or -1) for pid in mine})

    async def cut_off(self) -> None:
        await asyncio.to_thread(self.server.rest.stop, signal.SIGKILL)

    async def reconnect(self) -> None:
        await asyncio.to_thread(self.server.start_rest)

    async def clear(self) -> None:
        await super().clear()
        self.server.clear()


class TokenMember(SlurmMember):
    """By the slurmrestd on TCP that wants tokens; ``give`` exchanges the token as an operator would."""

    def __init__(self, server: Slurm, folder: Path) -> None:
        super().__init__(server, folder)
        self.file = folder / "slurm.jwt"
        self.give(server.token())

    def settings(self) -> SlurmSettings:
        return replace(super().settings(), url=self.server.token_url, user=USER, token_file=str(self.file))

    def give(self, token: str) -> None:
        draft = self.file.with_suffix(".new")
        draft.write_text(token)
        draft.rename(self.file)

    async def cut_off(self) -> None:
        await asyncio.to_thread(self.server.token_rest.stop, signal.SIGKILL)


class CommandMember(SlurmMember):
    """The same cluster by Slurm's commands, and its files too, over a program that leads to them as ssh would."""

    def __init__(self, server: Slurm, folder: Path) -> None:
        super().__init__(server, folder)
        self.way = folder / "way"
        self.way.write_text(f'#!/bin/sh\nexec {shlex.join(server.command)} sh -c "$*"\n')
        self.way.chmod(0o755)

    def settings(self) -> SlurmSettings:
        return SlurmSettings(
            self.ledger,
            str(self.shared),
            command=(str(self.way),),
            partitions=("cpu", "gpu"),
            images_as_processes=True,
            end_grace_s=1.0,
            poll_s=0.3,
            timeout_s=20.0,
        )

    async def cut_off(self) -> None:
        self.way.chmod(0o644)

    async def reconnect(self) -> None:
        self.way.chmod(0o755)


class TestSlurm(BatchContract):
    @pytest.fixture
    async def member(self, slurm: Slurm, tmp_path: Path) -> AsyncIterator[Member]:
        member = TokenMember(slurm, tmp_path)
        yield member
        await member.clear()


class TestSlurmByCommands(BatchContract):
    @pytest.fixture
    async def member(self, slurm: Slurm, tmp_path: Path) -> AsyncIterator[Member]:
        member = CommandMember(slurm, tmp_path)
        yield member
        await member.clear()
