"""Slurm's commands over a real ssh to a real sshd: one connection for all, cuts, hosts that nobody knows."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clusters.slurm import SlurmProvider, SlurmSettings
from federator.model.intent import Container, Order
from federator.ports import ClusterUnreachable
from tests.contracts.harness import Behaviour, observe, until_intent
from tests.contracts.test_slurm import CommandMember
from tests.patience import PATIENCE_S
from tests.servers.fixtures import slurm
from tests.servers.slurm import USER, Slurm
from tests.servers.sshd import Sshd

__all__ = ["slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def login() -> Iterator[Sshd]:
    with Sshd(USER) as login:
        yield login


class SshMember(CommandMember):
    """The prefix that docs/slurm.md shows, and where Slurm's configuration is. An array for each replica."""

    login: Sshd

    def settings(self) -> SlurmSettings:
        prefix = (*self.login.command, "env", f"SLURM_CONF={self.server.directory}/slurm.conf")
        return replace(super().settings(), command=prefix, array_size=1, timeout_s=10.0)


@pytest.fixture
async def member(slurm: Slurm, login: Sshd, tmp_path: Path) -> AsyncIterator[SshMember]:
    member = SshMember(slurm, tmp_path)
    member.login = login
    yield member
    await asyncio.to_thread(login.start)
    login.know()
    await member.clear()


async def shut_out(provider: SlurmProvider) -> str:
    """What is said of it."""
    with pytest.raises(ClusterUnreachable) as told:
        await provider.observe()
    return told.value.detail


async def test_work_goes_by_one_connection_and_what_users_write_means_itself(member: SshMember) -> None:
    """Two shells are between the daemon and sbatch."""
    odd = """it's "a" $HOME `id` \\n; touch /tmp/x > y & é"""
    provider = await member.provider()
    order = replace(member.order(Behaviour()), container=Container(command=("printf", "%s\n"), args=(odd,)))
    await provider.submit(order)
    (master,) = member.login.masters()
    await until_intent(provider, order.intent.id, lambda s: 0 in s.succeeded, "it has run")
    printed = b"".join([piece async for piece in provider.logs(order.intent.id, 0)])
    assert printed.decode() == odd + "\n"
    await provider.cancel(order.intent.id)
    assert member.login.masters() == [master]


async def test_connections_that_are_cut_lose_nothing_and_send_nothing_twice(member: SshMember) -> None:
    """Again and again while arrays are sent: what Slurm took of an order is found by its comment."""
    provider = await member.provider()
    for _ in range(6):
        order = member.order(Behaviour(), range(12))
        cuts = await sent_with_cuts(provider, member, order)
        await until_intent(provider, order.intent.id, lambda s: len(s.running) == 12, "all run")
        async with asyncio.timeout(PATIENCE_S):
            while len(member.starts(order.intent.id)) < 12:  # Slurm says that one runs before it has said so itself
                await asyncio.sleep(0.1)
        await provider.cancel(order.intent.id)
        assert sorted(member.starts(order.intent.id)) == list(range(12))
        if cuts:
            return
    raise AssertionError("no cut hit a call, so this test shows nothing")


async def sent_with_cuts(provider: SlurmProvider, member: SshMember, order: Order) -> int:
    """Submit an order whose connections are cut up to three times, until it is taken; how many cuts hit a call."""
    cuts, ledger = 0, member.ledger / f"{order.intent.id}.json"
    while True:
        before, sending = answers(ledger), asyncio.create_task(provider.submit(order))
        while not sending.done():
            await asyncio.sleep(0.01)
            if cuts < 3 and answers(ledger) >= before + 2:
                await asyncio.to_thread(member.login.cut)  # meanwhile calls go on
        if (error := sending.exception()) is None:
            return cuts
        assert isinstance(error, ClusterUnreachable), error
        cuts += 1


def answers(ledger: Path) -> int:
    """How many arrays of the order Slurm took, as far as that came back."""
    return len(json.loads(ledger.read_text())["jobs"]) if ledger.exists() else 0


async def test_a_login_node_that_is_away_or_hangs_is_said_to_be_and_comes_back(member: SshMember) -> None:
    provider = await member.provider()
    order = member.order(Behaviour())
    await provider.submit(order)
    await asyncio.to_thread(member.login.stop)
    assert "Connection refused" in await shut_out(provider)
    await asyncio.to_thread(member.login.start)
    assert order.intent.id in (await observe(provider)).intents
    member.login.cut()
    member.login.server.send(signal.SIGSTOP)
    try:
        told = await shut_out(provider)
        assert "within 10 s" in told or "timed out" in told
    finally:
        member.login.server.send(signal.SIGCONT)
    await until_intent(provider, order.intent.id, lambda s: 0 in s.running, "it runs on")
    assert member.starts(order.intent.id) == [0]


@pytest.mark.parametrize("trouble", ["unknown", "another", "stranger"])
async def test_a_host_that_is_not_known_is_told_apart_from_one_that_does_not_know_us(
    member: SshMember, trouble: str
) -> None:
    provider = await member.provider()
    await provider.observe()
    await asyncio.to_thread(member.login.stop)
    if trouble == "unknown":
        member.login.known_hosts.write_text("")
    elif trouble == "another":
        member.login.new_host_key()
    authorized = member.login.directory / "authorized"
    ours = authorized.read_text()
    if trouble == "stranger":
        authorized.write_text("")
    await asyncio.to_thread(member.login.start)
    told = await shut_out(provider)
    authorized.write_text(ours)
    if trouble == "stranger":
        assert f"{USER}@127.0.0.1: Permission denied (publickey" in told
    else:
        assert "Host key verification failed" in told
        assert "known_hosts" in told, "the cure is missing"
    member.login.know()
    await provider.observe()
