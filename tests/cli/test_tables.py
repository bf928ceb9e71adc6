"""What tables show of an object."""

from __future__ import annotations

from federator.cli.tables import order_of


def test_a_preference_comes_before_all_policies_whatever_number_stands_for_that() -> None:
    assert order_of({"order": -(2**31), "document": {"kind": "ReplicaSchedulingPreference"}}) == "first"
    assert order_of({"order": 10, "document": {"kind": "PlacementPolicy"}}) == 10
