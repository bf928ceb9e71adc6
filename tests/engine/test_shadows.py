"""What a policy in the shadow would change, counted by replicas."""

from __future__ import annotations

import pytest

from federator.engine.planner import plan
from federator.engine.shadows import shadow_difference
from federator.model.policy import Match, Policy, Tier
from tests.engine.build import cluster, placed, snapshot, workload

CERN, CLOUD = Tier("cern", ("cern",)), Tier("cloud", ("cloud",))


@pytest.mark.parametrize(
    ("policy", "differ"),
    [
        (Policy("same", 1, tiers=(CERN, CLOUD)), 0),
        (Policy("cloud-first", 1, tiers=(CLOUD, CERN)), 4),  # cern 6, cloud 2 becomes cloud 6, cern 2
        (Policy("cern-only", 1, tiers=(CERN,)), 2),  # two wait
        (Policy("others", 1, Match(queues=("others",)), tiers=(CLOUD,)), 0),
        (Policy("too-late", 2000, tiers=(CLOUD,)), 0),
    ],
)
def test_replicas_that_would_be_elsewhere_or_wait_are_counted_once(policy: Policy, differ: int) -> None:
    sites = [cluster("cern", cpu=6), cluster("cloud", cpu=6)]
    seen = snapshot(sites, [workload("reco", 8)], policies=[Policy("cern-first", tiers=(CERN, CLOUD))])
    made = plan(seen)
    assert placed(made, "reco") == {"cern": 6, "cloud": 2}
    assert shadow_difference(seen, made, policy) == differ


def test_what_would_not_wait_any_more_counts_too() -> None:
    seen = snapshot(
        [cluster("cern", cpu=6), cluster("cloud", cpu=6)],
        [workload("reco", 8)],
        policies=[Policy("p", 5, tiers=(CERN,))],
    )
    assert shadow_difference(seen, plan(seen), Policy("more", 1, tiers=(CERN, CLOUD))) == 2
