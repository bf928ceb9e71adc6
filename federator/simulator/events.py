"""The loop of stories that are told by their arrivals and ends alone: nothing else happens in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from federator.simulator.story import Arrival, Story


def tell_events(
    story: Story,
    running: Sequence[tuple[Any, ...]],
    arrive: Callable[[Arrival, float], None],
    end: Callable[[float], None],
    serve: Callable[[float], None],
) -> float:
    """Let happen what happens; returns the moment at which it ended.

    ``running`` is the heap of what runs, by when it ends; ``end`` takes the first of it. At one moment arrivals come
    first, then ends, all of them before anybody is served unless the story takes them one by one.
    """
    coming, lasts_s, together = story.arrivals(), story.lasts_s, not story.one_by_one
    one, now_s = next(coming, None), 0.0
    while one is not None or running:
        first = one is not None and (not running or one.at_s <= running[0][0])
        next_s = max(one.at_s, now_s) if one is not None and first else running[0][0]
        if lasts_s is not None and next_s > lasts_s:
            break
        now_s = next_s
        if one is not None and first:
            arrive(one, now_s)
            one = next(coming, None)
        else:
            end(now_s)
        while together and one is not None and one.at_s <= now_s:
            arrive(one, now_s)
            one = next(coming, None)
        while together and running and running[0][0] == now_s:
            end(now_s)
        serve(now_s)
    return now_s if lasts_s is None else lasts_s
