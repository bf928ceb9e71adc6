"""What tables show of an object."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from federator.cli.tables import health, news, order_of


def test_a_preference_comes_before_all_policies_whatever_number_stands_for_that() -> None:
    assert order_of({"order": -(2**31), "document": {"kind": "ReplicaSchedulingPreference"}}) == "first"
    assert order_of({"order": 10, "document": {"kind": "PlacementPolicy"}}) == 10


@pytest.fixture
def utc() -> Iterator[None]:
    """Times of day are those of UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


DOWN = {"from": 36_000.0, "to": 72_000.0, "drainFrom": 21_600.0, "reason": "new switches"}
COMES, HOLDS = "downtime from 1970-01-01 10:00:00: new switches", "downtime until 1970-01-01 20:00:00: new switches"


@pytest.mark.parametrize(
    ("cluster", "status", "message"),
    [
        ({"health": "up"}, "up", ""),
        ({"health": "up", "downtime": {**DOWN, "state": "announced"}}, "up", ""),
        ({"health": "up", "downtime": {**DOWN, "state": "draining"}}, "draining", COMES),
        ({"health": "up", "downtime": {**DOWN, "state": "begun"}}, "downtime", HOLDS),
        ({"health": "up", "draining": True, "downtime": {**DOWN, "state": "announced"}}, "draining", ""),
        ({"health": "up", "cordoned": True, "downtime": {**DOWN, "state": "begun"}}, "downtime", HOLDS),
        (
            {"health": "away", "message": "timeout", "downtime": {**DOWN, "state": "draining"}},
            "away",
            f"timeout; {COMES}",
        ),
        (
            {"health": "lost", "message": "timeout", "downtime": {**DOWN, "state": "begun"}},
            "downtime",
            f"timeout; {HOLDS}",
        ),
    ],
)
@pytest.mark.usefixtures("utc")
def test_a_cluster_in_a_downtime_is_neither_up_nor_lost(cluster: dict[str, object], status: str, message: str) -> None:
    """That one does not answer in a downtime is no news; and until it is drained, that it has one is none."""
    assert (health(cluster), news(cluster)) == (status, message)
