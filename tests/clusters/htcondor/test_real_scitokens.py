"""A real schedd that lets in whoever has a token of an issuer that it trusts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from federator.clusters.htcondor.provider import HTCondorProvider
from federator.ports import ClusterUnreachable
from tests.contracts.harness import Behaviour, until_intent
from tests.contracts.test_htcondor import HTCondorMember
from tests.servers.fixtures import htcondor_pool
from tests.servers.htcondor import Pool
from tests.servers.htcondor_issuer import SCITOKEN, WLCG

__all__ = ["htcondor_pool"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


@pytest.fixture
async def member(htcondor_pool: Pool, tmp_path: Path) -> AsyncIterator[HTCondorMember]:
    member = HTCondorMember(htcondor_pool, tmp_path / "output")
    yield member
    await member.clear()


def provider_with(member: HTCondorMember, token_file: Path, ca_file: Path) -> HTCondorProvider:
    """As of the member, by a SciToken. The collector has the name that is in its certificate."""
    like = member.make_provider()
    access = replace(
        like._settings.access, collector=f"localhost:{member.pool.port}", token_file=str(token_file),
        ca_file=str(ca_file), timeout_s=20.0,
    )  # fmt: skip
    settings = replace(like._settings, access=access)
    return HTCondorProvider("member", settings, clock=like._clock, federation=member.federation)


def write(path: Path, token: str) -> Path:
    path.touch(0o600)
    path.write_text(token)
    return path


@pytest.mark.parametrize("profile", [SCITOKEN, WLCG], ids=["scitokens", "wlcg"])
async def test_a_job_is_sent_seen_and_removed_by_a_token_of_an_issuer(
    member: HTCondorMember, tmp_path: Path, profile: Mapping[str, object]
) -> None:
    issuer = member.pool.issuer
    provider = provider_with(member, write(tmp_path / "token", issuer.token(profile)), issuer.ca_file)
    await provider.open()
    try:
        order = member.order(Behaviour(runs_for_s=0.5))
        await provider.submit(order)
        await until_intent(provider, order.intent.id, lambda seen: list(seen.succeeded) == [0], "it to succeed")
        await provider.cancel(order.intent.id)
        async with asyncio.timeout(60):
            while order.intent.id in (await provider.observe()).intents:
                await asyncio.sleep(0.2)
    finally:
        await provider.close()


async def test_a_token_that_does_not_count_is_refused_and_one_that_is_put_in_its_place_is_taken(
    member: HTCondorMember, tmp_path: Path
) -> None:
    """For somebody else, over, of somebody whom the pool does not know, with no right to read."""
    issuer = member.pool.issuer
    bad = [
        issuer.token(aud="elsewhere.test"),
        issuer.token(exp=int(time.time()) - 60),
        issuer.token(sub="stranger", scope="condor:/NOTHING"),
    ]
    path = write(tmp_path / "token", bad[0])
    provider = provider_with(member, path, issuer.ca_file)
    try:
        for token in bad:
            path.write_text(token)
            with pytest.raises(ClusterUnreachable) as refusal:
                await provider.open()
            assert "does not accept our token" in refusal.value.detail
            assert token[:20] not in refusal.value.detail
        path.write_text(issuer.token())
        await provider.open()
        assert (await provider.observe()).flavors
    finally:
        await provider.close()


async def test_no_token_is_sent_to_a_pool_whose_certificate_nobody_vouches_for(
    member: HTCondorMember, tmp_path: Path
) -> None:
    path = write(tmp_path / "token", member.pool.issuer.token())
    provider = provider_with(member, path, Path("/etc/ssl/certs/ca-certificates.crt"))
    with pytest.raises(ClusterUnreachable, match="no connection, or it does not accept our token"):
        await provider.open()
    await provider.close()
