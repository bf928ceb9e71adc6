"""What would have to change for a workload to start, the smallest change first.

How large a change is: the part that is new of what there would be then, in millionths. "4 more cpu on cern" where there
are 396 is a hundredth; a change that has no number counts as the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from federator.documents.quantities import amount_of, format_amount, format_duration, parse_quantity
from federator.engine.federation import Federation
from federator.engine.outcome import Outcome
from federator.engine.verdicts import Reasons
from federator.engine.whole_cores import taken
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources

ALL = 1_000_000

_MOST = 20
"""Cures in one explanation; a person reads no more."""


@dataclass(frozen=True, slots=True)
class Cure:
    """A change in words, and its size."""

    size: int
    words: str


Ask = Callable[[Federation, Outcome, int, Verdict], Cure]
"""The change that would do on one cluster."""


def _part(new: int, whole: int) -> int:
    return max(0, min(ALL, new * ALL // max(1, whole)))


def cures(federation: Federation, outcome: Outcome, reasons: Reasons) -> Iterator[Cure]:
    """Changes any of which would let (more of) a role start; one for each cluster at most."""
    for at, name in enumerate(federation.names):
        verdict = reasons[name]
        cure = CURES.get(verdict.reason)
        if cure is not None:
            yield cure(federation, outcome, at, verdict)


def in_words(found: Iterable[Cure]) -> tuple[str, ...]:
    """The changes, each once, the smallest first."""
    sizes: dict[str, int] = {}
    for cure in found:
        sizes[cure.words] = min(cure.size, sizes.get(cure.words, ALL))
    return tuple(sorted(sizes, key=lambda words: (sizes[words], words)))[:_MOST]


def _more_room(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    """What all that is refused asks for beyond what is free there; at least one more place for a replica."""
    turn = outcome.turn
    replicas = outcome.together - int(turn.held[at]) if outcome.together else outcome.refused + int(outcome.grown[at])
    cluster = federation.clusters[at]
    # Where cores do not count, those that give whole ones have no nodes.
    each = taken(turn.role.requests, cluster) if federation.nodes.counts_cores else turn.role.requests
    asked = each * max(1, replicas)
    missing = Resources.of({name: asked[name] - int(federation.nodes.free_of(name)[at]) for name in asked}).floor()
    amounts = missing or each  # enough is free in all, but not on one node
    if not amounts:
        return Cure(ALL, f"a node with room on {cluster.name}")
    words = ", ".join(f"{format_amount(name, amount)} more {name}" for name, amount in amounts.items_)
    size = max(_part(amount, amount + cluster.allocatable[name]) for name, amount in amounts.items_)
    return Cure(size, f"{words} on {cluster.name}" + ("" if missing else ", on one node"))


def _larger_maximum(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    policy = outcome.turn.rule.policy.name
    needed = outcome.together or int(outcome.filling.placed[at]) + outcome.refused
    size = _part(needed - int(outcome.turn.maxima[at]), needed)
    return Cure(size, f"max {needed} for {federation.names[at]} in policy {policy}")


def _larger_quota(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    resource = str(verdict.facts["resource"])
    amount = outcome.turn.role.requests[resource] * (outcome.together or outcome.refused)
    size = _part(amount, amount + federation.clusters[at].allocatable[resource])
    return Cure(size, f"a quota of {format_amount(resource, amount)} more {resource} on {federation.names[at]}")


def _higher_limit(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    """What all that is refused takes of the limit, beyond what is left."""
    name, left = str(verdict.facts["name"]), int(str(verdict.facts["left"]))
    workload, needed = outcome.turn.workload, int(str(verdict.facts["needed"]))
    if workload.gang is None and len(workload.roles) == 1:
        needed = outcome.turn.role.limits[name] * outcome.refused
    where = "" if verdict.facts["where"] == "in all" else f" on {federation.names[at]}"
    return Cure(_part(needed - left, needed), f"{needed - left} more of limit {name}{where}")


def _larger_budget(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    """What all that is refused is expected to cost here, beyond what is left."""
    purse = next(one for one in outcome.turn.purses if one.what == verdict.facts["what"])
    needed = int(purse.needed[at]) if outcome.together else int(purse.each[at]) * outcome.refused
    missing = needed - max(0, purse.left - purse.cost(outcome.grown))
    words = f"{purse.written(missing)} more {purse.what} in the budget of queue {purse.queue}"
    return Cure(_part(missing, needed), words)


def _larger_queue_quota(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    """What the queue lacks for all that is refused, of the resource of which it has the least left."""
    resource, turn = str(verdict.facts["resource"]), outcome.turn
    left = amount_of(resource, parse_quantity(verdict.facts["left"]))
    needed = turn.role.requests[resource] * outcome.refused
    missing = format_amount(resource, needed - left)
    words = f"a {verdict.facts['limit']} of {missing} more {resource} for {verdict.facts['holder']}"
    return Cure(_part(needed - left, needed), words)


def _larger_node(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    words = f"a node with {verdict.facts['needed']} {verdict.facts['resource']} on {federation.names[at]}"
    return Cure(ALL, words)


def _open_tier(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    wait = outcome.filling.waits[int(outcome.turn.rule.tier[at])]
    return Cure(ALL, f"wait {format_duration(max(0.0, wait.open_after_s - wait.for_s))} for tier {wait.tier} to open")


def _end_of_draining(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
    name = federation.names[at]
    return Cure(ALL, f"the downtime of {name} ends" if verdict.facts["announced"] else f"undrain {name}")


def _words(text: str) -> Ask:
    def say(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> Cure:
        facts = {"cluster": federation.names[at], "queue": outcome.turn.workload.queue, **verdict.facts}
        return Cure(ALL, text.format_map(facts))

    return say


CURES: Mapping[Reason, Ask] = {
    Reason.CLUSTER_UNKNOWN: _words("{cluster} answers"),
    Reason.CLUSTER_AWAY: _words("{cluster} answers again"),
    Reason.CORDONED: _words("uncordon {cluster}"),
    Reason.DRAINING: _end_of_draining,
    Reason.NOT_IN_POLICY: _words("a tier of policy {policy} that has {cluster}"),
    Reason.NO_MATCHING_FLAVOR: _words("a flavor with {requirement} on {cluster}"),
    Reason.TAINTED: _words("tolerate taint {taint}"),
    Reason.TOO_BIG: _larger_node,
    Reason.NO_ROOM: _more_room,
    Reason.GANG_DOES_NOT_FIT: _more_room,
    Reason.BELOW_MIN_REPLICAS: _words("minReplicas {room}"),
    Reason.OVER_LIMIT: _larger_quota,
    Reason.LIMIT_REACHED: _higher_limit,
    Reason.OVER_BUDGET: _larger_budget,
    Reason.OVER_QUOTA: _larger_queue_quota,
    Reason.OVER_CLUSTER_QUOTA: _words("a larger clusterQuota of queue {queue} for {clusters}"),
    Reason.AT_MAXIMUM: _larger_maximum,
    Reason.NO_WEIGHT: _words("a weight for {cluster} in policy {policy}"),
    Reason.TIER_NOT_OPEN: _open_tier,
    Reason.TIER_FULL: _words("a fillTo above {fill} for tier {tier}"),
    Reason.RESERVED_FOR_ANOTHER: _words("a duration of at most {at_s} s, or {workload} starts"),
    Reason.BEHIND_BLOCKED_HEAD: _words("{head} starts, or blockedHead: pass"),
}
"""What would change each verdict; a verdict that is not here has no cure that an operator could apply."""
