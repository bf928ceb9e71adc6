"""How the interpreter looks for garbage while a daemon runs.

A full collection looks through every value there is: with tens of thousands of workloads it stops everything for a
part of a second, and by itself it would come with nearly every plan. Plans, snapshots and records hold no cycles, so
counting references frees them. What may be in cycles (connections, errors with their tracebacks) mostly dies young, and
young values are looked through as ever; the rest is left to ``collect``, once an hour.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

LOG = structlog.get_logger(__name__)
NEVER = 1_000_000_000
_USUAL = gc.get_threshold()


@contextmanager
def none_sought() -> Iterator[None]:
    """For when values are made by the hundred thousand that all stay; they are never looked through afterwards."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def only_young() -> None:
    """Look through young values only, from now on."""
    young, middle, _ = _USUAL
    gc.set_threshold(young, middle, NEVER)


def as_usual() -> None:
    """Look through everything again, as the interpreter does by itself."""
    gc.unfreeze()
    gc.set_threshold(*_USUAL)


def collect() -> None:
    """Look through everything once; says how long that took, for everything else stands still."""
    began = time.perf_counter()
    count = gc.collect()
    LOG.info("garbage collected", values=count, seconds=round(time.perf_counter() - began, 3))
