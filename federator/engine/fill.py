"""How full a tier is for a workload, and how many replicas it still takes until it is full."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from federator.engine.arrays import Array
from federator.engine.federation import Federation
from federator.engine.governing import Rule
from federator.engine.turn import Turn
from federator.model.policy import FULL_PPM
from federator.model.resources import Resources


@dataclass(frozen=True, slots=True)
class Fill:
    """The fill of a tier: ``used`` of ``allocatable`` of the workload's dominant resource."""

    resource: str
    used: int
    allocatable: int

    @property
    def share(self) -> float:
        """For people."""
        return self.used / self.allocatable


def tier_fill(federation: Federation, rule: Rule, place: int, requests: Resources, *, potential: bool) -> Fill | None:
    """The fill over the tier's clusters that take work; None where it cannot be full.

    That is where a cluster has unknown room, or where nothing is asked for that the tier has. The dominant resource
    is the one of which the requests are the largest share of the tier. ``potential`` counts nodes that could exist.
    """
    key = (id(rule), place, requests, potential)
    if key not in federation.dominant:
        federation.dominant[key] = _dominant(federation, rule.members[place], requests, potential)
    found = federation.dominant[key]
    if found is None:
        return None
    name, whole, counted = found
    return Fill(name, whole - federation.nodes.free_in(name, counted, potential=potential), whole)


def _dominant(federation: Federation, at: Array, requests: Resources, potential: bool) -> tuple[str, int, Array] | None:
    """The dominant resource, how much of it there is, and on which clusters it counts."""
    counted = at[federation.working[at]]
    if not len(counted) or federation.unknown[counted].any():
        return None
    shares = []
    for name, asked in requests.items_:
        whole = int(federation.nodes.allocatable_of(name, potential=potential)[counted].sum())
        if asked > 0 and whole > 0:
            shares.append((-Fraction(asked, whole), name, whole))
    if not shares:
        return None
    _, name, whole = min(shares)
    return name, whole, counted


def fill_limit(federation: Federation, turn: Turn, place: int, *, potential: bool) -> int | None:
    """How many more replicas the tier takes before its fill reaches fillTo (below zero: it is over it already).

    None means no limit: at 100% the room itself is the limit.
    """
    ppm = turn.rule.tiers[place].fill_to_ppm
    if ppm >= FULL_PPM:
        return None
    fill = tier_fill(federation, turn.rule, place, turn.role.requests, potential=potential)
    if fill is None:
        return None
    return -((fill.used * FULL_PPM - ppm * fill.allocatable) // (turn.role.requests[fill.resource] * FULL_PPM))


def below_fill(fill: Fill | None, ppm: int, requests: Resources) -> bool:
    """Whether the tier is still below fillTo when all but the last of some replicas are placed (they ask for this)."""
    if fill is None or ppm >= FULL_PPM:
        return True
    return (fill.used + requests[fill.resource]) * FULL_PPM < ppm * fill.allocatable
