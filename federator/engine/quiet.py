"""Quiet hours: whether they are on, and when they begin next. Pure: the time of day is that of the snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo

from federator.model.backfill import QuietHours


def quiet_for(hours: Iterable[QuietHours], at_s: float) -> float:
    """For how many seconds more it is quiet; 0 where it is not."""
    return max((end - at_s for one in hours for begin, end in _around(one, at_s) if begin <= at_s < end), default=0.0)


def quiet_in(hours: Iterable[QuietHours], at_s: float) -> float:
    """In how many seconds the next quiet hours begin; infinite where there are none."""
    return min((begin - at_s for one in hours for begin, _ in _around(one, at_s) if begin > at_s), default=inf)


def _around(hours: QuietHours, at_s: float) -> Iterator[tuple[float, float]]:
    """When they begin and end, from yesterday to the same day of the next week, in seconds since the epoch."""
    zone = ZoneInfo(hours.timezone)
    today = datetime.fromtimestamp(at_s, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    for day in range(-1, 8):
        midnight = today + timedelta(days=day)
        if midnight.weekday() in hours.days:
            begin, end = (midnight + timedelta(seconds=s) for s in (hours.from_s, hours.to_s))
            yield begin.timestamp(), end.timestamp()
