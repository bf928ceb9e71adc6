"""Compiles the planner's loops before anybody waits for them: ``python -m federator.engine.warm``.

It plans a small federation in which every compiled loop is needed. Without it the first plan after an installation
takes half a minute longer.
"""

from __future__ import annotations

from dataclasses import replace

from federator.engine.planner import plan
from federator.model.cluster import Binding, Cluster, Flavor, NodeGroup
from federator.model.plan import Holding, Plan, Snapshot
from federator.model.policy import Match, Planning, Policy, Tier
from federator.model.resources import Resources
from federator.model.workload import Role, Workload


def warm() -> Plan:
    """Plan with reservations and foresight, with nobody first, and with neither; what is not compiled yet is then."""
    node = Resources.of({"cpu": 4000})
    clusters = tuple(
        Cluster(habit.value, binding=habit, flavors=(Flavor("f", 4, node, (NodeGroup(node, 4),)),)) for habit in Binding
    )
    core = Resources.of({"cpu": 1000})
    wanted = {"grows": (90, core), "shrinks": (1, core), "large": (1, core * 9), "light": (3, Resources())}
    workloads = tuple(Workload(name, (Role("", count, each),)) for name, (count, each) in wanted.items())
    held = (Holding("shrinks", "", "pack", 3), Holding("large", "", "spread", 1, unbound=1))
    planning = Planning(backfilling="conservative")
    ahead = Policy("ahead", match=Match(workload="grows"), tiers=(Tier("all", weight_by="foresight"),))
    snapshot = Snapshot(clusters=clusters, workloads=workloads, holdings=held, policies=(ahead,), planning=planning)
    plan(snapshot)
    plan(replace(snapshot, planning=Planning(order="fit")))
    return plan(replace(snapshot, policies=(), planning=Planning()))


if __name__ == "__main__":
    warm()
