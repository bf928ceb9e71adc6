"""Why a workload is where it is, and what would have to change for it to start: taken down while it is placed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from federator.documents.quantities import amount_of, format_amount, format_duration, parse_quantity
from federator.engine.federation import Federation
from federator.engine.filling import UNWEIGHED
from federator.engine.flavor_shares import flavor_shares
from federator.engine.outcome import Outcome
from federator.engine.tiers import tier_weights
from federator.engine.verdicts import Reasons
from federator.model.plan import Explanation, FlavorShare, Share
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Workload

_CURES = 20
"""Cures in one explanation; a person reads no more."""


def explanation(
    federation: Federation,
    workload: Workload,
    outcomes: Sequence[Outcome],
    reasons: Sequence[Reasons | None],
    position: int,
) -> Explanation:
    """The explanation of a workload whose roles had these outcomes; to be taken before their room is."""
    shares: list[Share] = []
    flavors: list[FlavorShare] = []
    cures: dict[str, None] = {}
    for outcome, why in zip(outcomes, reasons, strict=True):
        if why is None:
            continue
        shares.extend(_shares(federation, outcome, why))
        flavors.extend(flavor_shares(federation, outcome.turn))
        if outcome.refused > 0:
            cures |= dict.fromkeys(_cures(federation, outcome, why))
    policy = outcomes[0].turn.rule.policy if outcomes else federation.governing.rule(workload).policy
    return Explanation(
        workload=workload.name,
        policy=policy.name,
        policy_source=policy.source,
        position=position,
        shares=tuple(sorted(shares, key=lambda share: (share.role, share.cluster))),
        flavors=tuple(sorted(flavors, key=lambda one: (one.role, one.cluster))),
        cures=tuple(cures)[:_CURES],
    )


def _shares(federation: Federation, outcome: Outcome, reasons: Reasons) -> Iterator[Share]:
    turn, placed = outcome.turn, outcome.filling.placed
    held = federation.held(turn.workload.name, turn.role.name)
    weights = _weights(federation, outcome)
    ideal = _ideal(federation, outcome, weights)
    tiers = [*(tier.name for tier in turn.rule.tiers), ""]
    for at, name in enumerate(federation.names):
        room = int(turn.held[at] + turn.room.more[at] + turn.room.extra[at])
        unknown = federation.unknown[at] and turn.eligibility.open[at]
        maximum = int(turn.maxima[at])
        refused = outcome.refused > 0
        yield Share(
            role=turn.role.name,
            cluster=name,
            tier=tiers[turn.rule.tier[at]],
            room=None if unknown else room,
            weight=max(0, int(weights[at])),
            minimum=int(turn.minima[at]),
            maximum=None if maximum >= 2**39 else maximum,
            held=int(held[at]),
            ideal=ideal[at],
            replicas=int(placed[at]),
            verdict=reasons[name] if refused else (reasons.find(name) if placed[at] == 0 else None),
        )


def _weights(federation: Federation, outcome: Outcome) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The weights used; where a tier was not divided, those that it would have had."""
    turn, weights = outcome.turn, outcome.filling.weights.copy()
    for place, at in enumerate(turn.rule.members):
        if len(at) and (weights[at] == UNWEIGHED).all():
            reach = (turn.held + turn.room.more)[at]
            weights[at] = tier_weights(federation, turn, place, turn.wanted, reach)
    return weights


def _ideal(
    federation: Federation, outcome: Outcome, weights: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> list[float | None]:
    """What each cluster's weight alone would give it of what its tier got, before rounding and bounds."""
    turn, placed = outcome.turn, outcome.filling.placed
    ideal: list[float | None] = [None] * len(federation.names)
    for at in turn.rule.members:
        took_part = turn.eligibility.open[at] & (weights[at] > 0)
        whole = int(weights[at][took_part].sum())
        for one in at[took_part].tolist():
            ideal[one] = int(placed[at].sum()) * int(weights[one]) / whole
    return ideal


def _cures(federation: Federation, outcome: Outcome, reasons: Reasons) -> Iterator[str]:
    """Changes, in words, any of which would let (more of) it start; one for each cluster at most."""
    for at, name in enumerate(federation.names):
        verdict = reasons[name]
        cure = CURES.get(verdict.reason)
        if cure is not None and (words := cure(federation, outcome, at, verdict)):
            yield words


def _more_room(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    """What all that is refused asks for beyond what is free there; at least one more place for a replica."""
    turn = outcome.turn
    replicas = outcome.together - int(turn.held[at]) if outcome.together else outcome.refused + int(outcome.grown[at])
    asked = turn.role.requests * max(1, replicas)
    missing = Resources.of({name: asked[name] - int(federation.nodes.free_of(name)[at]) for name in asked}).floor()
    amounts = missing or turn.role.requests  # enough is free in all, but not on one node
    words = ", ".join(f"{format_amount(name, amount)} more {name}" for name, amount in amounts.items_)
    return f"{words} on {federation.names[at]}" + ("" if missing else ", on one node")


def _larger_maximum(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    policy = outcome.turn.rule.policy.name
    needed = outcome.together or int(outcome.filling.placed[at]) + outcome.refused
    return f"max {needed} for {federation.names[at]} in policy {policy}"


def _larger_quota(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    resource = str(verdict.facts["resource"])
    amount = outcome.turn.role.requests[resource] * (outcome.together or outcome.refused)
    return f"a quota of {format_amount(resource, amount)} more {resource} on {federation.names[at]}"


def _higher_limit(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    """What all that is refused takes of the limit, beyond what is left."""
    name, needed, left = (verdict.facts[key] for key in ("name", "needed", "left"))
    workload, role = outcome.turn.workload, outcome.turn.role
    if workload.gang is None and len(workload.roles) == 1:
        needed = role.limits[str(name)] * outcome.refused
    where = "" if verdict.facts["where"] == "in all" else f" on {federation.names[at]}"
    return f"{int(str(needed)) - int(str(left))} more of limit {name}{where}"


def _larger_budget(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    """What all that is refused is expected to cost here, beyond what is left."""
    purse = next(one for one in outcome.turn.purses if one.what == verdict.facts["what"])
    needed = int(purse.needed[at]) if outcome.together else int(purse.each[at]) * outcome.refused
    missing = purse.written(needed - max(0, purse.left - purse.cost(outcome.grown)))
    return f"{missing} more {purse.what} in the budget of queue {purse.queue}"


def _larger_queue_quota(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    """What the queue lacks for all that is refused, of the resource of which it has the least left."""
    resource, turn = str(verdict.facts["resource"]), outcome.turn
    left = amount_of(resource, parse_quantity(verdict.facts["left"]))
    missing = format_amount(resource, turn.role.requests[resource] * outcome.refused - left)
    return f"a {verdict.facts['limit']} of {missing} more {resource} for {verdict.facts['holder']}"


def _larger_node(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    return f"a node with {verdict.facts['needed']} {verdict.facts['resource']} on {federation.names[at]}"


def _open_tier(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
    wait = outcome.filling.waits[int(outcome.turn.rule.tier[at])]
    return f"wait {format_duration(max(0.0, wait.open_after_s - wait.for_s))} for tier {wait.tier} to open"


def _words(text: str) -> Callable[[Federation, Outcome, int, Verdict], str]:
    def say(federation: Federation, outcome: Outcome, at: int, verdict: Verdict) -> str:
        facts = {"cluster": federation.names[at], "queue": outcome.turn.workload.queue, **verdict.facts}
        return text.format_map(facts)

    return say


CURES: Mapping[Reason, Callable[[Federation, Outcome, int, Verdict], str]] = {
    Reason.CLUSTER_UNKNOWN: _words("{cluster} answers"),
    Reason.CLUSTER_AWAY: _words("{cluster} answers again"),
    Reason.CORDONED: _words("uncordon {cluster}"),
    Reason.DRAINING: _words("undrain {cluster}"),
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
    Reason.BEHIND_BLOCKED_HEAD: _words("{head} starts, or blockedHead: pass"),
}
"""What would change each verdict; a verdict that is not here has no cure that an operator could apply."""
