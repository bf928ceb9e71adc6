"""How many replicas of a filler are worth their start, by how others came to use a cluster so far. Pure, in integers.

The replicas of a filler are thought of as lying one above the other in what is free: the highest is driven out first.
From each moment of the past so many of them would have been left after 5 minutes, after 15 minutes and so on. That
tells of the one at each height how likely it is to be there still, and so what it is expected to do and to lose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from federator.documents.quantities import format_duration
from federator.engine.arrays import Array
from federator.model.backfill import Filler
from federator.model.cluster import Rise
from federator.model.policy import FULL_PPM
from federator.model.reasons import Reason, Verdict

MOST_TIMES = 42
"""A task is followed no further than so many times the longest time that is told of: a week of four hours."""


Left = tuple[Array, Array]
"""How many replicas each moment of the past would have left, and how many moments were so."""


class Hole(NamedTuple):
    """What is free for one filler: resources, how much of each, how much of it a replica asks for."""

    resources: tuple[str, ...]
    free: Array
    asked: Array
    left_s: int | None = None
    """How long nothing of it is stopped by the federator itself, where that is known."""


class Worth(NamedTuple):
    """How many replicas are worth it, and of the next one what it would do and lose, in millionths of a second, and for
    how long it is expected to run."""

    replicas: int
    useful: int = 0
    lost: int = 0
    lasts_s: int = 0

    def verdict(self, filler: Filler) -> Verdict:
        """Why not one more."""
        facts = {
            "lasts": format_duration(self.lasts_s),
            "lost": f"{100 * self.lost / max(1, self.lost + self.useful):.1f}%",
            "most": f"{100 * filler.most_lost / FULL_PPM:g}%",
        }
        return Verdict(Reason.LOSES_TOO_MUCH, facts)


def worth(filler: Filler, rises: Sequence[Rise], hole: Hole, room: int) -> Worth:
    """The most of it, up to ``room``, of which no more than ``most_lost`` of what they do is expected to be lost.

    From the lowest upwards: the first with which it were more, or which does nothing useful, is not worth it. What
    counts of each is what it loses in a second of running: one that soon ends is soon started again.
    """
    if not rises or room <= 0 or filler.stops_s is not None or filler.most_lost >= FULL_PPM:
        return Worth(room)
    lefts = [_left(rise, hole) for rise in rises]
    heights = _heights(lefts, room)
    useful, lost = _expected(filler, rises, lefts, hole.left_s, heights)
    found, spare = 0, 0
    for height, does, loses in zip(heights.tolist(), useful.tolist(), lost.tolist(), strict=True):
        share = loses * FULL_PPM // max(1, does + loses)
        gain = (FULL_PPM - share) * filler.most_lost - share * FULL_PPM
        count = height - found
        fits = 0 if does <= 0 else count if gain >= 0 else min(count, spare // -gain)
        found, spare = found + fits, spare + gain * fits
        if fits < count:
            return Worth(found, does, loses, (does + loses) // FULL_PPM)
    return Worth(found)


def _expected(
    filler: Filler, rises: Sequence[Rise], lefts: Sequence[Left], left_s: int | None, heights: Array
) -> tuple[Array, Array]:
    """What a replica at each height is expected to do that is kept, and to lose, in millionths of a second.

    Who is driven out within a time is taken to be so in its middle, and to lose half a checkpoint interval, or all.
    After the longest time that is told of it goes on as in that time.
    """
    runs_s, ends = _runs_s(filler, rises, left_s)
    there = np.full(len(heights), FULL_PPM, dtype=np.int64)
    useful, lost = np.zeros_like(there), np.zeros_like(there)
    begins_s = 0
    for until_s, stay in _stays(rises, lefts, heights):
        if begins_s >= runs_s:
            break
        to_s = min(until_s, runs_s)
        gone = np.maximum(there - stay, 0) * (to_s - begins_s) // (until_s - begins_s)
        loses_s = _loses_s(filler, (begins_s + to_s) // 2)
        useful += gone * ((begins_s + to_s) // 2 - loses_s)
        lost += gone * loses_s
        there, begins_s = there - gone, to_s
    stopped_s = _loses_s(filler, begins_s) if ends else 0
    return useful + there * (begins_s - stopped_s), lost + there * stopped_s


def _runs_s(filler: Filler, rises: Sequence[Rise], left_s: int | None) -> tuple[int, bool]:
    """How long a replica is followed; whether it is stopped then."""
    longest_s = int(rises[-1].within_s)
    duration_s = filler.workload.duration_s
    runs_s = min(longest_s * MOST_TIMES, longest_s if duration_s is None else max(1, int(duration_s)))
    if left_s is not None and left_s < runs_s:
        return max(1, left_s), True
    return runs_s, False


def _loses_s(filler: Filler, ran_s: int) -> int:
    every_s = filler.workload.checkpoint_every_s
    return ran_s if every_s is None else min(ran_s, int(every_s) // 2)


def _heights(lefts: Sequence[Left], room: int) -> Array:
    """The heights at which anything changes: all above one, up to the next, have the same to expect."""
    found = np.unique(np.concatenate([left for left, _ in lefts]))
    return np.append(found[(found > 0) & (found < room)], room)


def _stays(rises: Sequence[Rise], lefts: Sequence[Left], heights: Array) -> Iterator[tuple[int, Array]]:
    """Until when, and how likely in millionths a replica at each height is there then."""
    last = np.zeros_like(heights)
    for rise, (left, times) in zip(rises, lefts, strict=True):
        order = left.argsort(kind="stable")
        below = np.concatenate((np.zeros(1, dtype=np.int64), times[order].cumsum()))
        gone = below[left[order].searchsorted(heights, side="left")]
        last = (below[-1] - gone) * FULL_PPM // below[-1]
        yield int(rise.within_s), last
    stay, longest_s = last, int(rises[-1].within_s)
    for at in range(2, MOST_TIMES + 1):
        stay = stay * last // FULL_PPM
        yield at * longest_s, stay


def _left(rise: Rise, hole: Hole) -> Left:
    """How many replicas each moment of the past would have left, and how many moments were so."""
    by, times = _table(rise, hole.resources)
    return ((hole.free - by) // hole.asked).min(axis=1), times


@lru_cache(maxsize=4096)
def _table(rise: Rise, resources: tuple[str, ...]) -> tuple[Array, Array]:
    by = np.array([[amounts[name] for name in resources] for amounts, _ in rise.samples], dtype=np.int64)
    return by, np.array([times for _, times in rise.samples], dtype=np.int64)
