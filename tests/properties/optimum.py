"""Small federations, and the best that can be done for each workload: all ways are counted out.

Nothing here uses the engine. Each cluster is one node, so what fits is a matter of sums. The oracle knows no rule of
division: of all legal ways it wants the one that fills tiers in their order and then is closest to the weights, which
is the least sum of replicas squared over weight (what Sainte-Laguë's rule minimises).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from random import Random

from hypothesis import strategies as st

from federator.model.plan import Plan, Snapshot
from federator.model.policy import FULL_PPM, Bounds, Policy, Tier
from federator.model.resources import Resources
from federator.model.workload import Gang, Workload
from tests.engine.build import cluster, placed, snapshot, workload

NAMES = ("a", "b", "c", "d")
Way = Mapping[str, int]
"""Replicas by cluster."""


@st.composite
def small(draw: st.DrawFn, gangs: bool = False) -> Snapshot:
    """Two to four clusters, one to four workloads that ask for about as much as there is, one policy.

    Drawn from a seed, because small examples compete for nothing. Where tiers have a fillTo there are no minima.
    """
    random = Random(draw(st.integers(0, 2**32)))
    names = NAMES[: random.randint(2, 4)]
    members = [cluster(name, 1, random.randint(2, 7), random.choice((4, 8, 64))) for name in names]
    fill_to = random.choice((FULL_PPM, FULL_PPM, 500_000, 700_000))
    tiers = []
    for number, part in enumerate(_parts(random, names)):
        weights = {name: random.randint(0, 3) for name in part} if random.random() < 0.6 else None
        tiers.append(Tier(f"t{number}", part, weights=weights, fill_to_ppm=fill_to))
    bounds = {}
    for name in names:
        low = random.choice((0, 0, 1, 2)) if fill_to == FULL_PPM else 0
        bounds[name] = Bounds(low, random.choice((None, None, 2, 3)))
    served = [
        workload(
            f"w{number}",
            random.randint(1, 6),
            random.randint(1, 3),
            random.choice((0, 0, 1, 2)),
            min_replicas=random.choice((1, 1, 1, 2)),
            gang=Gang() if gangs and random.random() < 0.5 else None,
            priority=random.randint(0, 1),
            submitted_at_s=float(random.randint(0, 2)),
        )
        for number in range(random.randint(1, 4))
    ]
    served = [replace(one, min_replicas=min(one.min_replicas, one.replicas)) for one in served]
    return snapshot(members, served, policies=(Policy("p", tiers=tuple(tiers), bounds=bounds),))


def _parts(random: Random, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    cut = random.randint(1, len(names))
    yield names[:cut]
    if cut < len(names):
        yield names[cut:]


@dataclass(frozen=True, order=True)
class Worth:
    """What a way is worth to a workload: what comes first counts first, and more of it is better."""

    tiers: tuple[int, ...]
    """By tier the replicas up to its fillTo, then all of them."""
    minima: tuple[int, ...]
    """By tier the replicas that are missing of its minima, negative."""
    closeness: Fraction
    """The sum of replicas squared over weight, negative; 0 where minima are missing."""


class Desk:
    """A federation whose workloads are looked at in the order of service, each beside what those before it have."""

    def __init__(self, federation: Snapshot) -> None:
        self.federation = federation
        self.policy = federation.policies[0]
        self.free = {one.name: one.allocatable for one in federation.clusters}
        self.order = sorted(federation.workloads, key=lambda one: (-one.priority, one.submitted_at_s, one.name))

    def take(self, workload: Workload, way: Way) -> None:
        """It has these places from now on."""
        for name, count in way.items():
            self.free[name] = self.free[name] - workload.roles[0].requests * count

    def room(self, workload: Workload, name: str) -> int:
        """How many replicas the cluster could hold."""
        asked, free = workload.roles[0].requests, self.free[name]
        fits = min((free[resource] // amount for resource, amount in asked.items_ if amount), default=workload.replicas)
        most = self.policy.bounds[name].maximum
        return min(fits, workload.replicas, workload.replicas if most is None else most)

    def weight(self, workload: Workload, tier: Tier, name: str) -> int:
        """The weight of a cluster: what the tier says, else its room."""
        if tier.weights is not None:
            return tier.weights[name]
        asked, free = workload.roles[0].requests, self.free[name]
        return min(free[resource] // amount for resource, amount in asked.items_ if amount)

    def ways(self, workload: Workload) -> Iterator[Way]:
        """All legal ways to place a workload that starts one by one."""
        names = [name for tier in self.policy.tiers for name in tier.clusters]
        tops = []
        for tier in self.policy.tiers:
            for name in tier.clusters:
                top = self.room(workload, name)
                weightless = self.weight(workload, tier, name) == 0
                tops.append(min(top, self.policy.bounds[name].minimum) if weightless else top)
        for counts in product(*(range(top + 1) for top in tops)):
            if sum(counts) == 0 or workload.min_replicas <= sum(counts) <= workload.replicas:
                yield dict(zip(names, counts, strict=True))

    def worth(self, workload: Workload, way: Way) -> Worth:
        """The value of a legal way."""
        first, whole, missing, far = [], [], [], Fraction(0)
        for tier in self.policy.tiers:
            here = sum(way[name] for name in tier.clusters)
            first.append(min(here, self.below_fill(workload, tier)))
            whole.append(here)
            lacks = 0
            for name in tier.clusters:
                low = min(self.policy.bounds[name].minimum, self.room(workload, name))
                weight = self.weight(workload, tier, name)
                lacks += max(0, low - way[name])
                far += Fraction(way[name] ** 2, weight) if weight else 0
            missing.append(-lacks)
        return Worth((*first, *whole), tuple(missing), Fraction(0) if any(missing) else -far)

    def below_fill(self, workload: Workload, tier: Tier) -> int:
        """How many replicas the tier takes until its fill is no longer below fillTo."""
        whole, free = Resources(), Resources()
        for one in self.federation.clusters:
            if one.name in tier.clusters:
                whole, free = whole + one.allocatable, free + self.free[one.name]
        asked = workload.roles[0].requests
        shares = [(-Fraction(amount, whole[name]), name) for name, amount in asked.items_ if amount]
        name = min(shares)[1]
        lacks = Fraction(tier.fill_to_ppm * whole[name], FULL_PPM) - (whole[name] - free[name])
        return max(0, -(-lacks // asked[name])) if tier.fill_to_ppm < FULL_PPM else workload.replicas

    def best(self, workload: Workload) -> Worth:
        """The worth of the best of all ways."""
        return max(self.worth(workload, way) for way in self.ways(workload))


def worse_than_best(federation: Snapshot, made: Plan) -> list[str]:
    """The workloads that are not where they would be best, each beside what those before it have in this plan."""
    desk, found = Desk(federation), []
    for one in desk.order:
        way = dict.fromkeys((name for tier in desk.policy.tiers for name in tier.clusters), 0) | placed(made, one.name)
        if way not in list(desk.ways(one)):
            found.append(f"{one.name}: {way} is not legal")
        elif desk.worth(one, way) != desk.best(one):
            found.append(f"{one.name}: {way} is worth {desk.worth(one, way)}, the best is {desk.best(one)}")
        desk.take(one, way)
    return found


def still_fits(federation: Snapshot, made: Plan) -> list[str]:
    """What is refused though what the whole plan leaves would hold it: one replica more, or what must start at once."""
    desk = Desk(federation)
    for one in desk.order:
        desk.take(one, placed(made, one.name))
    refused = Counter({one.workload: one.replicas for one in made.refusals})
    found = []
    for one in desk.order:
        if not refused[one.name]:
            continue
        has, fits = placed(made, one.name), {}
        for tier in desk.policy.tiers:
            for name in tier.clusters:
                bounds, here = desk.policy.bounds[name], has.get(name, 0)
                most = one.replicas if bounds.maximum is None else bounds.maximum
                weightless = tier.weights is not None and tier.weights[name] == 0
                most = min(most, bounds.minimum if one.gang is None else 0) if weightless else most
                asked = one.roles[0].requests
                free = min(desk.free[name][resource] // amount for resource, amount in asked.items_ if amount)
                fits[name] = max(0, min(free, most - here))
        needed = one.replicas if one.gang is not None else 1 if has else one.min_replicas
        most = max(fits.values()) if one.gang is not None else sum(fits.values())
        if most >= needed:
            found.append(f"{one.name}: {needed} more would fit: {fits}")
    return found
