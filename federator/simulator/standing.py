"""What runs when a story begins: where its replicas sit, and as what the run knows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from federator.clusters.binder import Pool
from federator.model.cluster import Flavor
from federator.model.plan import Holding, Snapshot
from federator.model.resources import Resources
from federator.model.selectors import Toleration
from federator.simulator.story import Arrival, Standing


def begun(whole: Snapshot) -> tuple[tuple[Standing, ...], tuple[Arrival, ...]]:
    """The workloads of a snapshot that run, and those that only wait: they arrive at the beginning, in their order."""
    held: defaultdict[str, list[Holding]] = defaultdict(list)
    for holding in whole.holdings:
        held[holding.workload].append(holding)
    standing, waiting = [], []
    for workload in sorted(whole.workloads, key=lambda one: (one.submitted_at_s, one.name)):
        run_s = whole.planning.unknown_duration_s if workload.duration_s is None else workload.duration_s
        if workload.name in held:
            standing.append(Standing(workload, run_s, tuple(held[workload.name])))
        else:
            waiting.append(Arrival(0.0, workload, run_s))
    return tuple(standing), tuple(waiting)


def as_seen(pool: Pool, flavors: Sequence[Flavor]) -> None:
    """Let nodes have free what was seen of them; a node of which nothing was said has nothing."""
    for flavor in flavors:
        free = [group.free for group in flavor.nodes for _ in range(group.count)]
        for at in range(flavor.count):
            amounts = free[at] if at < len(free) else Resources()
            name = f"{flavor.name}-{at}"
            pool.set_free(name, {resource: amounts[resource] for resource in pool.nodes[name].free})


class UsedRoom:
    """The room of a cluster's nodes that is not free: there sit the replicas that run, and what others use."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._taken = {
            name: {resource: node.flavor.allocatable[resource] - free for resource, free in node.free.items()}
            for name, node in pool.nodes.items()
        }

    def seat(
        self, requests: Resources, count: int, flavors: Sequence[str], tolerations: Sequence[Toleration]
    ) -> list[str]:
        """Nodes on which so many such replicas may sit, alike ones together; fewer where there is no such room."""
        open_to_it = {flavor.name for flavor in self._pool.open_flavors(flavors, tolerations)}
        found: list[str] = []
        for name, taken in self._taken.items():
            if len(found) >= count:
                break
            if self._pool.nodes[name].flavor.name not in open_to_it:
                continue
            fits = min((taken.get(resource, 0) // amount for resource, amount in requests.items_), default=count)
            seats = min(fits, count - len(found))
            for resource, amount in requests.items_ if seats > 0 else ():
                taken[resource] -= amount * seats
            found += [name] * max(0, seats)
        return found


def present(whole: Snapshot) -> Snapshot:
    """The federation of a snapshot without its workloads, at the beginning of a story."""
    return replace(whole, at_s=0.0, workloads=(), holdings=())
