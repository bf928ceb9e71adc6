"""What is kept of a run for its report: figures, averages over time, distributions, tables. Bounded, whatever its size.

A record is a JSON document, so that the reports of long runs can be made later, and beside those of others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from federator.documents.problems import DocumentErrors, Problem

FORMAT = "federator.dev/run-record/v1"
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue: its workloads, and how they fared. ``core_h`` None: it is one of too many to be told apart."""

    queue: str
    submitted: int
    started: int
    finished: int
    failed: int
    wait_s: dict[str, float]
    slowdown: dict[str, float]
    core_h: float | None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """Why a cluster did not take replicas. ``replica_h``: replicas refused by the time for which they were, from looks
    at the plans; ``words``: what was said when it was first seen."""

    cluster: str
    reason: str
    replica_h: float
    words: str


@dataclass(frozen=True, slots=True)
class FillerRow:
    """What a filler did on a cluster: core hours, and replicas that ended before their time, by cause."""

    filler: str
    cluster: str
    useful_h: float
    lost_h: float
    evictions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Delay:
    """Production beside the same without fillers: the same story told twice. In seconds."""

    jobs: int
    """Those that started in both."""
    wait_s: dict[str, float]
    """Without fillers; with them it is among the figures."""
    slowdown: dict[str, float]
    longer_s: dict[str, float]
    """How much longer each job waited with fillers; below zero: less long."""
    later: float
    """The part of jobs that started later."""
    waits: Points
    """Without fillers, as those of the record."""
    longer: Points


@dataclass(frozen=True, slots=True)
class FaultRow:
    """What went wrong, where and when."""

    cluster: str
    what: str
    at_s: float
    ends_s: float
    by_chance: bool = False
    """Whether it is not there all that time, but happens now and then in it."""


@dataclass(frozen=True, slots=True)
class Record:
    """Values over time are averages over spans of ``span_s``, the last of which ends with the run."""

    name: str
    """What was simulated, in words."""
    until_s: float
    span_s: float
    figures: dict[str, Any]
    """As ``simulate -o json`` tells them."""
    cores: dict[str, list[float]]
    """What the nodes of each cluster offer."""
    foreign: dict[str, float]
    """Cores that others use, all the time."""
    series: dict[str, dict[str, list[float]]]
    """By kind (see ``Measures.history``; ``waiting`` counts workloads) and name of a cluster or queue."""
    moves: list[float]
    preemptions: list[float]
    fairness: list[float | None]
    """Jain's index of all that has finished by the end of each span."""
    waits: Points
    slowdowns: Points
    """(value, the part of all that does not exceed it)."""
    queues: list[QueueRow]
    looks_s: list[float]
    refused: dict[str, list[int]]
    """Replicas refused at each look, by the reason that counts."""
    reasons: list[RefusedRow]
    faults: list[FaultRow] = field(default_factory=list)
    fillers: list[FillerRow] = field(default_factory=list)
    evictions: dict[str, list[float]] = field(default_factory=dict)
    """Replicas of fillers that ended before their time in each span, by cause."""
    kept: dict[str, list[float]] = field(default_factory=dict)
    """Cores that each filler kept free at each look."""
    delay: Delay | None = None
    """What fillers cost production; None: there are none, or it was not measured."""
    quick: bool = False
    """Whether it was told without plans: jobs waited for free cores alone."""
    format: str = FORMAT


def write(record: Record, path: Path) -> None:
    """Write a record as JSON."""
    path.write_bytes(TypeAdapter(Record).dump_json(record))


def read(path: Path) -> Record:
    """Read a record. Raises DocumentErrors for what is none, OSError."""
    try:
        record = TypeAdapter(Record).validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        cure = "make it with `federator simulate SCENARIO --record FILE`"
        raise DocumentErrors(
            [Problem(str(path), 1, 1, place, f"is no record of a run: {first['msg']}", cure)]
        ) from None
    if record.format != FORMAT:
        message = f"is a record of format '{record.format}', not {FORMAT}"
        raise DocumentErrors([Problem(str(path), 1, 1, "format", message, "run the scenario again")])
    return record
