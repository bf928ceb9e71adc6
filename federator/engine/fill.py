"""How full a tier is for a workload."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federator.engine.arrays import Array, total
from federator.engine.federation import Federation
from federator.engine.governing import Rule
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


def tier_fill(
    federation: Federation, rule: Rule, place: int, requests: Resources, *, potential: bool, free: Array | None = None
) -> Fill | None:
    """The fill over the tier's clusters that take work; None where it cannot be full.

    That is where a cluster has unknown room, or where nothing is asked for that the tier has. The dominant resource
    is the one of which the requests are the largest share of the tier. ``potential`` counts nodes that could exist.
    ``free``, by cluster and resource, is what was free on those that do; now, where that is not said.
    """
    found = dominant(federation, rule, place, requests, potential=potential)
    if found is None:
        return None
    name, whole = found
    counted = rule.members[place][federation.working[rule.members[place]]]
    if free is not None:
        return Fill(name, whole - total(free[counted, federation.nodes.at[name]]), whole)
    return Fill(name, whole - federation.nodes.free_in(name, counted, potential=potential), whole)


def dominant(
    federation: Federation, rule: Rule, place: int, requests: Resources, *, potential: bool
) -> tuple[str, int] | None:
    """The dominant resource of a tier, and how much of it there is; ties go to the first name."""
    by_resource = offered(federation, rule)[potential][place]
    best: tuple[str, int] | None = None
    for name, asked in requests.items_:
        whole = by_resource[federation.nodes.at[name]]
        if asked > 0 and whole > 0 and (best is None or asked * best[1] > requests[best[0]] * whole):
            best = name, whole
    return best


def offered(federation: Federation, rule: Rule) -> tuple[list[list[int]], list[list[int]]]:
    """By tier and resource, what nodes that exist, and all that could, offer together; zeros where that is unknown."""
    found = federation.offered.get(id(rule))
    if found is None:
        existing, all_ = list[list[int]](), list[list[int]]()
        for members in rule.members:
            counted = members[federation.working[members]]
            known = not federation.unknown[counted].any()
            for potential, table in ((False, existing), (True, all_)):
                amounts = federation.nodes.offered(potential=potential)[counted].sum(axis=0) * known
                table.append(np.asarray(amounts).tolist())
        found = federation.offered[id(rule)] = existing, all_
    return found


def below_fill(fill: Fill | None, ppm: int, requests: Resources) -> bool:
    """Whether the tier is still below fillTo when all but the last of some replicas are placed (they ask for this)."""
    if fill is None or ppm >= FULL_PPM:
        return True
    return (fill.used + requests[fill.resource]) * FULL_PPM < ppm * fill.allocatable
