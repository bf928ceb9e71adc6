"""The one reason of a refusal that is counted, where clusters give several."""

from __future__ import annotations

from federator.model.plan import Refusal
from federator.model.reasons import Reason, by_reason

MAIN_REASONS = (
    Reason.NO_ROOM,
    Reason.UNSCHEDULABLE,
    Reason.OVER_LIMIT,
    Reason.GANG_DOES_NOT_FIT,
    Reason.BELOW_MIN_REPLICAS,
    Reason.TIER_NOT_OPEN,
    Reason.AT_MAXIMUM,
    Reason.CLUSTER_AWAY,
    Reason.CLUSTER_UNKNOWN,
    Reason.CORDONED,
    Reason.DRAINING,
    Reason.BEHIND_BLOCKED_HEAD,
    Reason.REFUSED_BY_CLUSTER,
    Reason.TOO_BIG,
)
"""The reason that is counted where clusters give several is the first of these: what time may cure comes first."""


def main_reason(refusal: Refusal) -> Reason:
    """The one reason of a refusal that metrics and reports count."""
    given = by_reason(refusal.reasons)
    return next((reason for reason in MAIN_REASONS if reason in given), min(given, default=Reason.NOT_IN_POLICY))
