"""Gangs that may span clusters (scope ``federation`` or ``label``): the usual division, but all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array, Mask
from federator.engine.federation import Federation
from federator.engine.tiers import Filling
from federator.engine.turn import Turn
from federator.model.workload import Role

Place = Callable[[Turn], Filling]
MakeTurn = Callable[[Role, Array], Turn]
"""The turn of a role as things stand now, and after so many replicas of the workload's other roles by cluster."""


def place_together(
    federation: Federation,
    allowance: Allowance,
    roles: Sequence[Role],
    turn_of: MakeTurn,
    fill: Place,
    only: Mask | None,
) -> list[Filling] | None:
    """Place all roles over several clusters (``only`` some), each by the usual division; None if not all fit.

    Their room is taken already, or, if they do not fit, none of it is.
    """
    saved, before = federation.save(), allowance.save()
    spent = np.zeros(len(federation.names), dtype=np.int64)
    fillings = []
    for role in roles:
        turn = turn_of(role, spent)
        if only is not None:
            turn.keep_to(only)
            turn.let_go(~only)
        filling = fill(turn)
        left = federation.take(turn.eligibility.shape, np.maximum(filling.placed - turn.held, 0), turn.until)
        if filling.total < turn.wanted or left.any():
            federation.restore(saved)
            allowance.restore(before)
            return None
        allowance.take_for_now(turn, filling.placed)
        spent += filling.placed
        fillings.append(filling)
    allowance.restore(before)  # they are taken when the answer is recorded
    return fillings


def label_groups(federation: Federation, label: str, turns: Sequence[Turn]) -> list[Mask]:
    """The clusters that agree on a label, one set for each value.

    First the value whose clusters hold most of the workload, then by the first tier that has such a cluster, then by
    the value itself.
    """
    values = sorted({cluster.labels[label] for cluster in federation.clusters if label in cluster.labels})
    held = sum(turn.held for turn in turns)
    tier = turns[0].rule.tier
    groups = []
    for value in values:
        members = np.array([cluster.labels.get(label) == value for cluster in federation.clusters], dtype=bool)
        tiers = tier[members & (tier >= 0)]
        if len(tiers):
            groups.append((-int((held * members).sum()), int(tiers.min()), value, members))
    return [members for *_, members in sorted(groups, key=lambda group: group[:3])]
