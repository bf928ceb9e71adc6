"""What announced downtimes make of a cluster at a time. Pure: nothing of it is kept anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from math import inf

from federator.model.cluster import Cluster, Downtime


def in_force(downtimes: Iterable[Downtime], at_s: float) -> Downtime | None:
    """The one that the cluster is drained for then; of several the one that begins first."""
    now = (one for one in downtimes if one.drained_from_s <= at_s < one.to_s)
    return min(now, key=_begin, default=None)


def coming(downtimes: Iterable[Downtime], at_s: float) -> Downtime | None:
    """The next one for which the cluster is not drained yet."""
    return min((one for one in downtimes if at_s < one.drained_from_s), key=_begin, default=None)


def as_announced(cluster: Cluster, at_s: float) -> Cluster:
    """The cluster as planning sees it then: drained from ``drain_s`` before a downtime on, vacated when it begins."""
    if not cluster.downtimes:
        return cluster
    now = in_force(cluster.downtimes, at_s)
    if now is None:
        return replace(cluster, downtimes=())
    vacated = cluster.vacated or now.from_s <= at_s
    return replace(cluster, downtimes=(), downtime=now, draining=True, vacated=vacated)


def next_change_s(downtimes: Iterable[Downtime], at_s: float) -> float:
    """When they make something else of a cluster next; infinite: never."""
    moments = (moment for one in downtimes for moment in (one.drained_from_s, one.from_s, one.to_s))
    return min((moment for moment in moments if moment > at_s), default=inf)


def span(downtime: Downtime) -> str:
    """From when to when, for people: ``2026-12-01 08:00 to 18:00 UTC``."""
    begin, end = (datetime.fromtimestamp(s, UTC) for s in (downtime.from_s, downtime.to_s))
    clock = "%H:%M" if begin.second == end.second == 0 else "%H:%M:%S"
    day = "" if begin.date() == end.date() else "%Y-%m-%d "
    return f"{begin:%Y-%m-%d} {begin:{clock}} to {end:{day}{clock}} UTC"


def announcement(downtime: Downtime) -> str:
    """What was announced, in words."""
    return f"an announced downtime from {span(downtime)}" + (f" ({downtime.reason})" if downtime.reason else "")


def _begin(downtime: Downtime) -> tuple[float, float]:
    return downtime.from_s, downtime.to_s
