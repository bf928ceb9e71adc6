"""Known answers for shares and preemption: Kueue's fair preemption and dominant shares, Armada's fair shares.

``fairness_cases.yaml`` holds inputs and outputs of their own tests (the source is named in each section).
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from federator.engine.parts import demand_capped, fair, uncapped
from federator.engine.quotas import Quotas
from federator.engine.shares import borrowed
from federator.engine.victims import Candidate, Cause, Rule, Taker, victims
from federator.model.policy import Queue
from federator.model.resources import Resources

SECTIONS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "fairness_cases.yaml").read_text())
CAUSES = {
    "InCohortReclamation": Cause.RECLAIM,
    "InCohortFairSharing": Cause.FAIR_SHARE,
    "InClusterQueue": Cause.LOWER_PRIORITY,
}
"""Kueue's words and ours."""


def cases(section: str) -> Any:
    """The cases of a section, for parametrize."""
    chosen = SECTIONS[section]["cases"]
    return pytest.mark.parametrize("case", chosen, ids=[case["id"] for case in chosen])


def cpus(amount: float) -> dict[str, int]:
    """Cores as millicores."""
    return {"cpu": round(amount * 1000)}


@cases("kueue_fair_preemption")
def test_who_gives_way(case: dict[str, Any]) -> None:
    """The queues are in one cohort; what is admitted was admitted at the same time."""
    queues = [
        Queue(name, weight=line["weight"], cohort="all", quota=Resources(tuple(cpus(line["nominal"]).items())))
        for name, line in case["queues"].items()
    ]
    quotas = Quotas.of(queues)
    running = [Candidate(w["name"], w["queue"], cpus(w["cpu"]), w["priority"]) for w in case["admitted"]]
    for one in running:
        quotas.take(one.queue, one.amounts)
    incoming = case["incoming"]
    taker = Taker("incoming", incoming["queue"], cpus(incoming["cpu"]), incoming["priority"])
    found = victims(quotas, taker, running, tuple(map(Rule, case["rules"])))
    expected = {name: CAUSES[reason] for name, reason in case["preempted"].items()}
    assert {victim.candidate.name: victim.cause for victim in found or ()} == expected
    assert found != (), "room was there without any preemption: the case shows nothing"


@cases("kueue_dominant_resource_share")
def test_dominant_share(case: dict[str, Any]) -> None:
    """The rest of what the cohort could lend is the quota of another queue. Kueue shows thousandths, rounded up."""
    rest = {name: amount - case["nominal"].get(name, 0) for name, amount in case["cohort_lendable"].items()}
    queues = [
        Queue("q", weight=case["weight"], cohort="all", quota=Resources.of(case["nominal"])),
        Queue("rest", cohort="all", quota=Resources.of(rest)),
    ]
    quotas = Quotas.of(queues, usage={"q": case["usage"]})
    share, dominant = borrowed(quotas, quotas.forest.queues["q"])
    assert (math.ceil(share * 1000), dominant) == (case["share"], case["dominant"])


@cases("armada_fair_shares")
def test_fair_shares(case: dict[str, Any]) -> None:
    """Where there is no capacity at all, every demand is taken to be the whole."""
    weights = {name: line["weight"] for name, line in case["queues"].items()}
    whole = case["capacity"]
    demands = {name: Fraction(line["demand"], whole) if whole else Fraction(1) for name, line in case["queues"].items()}
    ours = {
        "fair_share": fair(weights),
        "demand_capped_adjusted": demand_capped(weights, demands),
        "uncapped_adjusted": uncapped(weights, demands),
    }
    for which, parts in ours.items():
        assert {name: float(part) for name, part in parts.items()} == pytest.approx(case[which], abs=1e-6), which
