"""What a run is judged by, kept up as it goes: use, cost and carbon by cluster, and what became of each workload."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from math import inf
from typing import NamedTuple

from federator.documents.quantities import natural_amount, price_unit
from federator.model.cluster import Cluster, Flavor
from federator.model.intent import PREEMPTED
from federator.model.resources import CPU, Resources
from federator.model.workload import Role, Workload
from federator.simulator.history import History

HOUR_S = 3600.0
Place = tuple[str, str]
"""A filler's workload, and a cluster."""
AT_ONCE = 4096
MOST_RATES = 10_000


@dataclass(slots=True, eq=False)
class Told:
    """What became of one workload. ``runs_s``: how long each of its replicas takes; None: not yet."""

    name: str
    queue: str
    replicas: int
    submitted_s: float
    runs_s: float
    started_s: float | None = None
    ended_s: float | None = None
    failed: bool = False
    stood: bool = False
    """Whether it ran already when the run began: then its waits and slowdowns are not of this run."""

    @property
    def wait_s(self) -> float:
        """From its submission to its first start; to be asked of what has started."""
        assert self.started_s is not None
        return self.started_s - self.submitted_s

    @property
    def slowdown(self) -> float:
        """The bounded slowdown: how many times as long it took as it would have taken alone, at least 10 s."""
        assert self.ended_s is not None
        return max(1.0, (self.ended_s - self.submitted_s) / max(self.runs_s, 10.0))


class Rate(NamedTuple):
    """What alike replicas use as long as they run."""

    amounts: tuple[tuple[str, int, float], ...]
    """By resource how much, in the units of ``Resources``, and what that costs for each hour."""
    millicores: int
    cores: float
    kilowatts: float
    micro_per_h: float
    """What all of it costs for each hour."""


Ran = tuple[Rate, str, float, float]
"""What ran on nodes of one flavor: at which rate, of which queue, from when to when."""


def _rate(cluster: Cluster, flavor: Flavor, requests: Resources, replicas: int) -> Rate:
    amounts, millicores, cores, watts, costs = [], 0, 0.0, 0.0, 0.0
    for name, amount in requests.items_:
        natural = natural_amount(name, amount) * replicas
        micro = flavor.price.get(name, cluster.price.get(name, 0.0))
        amounts.append((name, amount * replicas, micro / 1e6 * natural))
        costs += micro / 1e6 * natural
        watts += cluster.power_w.get(name, 0.0) * natural / price_unit(name)
        if name == CPU:
            millicores, cores = amount * replicas, natural
    return Rate(tuple(amounts), millicores, cores, watts / 1000, costs)


class Measures:
    """The sums of one run."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self.workloads: list[Told] = []
        self.use: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        """Core-seconds, byte-seconds ... by cluster and resource, in the units of ``Resources``."""
        self.cost: defaultdict[str, float] = defaultdict(float)
        self.carbon_g: defaultdict[str, float] = defaultdict(float)
        self.first_s: dict[str, float] = {}
        """When each cluster was first used."""
        self.lost_s: defaultdict[str, float] = defaultdict(float)
        """Core-seconds of replicas that were stopped before their end, by cluster."""
        self.backfill_useful_s: defaultdict[Place, float] = defaultdict(float)
        self.backfill_lost_s: defaultdict[Place, float] = defaultdict(float)
        """Core-seconds of backfill, by filler and cluster; what was saved in a checkpoint is useful."""
        self.evicted: defaultdict[Place, Counter[str]] = defaultdict(Counter)
        """Replicas of backfill that ended before their time, by filler and cluster, and by cause."""
        self.moves = self.preemptions = 0
        self._history = History()
        self._noted: list[tuple[str, str, str, float, float, float, float, float]] = []
        """What is not in the history yet; many go there at once."""
        self.transferred_bytes = 0
        self.nodes_lost = 0
        """How often a node broke."""
        self.leases_void = 0
        """Replicas that were away for so long that they were placed again."""
        self._clusters = clusters
        self._rates: dict[tuple[object, ...], Rate] = {}
        self._grown: list[tuple[str, Flavor, int, float]] = []

    def used(
        self, cluster: Cluster, workload: Workload, role: Role, places: Iterable[tuple[Flavor, int]],
        starts_s: float, ends_s: float, lost_s: float = 0.0,
    ) -> None:  # fmt: skip
        """Replicas have run on nodes of these flavors; the last so many seconds of it were lost.

        What they did before the run began does not count.
        """
        starts_s = max(0.0, starts_s)
        lasted_s = max(0.0, ends_s - starts_s)
        lost_s = min(lost_s, lasted_s)
        cores = cost_per_h = carbon_per_h = 0.0
        name = cluster.name
        if starts_s < self.first_s.get(name, inf):
            self.first_s[name] = starts_s
        for flavor, replicas in places:
            rate = self.rate(cluster, flavor, role.requests, replicas)
            self._add(cluster, rate, lasted_s)
            if lost_s and rate.millicores:
                self.lost_s[name] += rate.millicores * lost_s / 1000
            if workload.backfill and rate.millicores:
                place = workload.name, name
                self.backfill_lost_s[place] += rate.millicores * lost_s / 1000
                self.backfill_useful_s[place] += rate.millicores * (lasted_s - lost_s) / 1000
            cores += rate.cores
            cost_per_h += rate.micro_per_h
            carbon_per_h += rate.kilowatts * cluster.carbon_g_per_kwh
        kept_s, queue = ends_s - lost_s, workload.queue
        if kept_s > starts_s:
            kind = "backfill" if workload.backfill else "production"
            self._noted.append((kind, name, queue, starts_s, kept_s, cores, cost_per_h, carbon_per_h))
        if ends_s > kept_s:
            kind = "backfill lost" if workload.backfill else "lost"
            self._noted.append((kind, name, queue, kept_s, ends_s, cores, cost_per_h, carbon_per_h))
        if len(self._noted) >= AT_ONCE:
            self._fold()

    def ran(self, cluster: Cluster, those: Sequence[Ran]) -> None:
        """As ``used``, of production that lost nothing."""
        name, first_s = cluster.name, self.first_s.get(cluster.name, inf)
        for rate, queue, starts_s, ends_s in those:
            self._add(cluster, rate, ends_s - starts_s)
            first_s = min(first_s, starts_s)
            if ends_s > starts_s:
                carbon_per_h = rate.kilowatts * cluster.carbon_g_per_kwh
                self._noted.append(
                    ("production", name, queue, starts_s, ends_s, rate.cores, rate.micro_per_h, carbon_per_h)
                )
        if those:
            self.first_s[name] = first_s
        if len(self._noted) >= AT_ONCE:
            self._fold()

    def _add(self, cluster: Cluster, rate: Rate, lasted_s: float) -> None:
        name = cluster.name
        use = self.use[name]
        for resource, amount, micro_per_h in rate.amounts:
            use[resource] += amount * lasted_s
            if micro_per_h:
                self.cost[name] += micro_per_h * lasted_s / HOUR_S
        if rate.kilowatts:
            self.carbon_g[name] += rate.kilowatts * lasted_s / HOUR_S * cluster.carbon_g_per_kwh

    def rate(self, cluster: Cluster, flavor: Flavor, requests: Resources, replicas: int) -> Rate:
        """What so many replicas on nodes of a flavor use."""
        key = cluster.name, flavor.name, requests.items_, replicas
        rate = self._rates.get(key)
        if rate is None:
            if len(self._rates) >= MOST_RATES:
                self._rates.clear()
            rate = self._rates[key] = _rate(cluster, flavor, requests, replicas)
        return rate

    @property
    def history(self) -> History:
        """Cores by cluster (kinds ``production``, ``lost``, ``backfill``, ``backfill lost``) and ``queue``; ``cost``
        and ``carbon_g`` for each hour, by cluster; ``nodes`` that were added, in cores; ``moves``, ``preemptions``,
        and ``evictions`` by cause."""
        self._fold()
        return self._history

    def _fold(self) -> None:
        if not self._noted:
            return
        kinds, clusters, queues, starts_s, ends_s, cores, cost, carbon = zip(*self._noted, strict=True)
        self._noted = []
        keys = list(zip(kinds, clusters, strict=True))
        self._history.lasted(keys, starts_s, ends_s, cores)
        for kind, names, amounts in (
            ("queue", queues, cores),
            ("cost", clusters, cost),
            ("carbon_g", clusters, carbon),
        ):
            if any(amounts):
                self._history.lasted(list(zip(repeat(kind), names)), starts_s, ends_s, amounts)

    def moved(self, replicas: int, at_s: float) -> None:
        """Policies have moved so many replicas."""
        self.moves += replicas
        if replicas:
            self._history.changed("moves", "", at_s, replicas)

    def preempted(self, replicas: int, at_s: float) -> None:
        """So many replicas gave way to others."""
        self.preemptions += replicas
        if replicas:
            self._history.changed("preemptions", "", at_s, replicas)

    def evict(self, cluster: str, filler: str, cause: str, replicas: int, at_s: float) -> None:
        """So many replicas of a filler were ended before their time."""
        if replicas:
            self.evicted[filler, cluster][cause] += replicas
            self._history.changed("evictions", cause, at_s, replicas)

    @property
    def evictions(self) -> int:
        """Replicas of backfill that clusters ended because others needed their room."""
        return sum(causes[PREEMPTED] for causes in self.evicted.values())

    def grown(self, cluster: Cluster, flavor: str, at_s: float, nodes: int = 1) -> None:
        """Nodes of a flavor have been added, or are back; below zero: they are gone, or broken."""
        found = next(one for one in cluster.flavors or () if one.name == flavor)
        self._grown.append((cluster.name, found, nodes, at_s))
        self._history.changed("nodes", cluster.name, at_s, nodes * found.allocatable[CPU] / 1000)

    def utilization(self, lasted_s: float) -> dict[str, dict[str, float]]:
        """Of what the nodes of each cluster offered in that time, the part that was used; by cluster and resource."""
        found: dict[str, dict[str, float]] = {}
        for cluster in self._clusters:
            offered: defaultdict[str, float] = defaultdict(float)
            added = [(f, nodes, lasted_s - at_s) for name, f, nodes, at_s in self._grown if name == cluster.name]
            for flavor, count, seconds in [*((f, f.count, lasted_s) for f in cluster.flavors or ()), *added]:
                for name, amount in flavor.allocatable.items_:
                    offered[name] += amount * count * seconds
            used = self.use[cluster.name]
            found[cluster.name] = {
                name: used[name] / whole if whole else 0.0 for name, whole in sorted(offered.items())
            }
        return found
