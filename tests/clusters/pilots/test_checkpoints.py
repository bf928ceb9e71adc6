"""Checkpoints on pilots: what a pilot is told of where they are, and what it tells of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from federator.api.pilot_bodies import mail_json
from federator.model.checkpoints import GOOD_FOR_S, RENEW_S, Attempt, Checkpoints
from federator.model.indexset import IndexSet
from federator.model.intent import Order
from federator.model.pilots import Mail, Progress
from federator.ports import OrderRefused
from tests.clusters.pilots.site import Place, order


def kept(url: str, count: int = 2) -> Order:
    """An order whose first task was tried before."""
    attempt = Attempt(Checkpoints(url, 60.0, 1000), "bag-1a", 7, ((3, IndexSet.of([0])),))
    return replace(order("bag-1a-7", count), attempt=attempt)


class Signer:
    """Signs with the number of times that it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, method: str, place: str) -> str:
        self.times += 1
        return f"{method} {place} {self.times}"


async def test_a_grant_says_where_checkpoints_are_also_after_a_restart() -> None:
    place = Place()
    await place.provider.submit(kept("http://store/kept"))
    place.restart()
    await place.register()
    first, second = await place.lease()
    own = ["http://store/kept/bag-1a-0-7-0", "http://store/kept/bag-1a-0-7-1"]
    earlier = ["http://store/kept/bag-1a-0-3-0", "http://store/kept/bag-1a-0-3-1"]
    assert first.checkpoint == {
        "everySeconds": 60.0, "limitBytes": 1000, "put": own, "get": earlier, "drop": own + earlier,
    }  # fmt: skip
    assert second.checkpoint is not None
    assert second.checkpoint["get"] == []
    assert mail_json(Mail(grants=(first,)))["grants"][0]["checkpoint"] == first.checkpoint
    assert "checkpoint" not in mail_json(Mail(grants=(replace(first, checkpoint=None),)))["grants"][0]


async def test_an_order_whose_store_has_no_key_here_is_refused() -> None:
    place = Place()
    with pytest.raises(OrderRefused, match="there are no credentials for s3://bucket/kept") as told:
        await place.provider.submit(kept("s3://bucket/kept"))
    assert told.value.permanent


async def test_signed_addresses_are_given_anew_long_before_they_are_good_no_more() -> None:
    place = Place(Signer(), lease_s=10 * GOOD_FOR_S)
    await place.provider.submit(kept("s3://bucket/kept", 1))
    await place.register()
    (grant,) = await place.lease()

    async def renewed() -> set[str]:
        mail = await place.provider.heartbeat("p", (grant.lease,))
        assert {one["lease"] for one in mail_json(mail)["checkpoints"]} == mail.checkpoints.keys()
        return set(mail.checkpoints)

    await renewed()  # whoever was just given them may be given them once more
    assert await renewed() == set()
    await place.clock.advance(RENEW_S + 1)
    assert await renewed() == {grant.lease}
    assert await renewed() == set()
    place.restart()
    assert await renewed() == {grant.lease}, "nobody knows when that was"
    assert 2 * RENEW_S < GOOD_FOR_S


async def test_a_pilot_that_holds_nothing_signed_costs_no_signature() -> None:
    sign = Signer()
    place = Place(sign)
    await place.provider.submit(order("plain", 2))
    await place.register()
    held = tuple(grant.lease for grant in await place.lease())
    await place.provider.heartbeat("p", held)
    assert sign.times == 0


async def test_what_became_of_checkpoints_is_counted() -> None:
    place = Place()
    await place.provider.submit(kept("http://store/kept", 1))
    await place.register()
    (grant,) = await place.lease()
    news = [Progress(grant.lease, checkpoint="kept"), Progress(grant.lease, checkpoint="failed", message="full")]
    await place.provider.progress("p", news)
    assert (place.counted["kept"], place.counted["failed"]) == (1, 1)
