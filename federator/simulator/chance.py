"""Workloads made by chance. Every source has its own chance, so that one more source changes nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, pi
from random import Random

from federator.documents.quantities import resources_of
from federator.documents.scenario import Counts, Durations, GeneratePart
from federator.model.policy import FULL_PPM
from federator.model.workload import Gang, Input, Role, Workload
from federator.simulator.story import Arrival

DAY_S = 86400.0
BUSIEST_S = 14 * 3600.0
LONGEST_S = 1e9
MOST_REPLICAS = 1_000_000


def generated(part: GeneratePart, seed: int, lasts_s: float | None) -> Iterator[Arrival]:
    """What arrives, in the order of time: a Poisson process whose rate may swing over the day.

    ``lasts_s`` is the end of the run; None: only the part's own end, or number, ends it.
    """
    random = Random(f"{seed}/{part.name}")
    ends = [end for end in (lasts_s, None if part.lasts is None else part.begins + part.lasts) if end is not None]
    requests, swing = resources_of(part.requests), part.daily / FULL_PPM
    at_s, made = part.begins, 0
    while part.rate > 0 and (part.count is None or made < part.count):
        at_s += random.expovariate(part.rate * (1 + swing))
        if ends and at_s >= min(ends):
            return
        if random.random() * (1 + swing) > 1 + swing * cos(2 * pi * (at_s - BUSIEST_S) / DAY_S):
            continue
        made += 1
        yield _arrival(part, random, round(at_s, 3), made, Role("", _count(part.replicas, random), requests))


def _arrival(part: GeneratePart, random: Random, at_s: float, number: int, role: Role) -> Arrival:
    run_s = _duration(part.duration, random)
    workload = Workload(
        name=f"{part.name}-{number:08d}",
        roles=(role,),
        queue=part.queue,
        priority=part.priority,
        submitted_at_s=at_s,
        gang=Gang() if part.together and role.replicas > 1 else None,
        inputs=tuple(Input(one.name, one.size, one.at) for one in part.inputs),
        duration_s=round(run_s * random.uniform(*part.expected), 3),
    )
    return Arrival(at_s, workload, run_s)


def _count(counts: Counts, random: Random) -> int:
    if counts.constant is not None:
        return counts.constant
    if counts.uniform is not None:
        return random.randint(*counts.uniform)
    assert counts.lognormal is not None
    drawn = counts.lognormal.median * random.lognormvariate(0.0, counts.lognormal.sigma)
    return max(1, round(min(drawn, MOST_REPLICAS)))


def _duration(durations: Durations, random: Random) -> float:
    """In seconds, to the millisecond: so finely that no two machines differ."""
    if durations.constant is not None:
        drawn = durations.constant
    elif durations.uniform is not None:
        drawn = random.uniform(*durations.uniform)
    elif durations.exponential is not None:
        drawn = random.expovariate(1 / durations.exponential) if durations.exponential else 0.0
    else:
        assert durations.lognormal is not None
        drawn = durations.lognormal.median * random.lognormvariate(0.0, durations.lognormal.sigma)
    return round(min(drawn, LONGEST_S), 3)
