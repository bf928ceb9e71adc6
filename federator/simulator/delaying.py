"""What backfill costs production: the same story is told once more without it, and each job is held against itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from federator.simulator.answer import mean, percentiles
from federator.simulator.measures import Told
from federator.simulator.record import Delay
from federator.simulator.recording import distribution, fared
from federator.simulator.run import Run
from federator.simulator.story import Story


def without_fillers(story: Story) -> Story:
    """The same story, in which nothing fills what production leaves idle."""
    return replace(story, federation=replace(story.federation, fillers=()))


def delay(run: Run, without: Run) -> Delay:
    """How production fared beside the same story without fillers, job by job."""
    before = {one.name: one for one in _started(without)}
    pairs = [(one, before[one.name]) for one in _started(run) if one.name in before]
    longer = sorted(one.wait_s - other.wait_s for one, other in pairs)
    waits = sorted(one.wait_s for one in before.values())
    slowdowns = sorted(one.slowdown for one in without.measures.workloads if fared(one))
    return Delay(
        jobs=len(pairs),
        wait_s={"mean": mean(waits), **percentiles(waits, 50, 95, 99)},
        slowdown={"mean": mean(slowdowns), **percentiles(slowdowns, 95)},
        longer_s={"mean": mean(longer), **percentiles(longer, 50, 95, 99)},
        later=round(sum(more > 0 for more in longer) / len(longer), 6) if longer else 0.0,
        waits=distribution(waits),
        longer=distribution(longer),
    )


def delay_document(one: Delay) -> dict[str, Any]:
    """What it costs, as JSON; seconds."""
    return {
        "jobs": one.jobs,
        "longer_s": one.longer_s,
        "later": one.later,
        "without": {"wait_s": one.wait_s, "bounded_slowdown": one.slowdown},
    }


def _started(run: Run) -> Sequence[Told]:
    return [one for one in run.measures.workloads if one.started_s is not None and not one.stood]
