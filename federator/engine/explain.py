"""Why a workload is where it is: taken down while it is placed. What would have to change is found by ``cures``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from federator.engine.cures import Cure, cures, in_words
from federator.engine.federation import Federation
from federator.engine.filling import NEAR, UNWEIGHED
from federator.engine.flavor_shares import flavor_shares
from federator.engine.nearness import ALL_THERE, lacking
from federator.engine.outcome import Outcome
from federator.engine.shapes import ALLOWED
from federator.engine.tiers import tier_weights
from federator.engine.turn import Turn
from federator.engine.verdicts import Reasons
from federator.model.plan import Explanation, FlavorShare, Share, WholeCores
from federator.model.resources import CPU
from federator.model.whole_cores import CORE, rounded, takes_more
from federator.model.workload import Workload


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
    found: list[Cure] = []
    for outcome, why in zip(outcomes, reasons, strict=True):
        if why is None:
            continue
        shares.extend(_shares(federation, outcome, why))
        flavors.extend(flavor_shares(federation, outcome.turn))
        if outcome.refused > 0:
            found.extend(cures(federation, outcome, why))
    policy = outcomes[0].turn.rule.policy if outcomes else federation.governing.rule(workload).policy
    return Explanation(
        workload=workload.name,
        policy=policy.name,
        policy_source=policy.source,
        position=position,
        shares=tuple(sorted(shares, key=lambda share: (share.role, share.cluster))),
        flavors=tuple(sorted(flavors, key=lambda one: (one.role, one.cluster))),
        cures=in_words(found),
        expected_start_s=_booted_s(outcomes, flavors),
    )


def _booted_s(outcomes: Sequence[Outcome], flavors: Sequence[FlavorShare]) -> float | None:
    """In how many seconds it starts on nodes that have yet to boot; None where it runs, or some existing node takes it.

    What starts together starts when the last has its node, else the first counts.
    """
    if not outcomes or any(outcome.turn.holds for outcome in outcomes):
        return None
    together = outcomes[0].turn.workload.gang is not None or len(outcomes) > 1
    waits_s = list[float]()
    for outcome in outcomes:
        turn, placed = outcome.turn, outcome.filling.placed
        for at in np.flatnonzero(placed).tolist():
            name = turn.federation.names[at]
            usable = [one for one in flavors if (one.role, one.cluster) == (turn.role.name, name) and one.rank]
            enough = turn.room.more[at] >= (placed[at] if together else 1)
            waits_s.append(0.0 if enough else next((one.boot_s for one in usable if one.boot_s), 0.0))
    return (max if together else min)(waits_s, default=0.0) or None


def _shares(federation: Federation, outcome: Outcome, reasons: Reasons) -> Iterator[Share]:
    turn, placed = outcome.turn, outcome.filling.placed
    held = federation.held(turn.workload.name, turn.role.name)
    weights = _weights(federation, outcome)
    ideal = _ideal(federation, outcome, weights)
    tiers = [*(tier.name for tier in turn.rule.tiers), ""]
    lacks = lacking(turn.workload, federation.clusters)
    whole = _whole_cores(turn)
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
            lacks_bytes=int(lacks[at]),
            nearness=int(turn.desk[at, NEAR]) / ALL_THERE,
            whole_cores=whole.get(at),
        )


def _whole_cores(turn: Turn) -> dict[int, WholeCores]:
    """By cluster, what those give that give whole cores, to a replica that asks for a part of one."""
    nodes, shape, requests = turn.federation.nodes, turn.eligibility.shape, turn.role.requests
    if not (nodes.counts_cores and takes_more(requests)):
        return {}
    each = (nodes.allocatable[shape.asked[:, 0]] // shape.asked[:, 1, None]).min(axis=0)
    by_lot = each * nodes.population * (shape.terms[:, ALLOWED] > 0) * ~nodes.potential
    asked, takes = requests[CPU], rounded(requests)[CPU] // CORE
    return {
        at: WholeCores(asked, takes, int(by_lot[nodes.home == at].sum()))
        for at, cluster in enumerate(turn.federation.clusters)
        if cluster.whole_cores
    }


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
