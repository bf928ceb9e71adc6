"""How far a long run has come, on standard error, where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from federator.simulator.story import Arrival, Story

AFTER_S = 2.0
"""What takes no longer shows nothing."""
EVERY_S = 0.5
DAY_S = 86400


@contextmanager
def shown(story: Story) -> Iterator[Story]:
    """The same story, which shows as it is told how much has arrived; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield story
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("simulating", total=story.lasts_s)
    began_s = time.monotonic()

    def arrivals() -> Iterator[Arrival]:
        next_s = began_s + AFTER_S
        for count, one in enumerate(story.arrivals(), start=1):
            if time.monotonic() >= next_s:
                next_s = time.monotonic() + EVERY_S
                bar.start()
                bar.update(task, completed=one.at_s, description=f"{count:,} jobs, day {one.at_s / DAY_S:,.1f}")
            yield one

    try:
        yield replace(story, arrivals=arrivals)
    finally:
        bar.stop()
