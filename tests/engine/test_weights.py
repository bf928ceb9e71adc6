"""Expressions that weigh clusters are asked as seldom as what they read allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from federator.documents.expressions import Expression
from federator.engine.planner import plan
from federator.model.policy import Policy, Tier
from tests.engine.build import cluster, placed, snapshot, workload

MEMBERS = [cluster(f"c{at}", nodes=50, labels={"share": str(at + 1)}) for at in range(5)]
SERVED = [workload(f"w{at}", 30 + at % 3, cpu=0.001 * (1 + at % 7), priority=at % 2) for at in range(40)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each expression is evaluated."""
    counts: Counter[str] = Counter()
    number = Expression.number

    def counted(self: Expression, values: Mapping[str, object]) -> tuple[int | None, str]:
        counts[self.source] += 1
        return number(self, values)

    monkeypatch.setattr(Expression, "number", counted)
    return counts


def weighed(expression: str) -> dict[str, int]:
    made = plan(snapshot(MEMBERS, SERVED, policies=[Policy("p", tiers=(Tier("t", weight_by=expression),))]))
    assert not made.refusals
    return placed(made, "w0")


def test_what_reads_only_the_cluster_is_asked_once_for_each_cluster(asked: Counter[str]) -> None:
    assert weighed("int(cluster.labels.share)") == {"c0": 2, "c1": 4, "c2": 6, "c3": 8, "c4": 10}
    assert asked == {"int(cluster.labels.share)": 5}


def test_what_reads_only_the_workload_is_asked_once_for_each_kind_of_workload(asked: Counter[str]) -> None:
    assert set(weighed("workload.priority + 1").values()) == {6}
    assert asked["workload.priority + 1"] == len({(w.roles[0].requests, w.replicas, w.priority) for w in SERVED})


def test_what_reads_both_is_asked_for_each_pair_of_cluster_and_kind(asked: Counter[str]) -> None:
    both = "int(cluster.labels.share) * workload.priority + 1"
    weighed(both)
    assert asked[both] == 5 * len({(w.roles[0].requests, w.replicas, w.priority) for w in SERVED})


def test_what_reads_nothing_is_asked_once(asked: Counter[str]) -> None:
    assert set(weighed("1 + 1").values()) == {6}
    assert asked["1 + 1"] == 1
