"""Karmada's division cases, planned by us.

``karmada_division_cases.yaml`` (source named there) has inputs and outputs of Karmada's scheduler. The cases that our
rules cover are planned; the others are listed, with the reason, in ``NOT_COVERED``, and explained in
``docs/decisions/karmada-differences.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from federator.engine.division import divide
from federator.engine.planner import plan
from federator.model.cluster import Cluster
from federator.model.policy import Bounds, Policy, Tier
from tests.engine.build import amounts, flavor, placed, snapshot, workload

SECTIONS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "karmada_division_cases.yaml").read_text())

PREVIOUS = "has a previous placement: Karmada divides only the difference, or by the old shares"
AGGREGATED = "aggregated: as few clusters as hold it; we would write that as tiers of one cluster each"
DUPLICATED = "duplicated: every cluster gets all replicas; that is as many workloads"
SPREAD = "spread constraints choose clusters by a score before dividing; we have tiers, labels and bounds for that"
HASH = "the tie goes by a hash of the binding's UID, ours by name"
NOT_COVERED = {
    "dynamic_and_aggregated-01": PREVIOUS,
    "dynamic_and_aggregated-03": PREVIOUS,
    "dynamic_and_aggregated-05": PREVIOUS,
    "dynamic_and_aggregated-07": PREVIOUS,
    "dynamic_and_aggregated-09": PREVIOUS,
    "dynamic_and_aggregated-13": AGGREGATED,
    "dynamic_and_aggregated-15": AGGREGATED,
    "dynamic_and_aggregated-21": AGGREGATED,
    "duplicated-01": DUPLICATED,
    "duplicated-03": DUPLICATED,
}
BY_SECTION = {
    "spread_constraint_by_cluster": SPREAD,
    "spread_constraint_by_region": SPREAD,
    "group_score": SPREAD,
    "select_groups": SPREAD,
}
COVERED = (
    "webster",
    "dispenser_by_weight",
    "spread_by_target_clusters",
    "static_weight",
    "dynamic_and_aggregated",
    "overflow_tiers",
)


def cases(section: str) -> Any:
    """The cases of a section that we cover, for parametrize."""
    chosen = [case for case in SECTIONS[section]["cases"] if case["id"] not in NOT_COVERED]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


def shares(total: int, weights: dict[str, int], given: dict[str, int]) -> dict[str, int]:
    """Our division of ``total`` more, by name."""
    names = sorted({*weights, *given})
    start = np.array([given.get(name, 0) for name in names], dtype=np.int64)
    by_weight = np.array([weights.get(name, 0) for name in names], dtype=np.int64)
    nothing, many = np.zeros_like(start), np.full_like(start, 2**40)
    result = divide(total + int(start.sum()), by_weight, start, nothing, many)
    return dict(zip(names, result.tolist(), strict=True))


@cases("webster")
def test_webster(case: dict[str, Any]) -> None:
    assert shares(case["new_seats"], case["votes"], case.get("initial", {})) == case["expect"]


@cases("dispenser_by_weight")
def test_dispenser_by_weight(case: dict[str, Any]) -> None:
    ours = shares(case["new_replicas"], case["weights"], case["initial"])
    if case["id"] == "dispenser_by_weight-09":
        assert (sorted(ours.values()), HASH) == (sorted(case["expect"].values()), HASH)
    else:
        assert ours == case["expect"]


@cases("spread_by_target_clusters")
def test_spread_by_target_clusters(case: dict[str, Any]) -> None:
    assert shares(case["total"], case["weights"], {}) in case["expect_any_of"]


def places(name: str, count: int) -> Cluster:
    """A cluster of so many places for one replica each."""
    return Cluster(name, flavors=(flavor("places", count, amounts(cpu=1)),))


@cases("static_weight")
def test_static_weight(case: dict[str, Any]) -> None:
    """Several rules for one cluster: the largest weight counts, which here the document's author writes down."""
    weights: dict[str, int] = {}
    for rule in case["rules"]:
        for name in rule["clusters"]:
            weights[name] = max(weights.get(name, 0), rule["weight"])
    policy = Policy("p", bounds={name: Bounds(weight=weight) for name, weight in weights.items()})
    made = plan(
        snapshot([Cluster(name) for name in case["candidates"]], [workload("w", case["replicas"])], policies=(policy,))
    )
    assert {name: placed(made, "w").get(name, 0) for name in case["candidates"]} == case["expect"]


@cases("dynamic_and_aggregated")
def test_dynamic_weight(case: dict[str, Any]) -> None:
    members = [places(name, count) for name, count in case["allocatable"].items()]
    assert placed(plan(snapshot(members, [workload("w", case["replicas"])])), "w") == case["expect"]


@cases("overflow_tiers")
def test_overflow_tiers(case: dict[str, Any]) -> None:
    members = [places(name, room["available"]) for tier in case["tiers"] for name, room in tier.items()]
    tiers = tuple(Tier(f"t{at}", tuple(tier)) for at, tier in enumerate(case["tiers"]))
    made = plan(snapshot(members, [workload("w", case["replicas"])], policies=(Policy("p", tiers=tiers),)))
    if case["expect"] == "unschedulable":  # Karmada places nothing; we place what fits and refuse the rest
        assert sum(placed(made, "w").values()) == sum(member.allocatable["cpu"] // 1000 for member in members)
        assert made.refusals[0].replicas == case["replicas"] - sum(placed(made, "w").values())
    else:
        assert placed(made, "w") == case["expect"]


def test_every_case_is_planned_or_has_a_reason() -> None:
    for section, content in SECTIONS.items():
        if isinstance(content, dict) and "cases" in content:
            assert (section in COVERED) != (section in BY_SECTION) or section == "duplicated", section
    ids = {
        case["id"] for content in SECTIONS.values() if isinstance(content, dict) for case in content.get("cases", ())
    }
    assert set(NOT_COVERED) <= ids
