"""Where workloads of a scenario come from: recorded logs, and chance."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from federator.documents.fields import (
    Duration,
    Name,
    Number,
    Part,
    Priority,
    Quantities,
    Replicas,
    Share,
    ShortName,
    Whole,
    Written,
    wrong,
)
from federator.documents.quantities import format_period, parse_rate
from federator.documents.workload import InputPart

P = TypeVar("P", bound=Part)


def _rate(value: object) -> float:
    count, period_s = parse_rate(value, "10")
    if not count.replace(".", "", 1).isdigit() or len(count) > 12:
        raise ValueError(f"'{count}' is not a number; write 10/h")
    return float(count) / period_s


def _write_rate(per_s: float) -> str:
    return f"{per_s * 3600:g}/{format_period(3600.0)}"


Rate = Annotated[float, Written("number/period", _rate, _write_rate, "10/h")]
"""Arrivals per second."""


class TracePart(Part):
    """Workloads from a recorded log."""

    file: Annotated[str, Field(strict=True, min_length=1)]
    """The log, relative to this file, or to the folder that `FEDERATOR_TRACES` names; gzip and Zstandard are
    unpacked."""
    format: Literal["swf", "sacct", "condor", "philly", "openb", "federator"] | None = None
    """How it is written; left out: its name or its first line tells."""
    name: Name = "job"
    """What the names of its workloads begin with."""
    skip: Annotated[Whole, Field(ge=0)] = 0
    """Leave out so many jobs from its start."""
    first: Annotated[Whole, Field(ge=1)] | None = None
    """Only so many jobs after that."""
    start: Duration | None = None
    """When the first of them arrives; left out: all arrive when the log says."""
    queue_by: Literal["queue", "user", "group", "partition", "none"] = "queue"
    """What of a job names its queue: `user-7` where the log has numbers, else the name, in small letters; `default`
    where the log does not tell. `none`: all are in `default`."""
    runs_at: Literal["anywhere", "partition"] = "anywhere"
    """`partition`: a job may only run on clusters whose label `partition` names the one that it ran in: `partition-7`
    where the log has numbers, else the name."""
    processors: Literal["requested", "used", "larger"] = "requested"
    """Which of its two numbers of processors a job takes (`swf`, `sacct`); where that is not known, the other."""
    jobs_are: Literal["replicas", "cores"] = "replicas"
    """`replicas`: each processor is a replica with one core, and all start together in one cluster. `cores`: a job is
    one replica that asks for so many cores of a node. The same of GPUs in `philly`, where the log does not tell how
    many nodes a job had. Other formats say it themselves."""
    gpu_parts: Literal["whole", "leaveOut"] = "whole"
    """What becomes of pods that ask for a part of a GPU (`openb`): they take a whole one, or are left out."""
    estimates: Literal["requested", "exact"] = "requested"
    """What is expected of a job: the time that its user requested (where the log tells), or what it took."""
    unknown_run: Duration | None = None
    """How long jobs run of which the log does not tell; left out: they are left out."""
    zero_run: bool = True
    """Whether jobs count that took no time."""


class LogNormalCount(Part):
    """A log-normal distribution."""

    median: Number
    """Half are below it."""
    sigma: Number
    """The standard deviation of the logarithm."""


class LogNormalDuration(Part):
    """A log-normal distribution."""

    median: Duration
    """Half are below it."""
    sigma: Number
    """The standard deviation of the logarithm."""


def _constant(value: Any) -> Any:
    return value if isinstance(value, dict) else {"constant": value}


class Counts(Part):
    """How many: one of these; a plain number is a constant."""

    constant: Replicas | None = None
    """Always so many."""
    uniform: tuple[Replicas, Replicas] | None = None
    """From the first to the last, both included, all alike."""
    lognormal: LogNormalCount | None = None
    """Log-normal, rounded, at least 1."""

    @model_validator(mode="after")
    def _one(self) -> Counts:
        return _rising(one_of(self, "constant", "uniform", "lognormal"), "uniform")


class Durations(Part):
    """How long: one of these; a plain duration is a constant."""

    constant: Duration | None = None
    """Always so long."""
    uniform: tuple[Duration, Duration] | None = None
    """From the first to the last, all alike."""
    exponential: Duration | None = None
    """Exponential with this mean."""
    lognormal: LogNormalDuration | None = None
    """Log-normal."""

    @model_validator(mode="after")
    def _one(self) -> Durations:
        return _rising(one_of(self, "constant", "uniform", "exponential", "lognormal"), "uniform")


def _rising(part: P, name: str) -> P:
    """The part, if what it says to be from one number to another goes up."""
    first, last = getattr(part, name) or (0, 0)
    if first > last:
        raise wrong("the first is larger than the last", "write the smaller one first", (name,))
    return part


def one_of(part: P, *names: str) -> P:
    """The part, if exactly one of these fields is given."""
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        raise wrong(f"gives {len(given)} of {', '.join(names)}", "give one")
    return part


class DeadlinePart(Part):
    """A moment before which ever more arrives, as before that of a conference."""

    at: Duration
    """When it is."""
    over: Annotated[Duration, Field(gt=0)]
    """For how long before it the rate rises, evenly."""
    by: Annotated[float, Field(strict=True, ge=1, le=1e6)]
    """How many times the rate it is in the end; from then on it is the rate again."""


class GeneratePart(Part):
    """Workloads made by chance."""

    name: Name
    """What their names begin with."""
    rate: Rate
    """How many arrive in a period, on average."""
    replicas: Annotated[Counts, BeforeValidator(_constant)] = Counts.model_validate({"constant": 1})
    """How many replicas each has."""
    duration: Annotated[Durations, BeforeValidator(_constant)] | None = None
    """How long each replica runs."""
    like: TracePart | None = None
    """A log instead of `duration`, `replicas`, `requests`, `expected` and `together`: each is as one of its jobs is,
    drawn by chance. When they arrive is still as said here."""
    expected: tuple[Number, Number] = (1.0, 1.0)
    """Users expect it to take so many times as long as it does: from the first to the last, all alike."""
    together: bool = False
    """Whether all replicas of one start together in one cluster, or not at all."""
    begins: Duration = 0.0
    """When the first may arrive."""
    lasts: Duration | None = None
    """For how long they arrive; left out: to the end."""
    count: Annotated[Whole, Field(ge=1)] | None = None
    """At most so many arrive."""
    every: Annotated[Duration, Field(gt=0)] | None = None
    """The time for which they arrive (`lasts`) comes again so long after it began, and again: campaigns."""
    burst: Annotated[Counts, BeforeValidator(_constant)] = Counts.model_validate({"constant": 1})
    """So many arrive at the same moment; `rate` counts moments."""
    daily: Share = 0
    """By how much the rate swings over a day: highest at 14:00, lowest at 2:00 (the clock begins at 0:00)."""
    weekly: Share = 0
    """By how much the rate is lower on the last two days of a week (the clock begins on a Monday)."""
    deadline: DeadlinePart | None = None
    """Before it ever more arrives."""
    requests: Quantities = Field(default_factory=dict)
    """What one replica needs."""
    inputs: tuple[InputPart, ...] = ()
    """Data that each reads, all the same."""
    queue: ShortName = "default"
    """The queue they wait in."""
    priority: Priority = 0
    """Their priority."""

    @model_validator(mode="after")
    def _as_one_thing_or_the_other(self) -> GeneratePart:
        _rising(one_of(self, "duration", "like"), "expected")
        told = sorted(self.model_fields_set & {"replicas", "requests", "expected", "together"})
        if self.like is not None and told:
            raise wrong("the log that it is like tells this", "leave it out", (told[0],))
        idle = sorted((self.like.model_fields_set if self.like else set()) & {"name", "start", "queue_by"})
        if idle:
            raise wrong("does not count for a log that others are like", "leave it out", ("like", idle[0]))
        if 0 in (self.burst.constant, (self.burst.uniform or (1,))[0]):
            raise wrong("a burst of none", "1 or more", ("burst",))
        if self.every is not None and (self.lasts is None or self.lasts > self.every):
            raise wrong("comes again before it is over", "give a `lasts` that is no longer", ("every",))
        return self


class SourcePart(Part):
    """Where workloads of a scenario come from: a log, or chance."""

    trace: TracePart | None = None
    """A recorded log."""
    generate: GeneratePart | None = None
    """Chance."""

    @model_validator(mode="after")
    def _one(self) -> SourcePart:
        return one_of(self, "trace", "generate")
