"""One job of a log, whatever the log's format: what readers give, and what workloads and other logs are made of."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from federator.model.workload import Role


class Job(NamedTuple):
    """A job. Times are in seconds; None, and the empty text, are what the log does not tell."""

    name: str
    submit_s: float
    roles: tuple[Role, ...]
    """What it asks for; empty where the log does not tell."""
    run_s: float | None = None
    """How long each of its replicas ran."""
    expected_s: float | None = None
    """How long its user said it would take."""
    wait_s: float | None = None
    together: bool = False
    """Whether its replicas start together in one cluster."""
    status: int = -1
    """1: ended well, 0: failed, 5: was stopped, -1: not known (the numbers of the Standard Workload Format)."""
    priority: int = 0
    user: str = ""
    group: str = ""
    queue: str = ""
    partition: str = ""
    line: int = 0
    """Where it stands in the log, for what is told of it: its line, from 1 on, or its last one. 0: nowhere."""


@lru_cache(4096)
def alike(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    """The roles that were given here first of all that are equal to these, so that jobs that are alike share them."""
    return roles
