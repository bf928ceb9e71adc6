"""When workloads made by chance arrive: a Poisson process whose rate follows days, weeks, campaigns and deadlines."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi
from random import Random

from federator.documents.sources import DeadlinePart, GeneratePart
from federator.model.policy import FULL_PPM

DAY_S = 86400.0
BUSIEST_S = 14 * 3600.0
WORKING_DAYS, WEEK_DAYS = 5, 7


def moments(part: GeneratePart, random: Random, lasts_s: float | None) -> Iterator[float]:
    """In seconds from the beginning, in order. ``lasts_s`` is the end of the run; None: only the part's own ends it.

    Moments are drawn at the highest rate there is, and each counts with the probability that it has at its time (Lewis
    and Shedler, Simulation of nonhomogeneous Poisson processes by thinning, 1979).
    """
    own_s = None if part.lasts is None or part.every is not None else part.begins + part.lasts
    end_s = min((end for end in (lasts_s, own_s) if end is not None), default=float("inf"))
    most, at_s = _most(part), part.begins
    while part.rate > 0:
        at_s += random.expovariate(part.rate * most)
        pause_s = _pause_s(part, at_s)
        if at_s + pause_s >= end_s:
            return
        if pause_s > 0:
            at_s += pause_s
        elif random.random() * most <= _swing(part, at_s):
            yield at_s


def _most(part: GeneratePart) -> float:
    """How many times the part's rate it is at most."""
    return (1 + part.daily / FULL_PPM) * (1.0 if part.deadline is None else part.deadline.by)


def _swing(part: GeneratePart, at_s: float) -> float:
    """How many times the part's rate it is at that time."""
    daily = 1 + part.daily / FULL_PPM * cos(2 * pi * (at_s - BUSIEST_S) / DAY_S)
    free = at_s // DAY_S % WEEK_DAYS >= WORKING_DAYS
    weekly = 1 - part.weekly / FULL_PPM if free else 1.0
    return daily * weekly * (1.0 if part.deadline is None else _rush(part.deadline, at_s))


def _rush(deadline: DeadlinePart, at_s: float) -> float:
    left_s = deadline.at - at_s
    return 1 + (deadline.by - 1) * (1 - left_s / deadline.over) if 0 < left_s <= deadline.over else 1.0


def _pause_s(part: GeneratePart, at_s: float) -> float:
    """How long it is from then to the next campaign; 0: there is one, or there are none."""
    if part.every is None or part.lasts is None:
        return 0.0
    since_s = (at_s - part.begins) % part.every
    return part.every - since_s if since_s >= part.lasts else 0.0
