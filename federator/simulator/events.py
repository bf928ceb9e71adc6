"""The loop of stories that are told by their arrivals and ends alone: nothing else happens in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
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
    coming, together = story.arrivals(), not story.one_by_one
    until_s = inf if story.lasts_s is None else story.lasts_s
    one, now_s = next(coming, None), 0.0
    at_s = inf if one is None else one.at_s
    while one is not None or running:
        end_s = running[0][0] if running else inf
        next_s = end_s if at_s > end_s else at_s if at_s > now_s else now_s
        if next_s > until_s:
            break
        now_s = next_s
        arrives = at_s <= now_s
        while one is not None and at_s <= now_s:
            arrive(one, now_s)
            one = next(coming, None)
            at_s = inf if one is None else one.at_s
            if not together:
                break
        while (together or not arrives) and running and running[0][0] == now_s:
            end(now_s)
            arrives = True
        serve(now_s)
    return now_s if story.lasts_s is None else story.lasts_s
