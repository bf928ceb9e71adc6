"""Rights, credentials, cut connections and silent servers, for real."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest

from federator.clusters.kubernetes import names
from federator.ports import ClusterUnreachable
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.real import back, call, hasty, intent_until, leave, left, opened, sent, unreachable
from tests.clusters.kubernetes.relay import relayed
from tests.clusters.kubernetes.rights import grant_documented_rights
from tests.clusters.kubernetes.test_keeping import keeping
from tests.patience import PATIENCE_S
from tests.servers.control_plane import ControlPlane

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("kubelet")]
LONG = {"fake.kubelet/runs-for": "1h"}


async def test_a_stranger_is_told_what_is_missing(plane: ControlPlane) -> None:
    with pytest.raises(ClusterUnreachable, match="forbidden to list and watch") as caught:
        async with opened(plane, kubeconfig=plane.kubeconfig_for("stranger")):
            pass
    assert "docs/kubernetes.md" in str(caught.value)


async def test_a_wrong_token_is_told_without_showing_it(plane: ControlPlane) -> None:
    with pytest.raises(ClusterUnreachable, match="401") as caught:
        async with opened(plane, kubeconfig=plane.kubeconfig_for("x", "wrong-token")):
            pass
    assert "wrong-token" not in str(caught.value)


async def test_a_server_that_the_kubeconfig_s_authority_did_not_sign_is_not_trusted(
    plane: ControlPlane, tmp_path: Path
) -> None:
    config = json.loads(plane.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    with pytest.raises(ClusterUnreachable, match="certificate"):
        async with opened(plane, kubeconfig=path):
            pass


async def test_the_rights_in_the_documentation_are_enough(plane: ControlPlane) -> None:
    """The YAML in docs/kubernetes.md, applied as it stands, and nothing else."""
    await grant_documented_rights(plane)
    settings = {"kubeconfig": plane.kubeconfig_for("federator"), "namespace": "federator"}
    async with opened(plane, **settings) as provider:
        await provider.submit(orders.batch("rights-1", 5))
        await provider.submit(orders.deployment("rights-2", 1))
        assert "checkpoints" in (await provider.observe()).abilities
        await provider.submit(keeping(1))
        await intent_until(provider, "bag-1a-2", lambda seen: len(seen.succeeded) == 1)
        await intent_until(provider, "rights-1", lambda seen: len(seen.succeeded) == 5)
        await intent_until(provider, "rights-2", lambda seen: bool(seen.running))
        assert b"".join([piece async for piece in provider.logs("rights-1", 0)])
        await provider.submit(orders.deployment("rights-2", 2, spec_hash="h2"))
        await intent_until(provider, "rights-2", lambda seen: len(seen.running) == 2)
        await leave(provider, "rights-1", "rights-2", "bag-1a-2")
        assert await left(plane, "rights-1") + await left(plane, "rights-2") + await left(plane, "bag-1a-2") == []
        async with asyncio.timeout(PATIENCE_S):
            while (await call(plane, "GET", f"/api/v1/secrets?labelSelector={names.INTENT}%3Dbag-1a-2"))["items"]:
                await asyncio.sleep(0.1)  # the cluster removes what the Job owned


async def test_cut_connections_lose_nothing(plane: ControlPlane) -> None:
    async with relayed(plane.url) as relay, opened(plane, url=relay.url) as provider:
        await provider.submit(orders.batch("cut-1", 12))
        for _ in range(4):
            relay.cut()
            await asyncio.sleep(0.7)
        seen = await intent_until(provider, "cut-1", lambda seen: len(seen.succeeded) == 12)
        assert not seen.failed
        assert relay.cuts >= 4, "no connection was cut, so this shows nothing"
        await leave(provider, "cut-1")


async def test_a_stopped_server_is_unreachable_and_its_work_is_known_again_when_it_returns(
    plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that has started anew knows no old versions: what was watched has to be listed again."""
    caplog.set_level(logging.INFO)
    async with hasty(plane, 3.0) as provider:
        await sent(provider, orders.job("out-1", 3, notes={"fake.kubelet/runs-for": "10s"}))
        await intent_until(provider, "out-1", lambda seen: len(seen.running) == 3)
        await plane.stop_apiserver()
        try:
            await unreachable(provider)
            with pytest.raises(ClusterUnreachable):
                await provider.submit(orders.batch("out-2", 1))
        finally:
            await plane.start_apiserver()
        await back(provider)
        await intent_until(provider, "out-1", lambda seen: len(seen.succeeded) == 3)
        assert "too old; listing again" in caplog.text
        await leave(provider, "out-1")


async def test_a_frozen_server_is_noticed_and_every_call_ends_in_time(plane: ControlPlane) -> None:
    async with hasty(plane, 2.0) as provider:
        plane.freeze()
        try:
            async with asyncio.timeout(PATIENCE_S):
                with pytest.raises(ClusterUnreachable, match="no answer within 2 s"):
                    await provider.submit(orders.batch("ice-1", 1))
            await unreachable(provider)
        finally:
            plane.thaw()
        await sent(provider, orders.batch("ice-1", 1))
        await intent_until(provider, "ice-1", lambda seen: bool(seen.succeeded))
        await leave(provider, "ice-1")
