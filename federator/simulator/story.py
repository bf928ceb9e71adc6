"""What a run is told: a federation, what arrives when, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from federator.model.plan import Snapshot
from federator.model.workload import Workload


class Arrival(NamedTuple):
    """A workload, when it is handed in, and how long each of its replicas runs (its user may expect otherwise)."""

    at_s: float
    workload: Workload
    run_s: float


@dataclass(frozen=True, slots=True)
class Fault:
    """A cluster does not answer; or everything takes ``slower`` times as long there; or of what starts there the part
    ``crashing`` fails. ``ends_s`` None: to the end.
    """

    cluster: str
    at_s: float
    ends_s: float | None
    slower: float | None = None
    crashing: float | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """One scenario with its seed. The same story is always told alike.

    ``federation`` is a snapshot without workloads: clusters, policies, queues and all else that planning reads.
    ``arrivals`` gives the same each time it is called, in the order of time. ``lasts_s`` None: until all has ended.
    """

    federation: Snapshot
    arrivals: Callable[[], Iterator[Arrival]]
    seed: int = 0
    lasts_s: float | None = None
    one_by_one: bool = False
    """Whether arrivals and ends of one moment are planned one after the other, arrivals first."""
    faults: tuple[Fault, ...] = ()
    name: str = ""
    """What it is called in reports."""
