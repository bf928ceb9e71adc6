"""Which policy governs a workload, and what that policy means for the clusters there are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from federator.documents.expressions import workload_variables
from federator.engine.arrays import Array
from federator.engine.constraints import Constraints, condition, likeness
from federator.engine.division import WEIGHT_MAX
from federator.model.cluster import Cluster, Health
from federator.model.plan import shape_key
from federator.model.policy import DEFAULT_POLICY, Bounds, Policy, Tier
from federator.model.workload import Workload

NO_TIER = -1
NO_MAXIMUM = 2**40
BY_RULE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A policy laid out over the clusters, all arrays by cluster.

    ``tier`` is the place of the first tier that has the cluster (``NO_TIER``: none has), ``members`` the clusters of
    each tier. ``weights`` are those written down for the cluster, ``BY_RULE`` where its tier is divided by a rule.
    ``awaited`` are the places of tiers for which a later one waits (``openAfter``) until they have been full for long.
    """

    policy: Policy
    tier: Array
    members: tuple[Array, ...]
    minima: Array
    maxima: Array
    weights: Array
    awaited: range

    @property
    def tiers(self) -> Sequence[Tier]:
        """The policy's tiers."""
        return self.policy.tiers

    def clocks(self, workload: Workload, full: Iterable[int]) -> Iterator[tuple[str, str, str]]:
        """The clocks that run for the workload where these tiers (by place) are full for it."""
        for place in full if self.awaited else ():
            if place in self.awaited:
                yield self.policy.name, self.policy.tiers[place].name, shape_key(workload)


class Governing:
    """The policies of a snapshot, each laid out once."""

    def __init__(self, policies: Sequence[Policy], clusters: Sequence[Cluster], constraints: Constraints) -> None:
        self._policies = sorted(policies, key=lambda policy: (policy.order, policy.name))
        self._clusters = clusters
        self._constraints = constraints
        self._rules: dict[tuple[int, Hashable], Rule] = {}
        self._answers: dict[tuple[str, Hashable], bool] = {}
        self._by_queue: dict[str, list[Policy]] = {}
        self._alike: dict[str, Rule] = {}
        """The rules of queues all of whose workloads have the same, whatever they are."""

    def rule(self, workload: Workload) -> Rule:
        """The first policy by order, then name, whose match holds; the default where none does."""
        alike = self._alike.get(workload.queue)
        if alike is not None:
            return alike
        candidates = self._by_queue.get(workload.queue)
        if candidates is None:
            candidates = [policy for policy in self._policies if _serves(policy, workload.queue)]
            self._by_queue[workload.queue] = candidates
        policy = next((policy for policy in candidates if self._matches(policy, workload)), DEFAULT_POLICY)
        key = (id(policy), likeness(workload, *(tier.constraint.where for tier in policy.tiers)))
        if key not in self._rules:
            self._rules[key] = self._lay_out(policy, workload)
        match = candidates[0].match if candidates else policy.match
        if key[1] is None and match.workload is None and not match.selector.requirements and not match.where:
            self._alike[workload.queue] = self._rules[key]
        return self._rules[key]

    def ungoverned(self, workload: Workload) -> Rule:
        """The rule of what no policy governs."""
        key = (id(DEFAULT_POLICY), None)
        if key not in self._rules:
            self._rules[key] = self._lay_out(DEFAULT_POLICY, workload)
        return self._rules[key]

    def _matches(self, policy: Policy, workload: Workload) -> bool:
        match = policy.match
        if match.workload is not None and match.workload != workload.name:
            return False
        if not match.selector.matches(workload.labels):
            return False
        if not match.where:
            return True
        key = (match.where, likeness(workload, match.where))
        if key not in self._answers:
            self._answers[key] = condition(match.where).holds(workload_variables(workload))[0]
        return self._answers[key]

    def _lay_out(self, policy: Policy, workload: Workload) -> Rule:
        tier = np.full(len(self._clusters), NO_TIER, dtype=np.int64)
        for place in range(len(policy.tiers) - 1, -1, -1):  # the first tier that has a cluster keeps it
            tier[self._in_tier(policy.tiers[place], workload)] = place
        bounds = [policy.bounds.get(c.name, policy.bounds.get("*", Bounds())) for c in self._clusters]
        members = tuple(np.flatnonzero(tier == place) for place in range(len(policy.tiers)))
        weights = np.array([BY_RULE if b.weight is None else b.weight for b in bounds], dtype=np.int64)
        for place, of_tier in enumerate(members):
            weights[of_tier] = self._written(policy.tiers[place], of_tier, weights[of_tier])
        return Rule(
            policy=policy,
            tier=tier,
            members=members,
            minima=np.array([b.minimum for b in bounds], dtype=np.int64),
            maxima=self._maxima(bounds),
            weights=np.minimum(weights, WEIGHT_MAX),
            awaited=range(max((place for place, one in enumerate(policy.tiers) if one.open_after_s), default=0)),
        )

    def _maxima(self, bounds: Sequence[Bounds]) -> Array:
        """Of a cluster whose draining is over its deadline nothing may be left, as far as it can be told."""
        maxima = np.array([NO_MAXIMUM if b.maximum is None else b.maximum for b in bounds], dtype=np.int64)
        maxima[[c.vacated and c.health is Health.UP for c in self._clusters]] = 0
        return maxima

    def _written(self, tier: Tier, at: Array, bounds: Array) -> Array:
        """The tier's own weights, else its clusters' bounds; where any is written, the others weigh 0."""
        if tier.weights is None:
            return np.maximum(bounds, 0) if (bounds != BY_RULE).any() else bounds
        others = tier.weights.get("*", 0)
        return np.array([tier.weights.get(self._clusters[one].name, others) for one in at], dtype=np.int64)

    def _in_tier(self, tier: Tier, workload: Workload) -> list[int]:
        """The places of the clusters that the tier names, or that its constraint lets in."""
        if not tier.clusters:
            found: list[int] = self._constraints.on_clusters(tier.constraint, workload).holds.nonzero()[0].tolist()
            return found
        names = frozenset(tier.clusters)
        globs = [pattern for pattern in tier.clusters if any(sign in pattern for sign in "*?[")]
        return [
            at
            for at, cluster in enumerate(self._clusters)
            if cluster.name in names or any(fnmatchcase(cluster.name, pattern) for pattern in globs)
        ]


def _serves(policy: Policy, queue: str) -> bool:
    queues = policy.match.queues
    return not queues or any(fnmatchcase(queue, pattern) for pattern in queues)
