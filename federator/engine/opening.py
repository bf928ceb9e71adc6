"""When the next tier opens: how long the tiers before it have been full or away for a workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from federator.engine.arrays import Array, Mask
from federator.engine.federation import Federation
from federator.model.cluster import Health
from federator.model.policy import Tier

Clocks = Mapping[tuple[str, str, str], float]
"""Since when (policy, tier, shape) has been full, in seconds since the epoch."""


class Standing(Enum):
    """How a tier stands towards replicas that it did not take."""

    CLOSED = "closed"
    """Nothing in it can ever take such a replica as things are set: it holds nobody up."""
    AWAY = "away"
    """Its clusters that could do not answer."""
    FULL = "full"
    """It has no room, or is full to its fillTo."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A tier that was passed over, and since how many seconds it has stood so."""

    standing: Standing
    for_s: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """A tier that is not open yet: the numbers of its verdict."""

    tier: str
    open_after_s: float
    for_s: float


def passed(federation: Federation, suits: Mask, members: Array, takers: bool, full_s: float) -> Passed:
    """How a tier of these members stands to what it did not take.

    ``suits`` tells which clusters would do, ``takers`` whether one would take more if it had room, ``full_s`` for
    how long it has been full.
    """
    found = away(federation, suits, members)
    if found is not None:
        return found
    return Passed(Standing.FULL, full_s) if takers else Passed(Standing.CLOSED, 0.0)


def away(federation: Federation, suits: Mask, members: Array) -> Passed | None:
    """How a tier stands all of whose clusters that would do do not answer; None where one does."""
    if not federation.silent[members].any():
        return None
    could = [at for at in members.tolist() if suits[at] and not _put_aside(federation, at)]
    if not could or not all(federation.silent[at] for at in could):
        return None
    lost = all(federation.clusters[at].health is Health.LOST for at in could)
    return Passed(Standing.AWAY, min(federation.clusters[at].away_s for at in could), lost)


def _put_aside(federation: Federation, at: int) -> bool:
    return bool(federation.cordoned[at] or federation.draining[at])


def wait_for(tier: Tier, before: Sequence[Passed], outage_grace_s: float) -> Wait | None:
    """Whether the tier must still wait for the tiers before it; None if it is open."""
    standing = [one for one in before if one.standing is not Standing.CLOSED]
    if not standing:
        return None
    if tier.open_after_s is not None:
        for_s = min(one.for_s for one in standing)
        return None if for_s >= tier.open_after_s else Wait(tier.name, tier.open_after_s, for_s)
    away = [one for one in standing if one.standing is Standing.AWAY and not one.lost]
    for_s = min((one.for_s for one in away), default=outage_grace_s)
    return None if for_s >= outage_grace_s else Wait(tier.name, outage_grace_s, for_s)
