"""Workloads made by chance. Every source has its own chance, so that one more source changes nothing of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random
from typing import NamedTuple

from federator.documents.quantities import resources_of
from federator.documents.sources import Counts, Durations, GeneratePart
from federator.model.selectors import ANYWHERE, Constraint
from federator.model.workload import Gang, Input, Role, Workload
from federator.simulator.rhythm import moments
from federator.simulator.story import Arrival

LONGEST_S = 1e9
MOST_REPLICAS = 1_000_000


class Drawn(NamedTuple):
    """What chance decides of one workload besides its moment. ``expected_s`` None: its user expects nothing."""

    roles: tuple[Role, ...]
    gang: Gang | None
    run_s: float
    expected_s: float | None
    clusters: Constraint = ANYWHERE


def generated(part: GeneratePart, seed: int, lasts_s: float | None, like: Iterable[Arrival] = ()) -> Iterator[Arrival]:
    """What arrives, in the order of time. ``like``: the jobs of the log that they are like, if they are.

    ``lasts_s`` is the end of the run; None: only the part's own end, or number, ends it.
    """
    random, made = Random(f"{seed}/{part.name}"), 0
    inputs = tuple(Input(one.name, one.size, one.at) for one in part.inputs)
    own = Workload(name="", roles=(), queue=part.queue, priority=part.priority, inputs=inputs)
    draw = _drawing(part, random, like)
    for at_s in moments(part, random, lasts_s):
        for _ in range(_count(part.burst, random)):
            if part.count is not None and made >= part.count:
                return
            made += 1
            roles, gang, run_s, expected_s, clusters = draw()
            name, handed_in_s = f"{part.name}-{made:08d}", round(at_s, 3)
            workload = replace(
                own, name=name, roles=roles, gang=gang, clusters=clusters,
                submitted_at_s=handed_in_s, duration_s=expected_s,
            )  # fmt: skip
            yield Arrival(handed_in_s, workload, run_s)


def _drawing(part: GeneratePart, random: Random, like: Iterable[Arrival]) -> Callable[[], Drawn]:
    """What draws one after the other."""
    if part.duration is None:
        jobs = [Drawn(job.like.roles, job.like.gang, job.run_s, job.expected_s, job.like.clusters) for job in like]
        return lambda: random.choice(jobs)
    durations, requests = part.duration, resources_of(part.requests)

    def draw() -> Drawn:
        role = Role("", _count(part.replicas, random), requests)
        run_s = _duration(durations, random)
        gang = Gang() if part.together and role.replicas > 1 else None
        return Drawn((role,), gang, run_s, round(run_s * random.uniform(*part.expected), 3))

    return draw


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
