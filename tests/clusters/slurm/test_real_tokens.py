"""Tokens (JWT) at a real slurmctld, through slurmrestd on TCP: whom they let in, until when, and what is said."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from federator.clusters.slurm import SlurmProvider
from federator.model.indexset import IndexSet
from federator.ports import ClusterUnreachable
from tests.contracts.harness import Behaviour, observe, until_intent
from tests.contracts.test_slurm import TokenMember
from tests.servers.fixtures import slurm
from tests.servers.slurm import USER, Slurm

__all__ = ["slurm"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
async def member(slurm: Slurm, tmp_path: Path) -> AsyncIterator[TokenMember]:
    member = TokenMember(slurm, tmp_path)
    yield member
    await member.clear()


def signed(key: bytes, lasts_s: float, user: str = USER) -> str:
    """As a service of the site may sign it, without Slurm."""
    now_s = int(time.time())
    return jwt.encode({"iat": now_s, "exp": now_s + lasts_s, "sun": user}, key, algorithm="HS256")


async def shut_out(provider: SlurmProvider) -> str:
    """What is said of it."""
    with pytest.raises(ClusterUnreachable) as told:
        await provider.observe()
    return told.value.detail


async def test_jobs_run_as_the_user_of_the_token_whoever_signed_it(member: TokenMember) -> None:
    for token in (member.server.token(), signed(member.server.signing_key.read_bytes(), 60)):
        member.give(token)
        provider = await member.provider()
        order = member.order(Behaviour(0.5), range(3))
        await provider.submit(order)
        await until_intent(provider, order.intent.id, lambda s: len(s.succeeded) == 3, "all have run")
        owners = {path.owner() for path in (member.shared / order.intent.id / "logs").iterdir()}
        assert owners == {USER}


async def test_a_token_that_runs_out_and_is_renewed_loses_nothing_and_runs_nothing_twice(member: TokenMember) -> None:
    provider = await member.provider()
    before = member.order(Behaviour(6.0), range(8))
    await provider.submit(before)
    await until_intent(provider, before.intent.id, lambda s: len(s.running) == 8, "all run")
    member.give(member.server.token(lifespan_s=1))
    await asyncio.sleep(2.5)
    words = f"tokenFile {member.file}: the token in it expired "
    assert words in await shut_out(provider)
    meanwhile = member.order(Behaviour(0.5), range(4))
    with pytest.raises(ClusterUnreachable, match=re.escape(words)):
        await provider.submit(meanwhile)
    with pytest.raises(ClusterUnreachable, match=re.escape(words)):
        await provider.cancel(before.intent.id)
    await asyncio.sleep(5)  # all of it ends while nobody may look
    member.give(member.server.token())
    found = await until_intent(provider, before.intent.id, lambda s: not s.running, "its end is seen")
    assert found.succeeded == IndexSet.span(0, 8), "a cancel that was refused has cancelled something"
    await provider.submit(meanwhile)
    await until_intent(provider, meanwhile.intent.id, lambda s: len(s.succeeded) == 4, "it has run")
    for order, count in ((before, 8), (meanwhile, 4)):
        assert sorted(member.starts(order.intent.id)) == list(range(count))


async def test_tokens_that_slurm_does_not_accept_are_told_apart_as_far_as_they_tell(member: TokenMember) -> None:
    provider = await member.provider()
    order = member.order(Behaviour())
    ours = member.server.signing_key.read_bytes()
    for token, words in (
        (signed(b"k" * 32, 60), "slurmctld is away, or does not accept the token in tokenFile"),
        (signed(ours, 60, "nobody"), "the token in it is for 'nobody'"),
        (signed(ours, -5), "the token in it expired"),
        ("rubbish", "what is in it is no token (JWT)"),
        ("", "0 words are in it"),
    ):
        member.give(token)
        told = await shut_out(provider)
        assert words in told
        assert not token or token == "rubbish" or token not in told
        with pytest.raises(ClusterUnreachable):
            await provider.submit(order)
    member.give(f"SLURM_JWT={member.server.token()}\n")  # as scontrol prints it
    assert order.intent.id not in (await observe(provider)).intents
    assert not member.starts(order.intent.id)
