"""What the search for gangs' clusters needs to know of them, taken from the arrays of the plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from federator.engine.federation import Federation
from federator.engine.gangs import InOneCluster
from federator.engine.search import Contender, Part
from federator.model.resources import Resources

_SHARES = 2**16
"""A gang's worth is its dominant share of the federation, in parts of this; at least one."""


def contender(
    federation: Federation,
    search: InOneCluster,
    prospects: Mapping[int, int],
    latest: int | None,
    behind: tuple[int, ...],
) -> Contender:
    """A gang in outline. ``prospects``, ``latest`` and ``behind`` are written down as they are."""
    places = sorted(set(prospects.values()))
    allowances = {place: search.allowance(place) for place in places}
    rooms = [(turn, turn.room.more + turn.room.extra) for turn in search.turns if turn.wanted > 0]
    return Contender(
        asks=_asks(federation, search),
        parts=tuple(
            Part(id(turn.eligibility), turn.wanted, {at: int(room[at]) for at in prospects}) for turn, room in rooms
        ),
        prospects=prospects,
        allowances={place: allowed for place, allowed in allowances.items() if allowed is not None},
        members={place: frozenset(search.first.rule.members[place].tolist()) for place in places},
        worth=_worth(federation, search),
        latest=latest,
        behind=behind,
    )


def _asks(federation: Federation, search: InOneCluster) -> dict[str, int]:
    """What all of it asks for, by resource of the tables."""
    asked = (federation.nodes.asked(turn.role.requests) * turn.wanted for turn in search.turns)
    return dict(sum(asked, Resources()).items_)


def _worth(federation: Federation, search: InOneCluster) -> int:
    """The largest part of any resource of the federation, nodes that could exist included."""
    nodes = federation.nodes
    whole: list[int] = federation.offer.sum(axis=0).tolist()
    parts = [amount * _SHARES // max(1, whole[nodes.at[name]]) for name, amount in search.asked().items_]
    return min(max([1, *parts]), _SHARES)


def free_amounts(federation: Federation, clusters: Collection[int]) -> dict[int, dict[str, int]]:
    """What nodes and quotas leave on these clusters, by resource."""
    nodes, free = federation.nodes, {}
    many = len(nodes.resources)  # what is free at the time of reservations stands behind what is free now
    for at in sorted(clusters):
        left = np.full(many, 2**62) if federation.unknown[at] else nodes.sums[:, at, :many].sum(axis=0)
        if federation.limits is not None:
            left = np.minimum(left, federation.limits[:, at])
        free[at] = dict(zip(nodes.resources, left.tolist(), strict=True))
    return free


def narrowed(search: InOneCluster, prospects: Mapping[int, int], clusters: int, kept: int | None) -> dict[int, int]:
    """Of each tier, the so many prospects with the least room for the gang, and the one that is kept in any case.

    Room that others could use is found where it is scarce: a gang that leaves little behind leaves most to others.
    """
    room = np.minimum.reduce([turn.room.more + turn.room.extra - turn.wanted for turn in search.turns])
    found, count = dict[int, int](), dict[int, int]()
    for at in sorted(prospects, key=lambda at: (at != kept, prospects[at], room[at], at)):
        place = prospects[at]
        if count.setdefault(place, 0) < clusters:
            count[place] += 1
            found[at] = place
    return found


def may_start(search: InOneCluster) -> bool:
    """Whether a gang without a place waits for something that may pass (as ``Outcome.blocked`` sees it)."""
    weighs = ~search.weightless
    return any(
        bool((turn.eligibility.suits & (turn.maxima > 0) & weighs).any()) for turn in search.turns if turn.wanted > 0
    )
