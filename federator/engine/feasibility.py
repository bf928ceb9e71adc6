"""Where a workload may run at all: the hard rules, each with its reason. How much fits there now is asked elsewhere.

Rules that waiting does not change come first, so that the reason a person reads is the one that matters most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from federator.documents.quantities import format_amount
from federator.engine.arrays import Array, Mask
from federator.engine.constraints import Answers, Constraints, flavor_requirement, likeness
from federator.engine.downtimes import announcement
from federator.engine.governing import NO_TIER, Rule
from federator.engine.lots import NO_NODES
from federator.engine.nodes import Nodes
from federator.engine.prices import Prices
from federator.engine.ranking import Ranking
from federator.engine.shapes import ALLOWED, Shape
from federator.engine.whole_cores import taken
from federator.model.cluster import Cluster, Flavor, Health
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Taint, Toleration
from federator.model.workload import Role, Workload

Verdicts = tuple[Verdict | None, ...]

NO_FLAVOR = ("",)
"""The flavors of a role that may use none: a name that no flavor has."""


def allowed_flavors(workload: Workload, role: Role, cluster: Cluster) -> tuple[str, ...]:
    """The names of the only flavors of the cluster that the role may use, sorted.

    Empty means any: every flavor is allowed, or the cluster's flavors are not known. Where none is allowed (the
    cluster has changed since it got the work) it is ``NO_FLAVOR``, so that the replica waits there for a node.
    """
    if not cluster.flavors:
        return ()
    names = sorted(flavor.name for flavor in cluster.flavors if flavor_verdict(workload, role, cluster, flavor) is None)
    if len(names) == len(cluster.flavors):
        return ()
    return tuple(names) or NO_FLAVOR


def flavor_verdict(workload: Workload, role: Role, cluster: Cluster, flavor: Flavor) -> Verdict | None:
    """Why the role may not use the flavor: its own constraint, or a taint. None if it may."""
    requirement = flavor_requirement(role.flavors, workload, cluster, flavor)
    if requirement is not None:
        return Verdict(Reason.NO_MATCHING_FLAVOR, {"requirement": requirement})
    taint = untolerated(flavor.taints, role.tolerations)
    return Verdict(Reason.TAINTED, {"taint": str(taint)}) if taint is not None else None


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> Taint | None:
    """The first taint that keeps such replicas off."""
    for taint in taints:
        if taint.effect != "PreferNoSchedule" and not any(t.tolerates(taint) for t in tolerations):
            return taint
    return None


def state_verdict(cluster: Cluster) -> Verdict | None:
    """Why the cluster takes no new work as it is now; None if it does."""
    detail = f": {cluster.health_message}" if cluster.health_message else ""
    if cluster.health is Health.UNKNOWN:
        return Verdict(Reason.CLUSTER_UNKNOWN, {"detail": detail})
    if cluster.health is not Health.UP:
        return Verdict(Reason.CLUSTER_AWAY, {"away_s": int(cluster.away_s), "detail": detail})
    if cluster.draining:
        why = f" for {announcement(cluster.downtime)}" if cluster.downtime else ""
        over = ", and its deadline is over: what finds no other place stops" if cluster.vacated else ""
        return Verdict(Reason.DRAINING, {"detail": why + over, "announced": cluster.downtime is not None})
    return Verdict(Reason.CORDONED) if cluster.cordoned else None


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """Which clusters a rule and a workload's own limits let in, and why the others are not."""

    rule: Rule
    required: Answers
    wanted: Answers
    needs: frozenset[str]
    clusters: tuple[Cluster, ...]
    passes: Mask

    def verdict(self, at: int) -> Verdict | None:
        """What keeps the cluster out; None if nothing does."""
        if self.passes[at]:
            return None
        policy = self.rule.policy.name
        if self.rule.tier[at] == NO_TIER:
            return Verdict(Reason.NOT_IN_POLICY, {"policy": policy})
        if (required := self.required.required(at)) is not None:
            return Verdict(Reason.NOT_ALLOWED_BY_POLICY, {"policy": policy, "requirement": required})
        if (wanted := self.wanted.required(at)) is not None:
            return Verdict(Reason.NOT_ALLOWED_BY_WORKLOAD, {"requirement": wanted})
        lacking = self.needs - self.clusters[at].abilities
        return Verdict(Reason.NO_ABILITY, {"needs": ", ".join(sorted(lacking))})


@dataclass(frozen=True, eq=False)
class Eligibility:
    """Where one role may run. ``suits`` is by cluster and does not change by waiting; ``open`` may.

    ``excluded`` and ``no_lot`` are verdicts by cluster: that it refused the workload (empty: none did), and that no
    flavor of it may be used.
    """

    shape: Shape
    gate: Gate
    excluded: Verdicts
    no_lot: Verdicts
    too_big: Mask
    suits: Mask
    open: Mask
    states: Verdicts
    clusters: tuple[Cluster, ...]
    requests: Resources

    def lasting(self, at: int) -> Verdict | None:
        """The first rule that keeps replicas off the cluster whatever they ask for, and however long they wait."""
        return self.gate.verdict(at) or (self.excluded[at] if self.excluded else None) or self.no_lot[at]

    def verdict(self, at: int) -> Verdict | None:
        """The first hard rule that keeps new replicas off the cluster."""
        return self.lasting(at) or (self._too_big[at] if self.too_big[at] else self.states[at])

    @cached_property
    def _too_big(self) -> Verdicts:
        pairs = zip(self.too_big, self.clusters, strict=True)
        return tuple(too_big(self.requests, cluster) if big else None for big, cluster in pairs)


def too_big(requests: Resources, cluster: Cluster) -> Verdict:
    """Which resource of one replica no node of the cluster has enough of; else the one it has the least of."""
    requests, nodes = taken(requests, cluster), [flavor.allocatable for flavor in cluster.flavors or ()]
    largest = {name: max((node[name] for node in nodes), default=0) for name in requests}
    short = [name for name in requests if requests[name] > largest[name]]
    name = min(short or list(requests), key=lambda name: (largest[name] * 2**20 // requests[name], name))
    facts = {
        "resource": name,
        "needed": format_amount(name, requests[name]),
        "largest": format_amount(name, largest[name]),
    }
    return Verdict(Reason.TOO_BIG, facts)


class Feasibility:
    """Eligibility of every role, worked out once for all roles that are alike in what it reads."""

    def __init__(self, clusters: Sequence[Cluster], nodes: Nodes, constraints: Constraints, prices: Prices) -> None:
        self._clusters = tuple(clusters)
        self._nodes = nodes
        self._constraints = constraints
        self._states: Verdicts = tuple(state_verdict(cluster) for cluster in clusters)
        self._stateful = np.array([state is not None for state in self._states], dtype=bool)
        self._known = np.array([cluster.flavors is not None for cluster in clusters], dtype=bool)
        self._ranking = Ranking(clusters, nodes.lots, prices)
        self._gates: dict[object, Gate] = {}
        self._lots: dict[object, tuple[Verdicts, Mask, Mask]] = {}
        self._shapes: dict[object, Eligibility] = {}

    def of(self, workload: Workload, role: Role, rule: Rule, excluded: Verdicts) -> Eligibility:
        """Where the role may run under the rule; ``excluded`` are the clusters that refused the workload (or empty)."""
        gate_key = self._gate_key(workload, rule)
        lots_key = self._lots_key(workload, role)
        key = (gate_key, lots_key, role.requests, tuple(one and one.facts["detail"] for one in excluded))
        if key not in self._shapes:
            self._shapes[key] = self.lay_out(workload, role, rule, excluded)
        return self._shapes[key]

    @property
    def known(self) -> int:
        """How many are kept."""
        return len(self._shapes)

    def lay_out(self, workload: Workload, role: Role, rule: Rule, excluded: Verdicts) -> Eligibility:
        """The same, not kept."""
        gate = self._gate(self._gate_key(workload, rule), workload, rule)
        no_lot, has_lot, allowed = self._allowed(self._lots_key(workload, role), workload, role)
        shape = self._nodes.shape(
            role.requests, allowed, self._ranking.of(workload, role.requests, rule.policy.flavors)
        )
        big = has_lot & self._known & ~self._any(shape.terms[:, ALLOWED] > 0)
        suits = gate.passes & has_lot & ~big
        if excluded:
            suits &= np.array([verdict is None for verdict in excluded], dtype=bool)
        open_ = suits & ~self._stateful
        return Eligibility(
            shape, gate, excluded, no_lot, big, suits, open_, self._states, self._clusters, role.requests
        )  # fmt: skip

    def outline(self, workload: Workload, role: Role, rule: Rule) -> tuple[Mask, Mask, Array]:
        """What holds whatever amounts the role asks for, if no cluster refused it: the clusters that may take new
        replicas, where a node is large enough; the lots that it may use; their ranks."""
        gate = self._gate(self._gate_key(workload, rule), workload, rule)
        _, has_lot, allowed = self._allowed(self._lots_key(workload, role), workload, role)
        return (
            gate.passes & has_lot & ~self._stateful,
            allowed,
            self._ranking.of(workload, role.requests, rule.policy.flavors),
        )

    def _gate_key(self, workload: Workload, rule: Rule) -> object:
        alike = likeness(workload, rule.policy.require.where, workload.clusters.where)
        return (id(rule), workload.clusters, workload.needs, alike)

    def _gate(self, key: object, workload: Workload, rule: Rule) -> Gate:
        if key not in self._gates:
            required = self._constraints.on_clusters(rule.policy.require, workload)
            wanted = self._constraints.on_clusters(workload.clusters, workload)
            passes = (rule.tier != NO_TIER) & required.holds & wanted.holds
            if workload.needs:
                passes &= np.array([workload.needs <= cluster.abilities for cluster in self._clusters], dtype=bool)
            self._gates[key] = Gate(rule, required, wanted, workload.needs, self._clusters, passes)
        return self._gates[key]

    def _lots_key(self, workload: Workload, role: Role) -> object:
        return (role.flavors, role.tolerations, likeness(workload, role.flavors.where))

    def _allowed(self, key: object, workload: Workload, role: Role) -> tuple[Verdicts, Mask, Mask]:
        """Per cluster the verdict if no flavor may be used and whether one may, and which lots may be used."""
        if key not in self._lots:
            clusters = self._clusters
            lots = [lot for lot in self._nodes.lots if lot.flavor is not NO_NODES]
            reasons = [flavor_verdict(workload, role, clusters[lot.cluster], lot.flavor) for lot in lots]
            allowed = np.array([lot.flavor is not NO_NODES for lot in self._nodes.lots], dtype=bool)
            allowed[allowed] = [reason is None for reason in reasons]
            usable = ~self._known | self._any(allowed)
            first: list[Verdict | None] = [None] * len(clusters)
            for lot, reason in zip(lots, reasons, strict=True):
                # A taint is what keeps it off where the flavor itself would do; that is the nearer reason.
                known = first[lot.cluster]
                if known is None or (
                    known.reason is Reason.NO_MATCHING_FLAVOR and reason and reason.reason is Reason.TAINTED
                ):
                    first[lot.cluster] = reason
            verdicts = tuple(None if ok else first[at] or _no_flavor(role.flavors) for at, ok in enumerate(usable))
            self._lots[key] = verdicts, usable, allowed
        return self._lots[key]

    def _any(self, allowed: Mask) -> Mask:
        """Whether the cluster has any of these lots."""
        return np.bincount(self._nodes.home[allowed], minlength=len(self._clusters)) > 0


def _no_flavor(constraint: Constraint) -> Verdict:
    requirement = constraint.where or ", ".join(map(str, constraint.selector.requirements))
    return Verdict(Reason.NO_MATCHING_FLAVOR, {"requirement": requirement or "the workload: it has no nodes"})
