"""Pilots that pull work, the line they pull it from, and the leases they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from federator.model.resources import Resources


class PilotState(StrEnum):
    """How a pilot is."""

    ACTIVE = "active"
    DRAINING = "draining"
    """Takes no new work; what it holds may end."""
    SUSPECT = "suspect"
    """What it runs fails, though it runs elsewhere: it is given one replica at a time, as a probe."""
    LOST = "lost"
    """Was not heard of for longer than a lease is good for. It may come back."""


class LeaseState(StrEnum):
    """What became of a lease. Only an ended one is kept in the other two states, until its intent is removed."""

    GRANTED = "granted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pilot:
    """An agent on a worker node, as it described itself.

    ``resources`` are for payloads in all, ``ends_s`` is when its batch slot ends (None: nobody knows), ``runtimes``
    are what it can run payloads in: process, apptainer, podman; ``data`` are the names of inputs that it has at hand.
    """

    name: str
    cluster: str
    resources: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    runtimes: frozenset[str] = frozenset({"process"})
    data: frozenset[str] = frozenset()
    host: str = ""
    version: str = ""
    registered_s: float = 0.0
    ends_s: float | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """One replica in the hands of one pilot: the latest grant of it, and its end once it has one.

    A replica has one lease at most, so that a grant that was void before is known by its id: it is another one.
    ``log`` is the end of the output. ``usage`` is what was measured: cpu_s, wall_s, memory_bytes (its peak).
    """

    intent: str
    index: int
    id: str
    pilot: str
    granted_s: float
    spec_hash: str = ""
    state: LeaseState = LeaseState.GRANTED
    ended_s: float = 0.0
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    own_fault: bool = True
    node: str = ""
    log: str = ""
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """How a payload ended, as its pilot tells it. ``reason`` "" is a success."""

    reason: str = ""
    message: str = ""
    exit_code: int | None = 0
    own_fault: bool = True
    log: str = ""
    log_from: int = 0
    """Where in the whole output ``log`` begins, in bytes."""
    usage: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """A payload that runs: that it does, and a piece of its output from a byte on, where somebody asked for it."""

    lease: str
    log: str = ""
    log_from: int = 0
    checkpoint: str = ""
    """What became of a checkpoint of it: kept, failed, resumed, damaged."""
    message: str = ""
    """Why, for people."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a pilot is told of a lease: everything it needs to run the replica."""

    lease: str
    intent: str
    cluster: str
    index: int
    order: Mapping[str, Any]
    """As the line keeps it: workload, image, command, args, env, working_dir, runtime, requests, time_limit_s ..."""
    checkpoint: Mapping[str, Any] | None = None
    """Where its checkpoints are (``model.checkpoints.errand``); None: nothing is kept for it."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A lease whose payload should end: SIGTERM, and SIGKILL ``grace_s`` later."""

    lease: str
    grace_s: float


@dataclass(frozen=True, slots=True)
class Mail:
    """What a pilot is told in answer to any call.

    ``void`` are leases it believes to hold and does not: their payloads end at once, and their results count for
    nothing. ``logs`` are leases whose output somebody wants to see. ``lease_s`` is how long a lease is good for.
    """

    grants: tuple[Grant, ...] = ()
    void: tuple[str, ...] = ()
    stop: tuple[Stop, ...] = ()
    logs: tuple[str, ...] = ()
    lease_s: float = 0.0
    checkpoints: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """By lease, new addresses in place of those that will not be good for long."""


@dataclass(frozen=True, slots=True)
class LineOrder:
    """One order in a line, as JSON; ``clusters/pilots/line_order.py`` knows what is in it."""

    intent: str
    cluster: str
    document: Mapping[str, Any]


Replica = tuple[str, int]
"""An intent's id and an index."""


@dataclass(frozen=True, slots=True)
class LineChanges:
    """What one transaction writes of lines, by key; None removes, an order with all its leases."""

    pilots: Mapping[str, Pilot | None] = field(default_factory=dict)
    orders: Mapping[str, LineOrder | None] = field(default_factory=dict)
    leases: Mapping[Replica, Lease | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.pilots or self.orders or self.leases)


@dataclass(frozen=True, slots=True)
class StoredLine:
    """All that is kept of one cluster's line."""

    pilots: tuple[Pilot, ...] = ()
    orders: tuple[LineOrder, ...] = ()
    leases: tuple[Lease, ...] = ()
