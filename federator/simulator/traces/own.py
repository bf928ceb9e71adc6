"""Our own format: one job to a line, as JSON. `docs/traces.md` shows one.

``name`` and ``submit_s`` must be there; then ``replicas`` and ``requests`` (quantities), or ``roles`` that have these
and a ``name``; ``run_s, expected_s, wait_s, together, status, priority, user, group, queue, partition`` as ``Job`` has
them; ``flavors``: by label the values that its nodes may have. Other keys are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from federator.documents.fields import Quantities
from federator.documents.quantities import format_resources, resources_of
from federator.documents.sources import TracePart
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Role
from federator.simulator.traces.job import Job, alike
from federator.simulator.traces.opening import TraceError, lines

MOST = 1e15


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    replicas: int = Field(1, ge=1, le=10**9)
    requests: Quantities = Field(default_factory=dict)
    flavors: dict[str, tuple[str, ...]] = Field(default_factory=dict)


class _Role(_Part):
    name: str


class _Line(_Part):
    name: str = Field(min_length=1)
    submit_s: float = Field(ge=0, le=MOST)
    run_s: float | None = Field(None, ge=0, le=MOST)
    expected_s: float | None = Field(None, ge=0, le=MOST)
    wait_s: float | None = Field(None, ge=0, le=MOST)
    roles: tuple[_Role, ...] = ()
    together: bool = False
    status: int = -1
    priority: int = Field(0, ge=-(10**9), le=10**9)
    user: str = ""
    group: str = ""
    queue: str = ""
    partition: str = ""


TAKEN_OVER = ("together", "status", "priority", "user", "group", "queue", "partition")
TIMES = ("run_s", "expected_s", "wait_s")


def known(first: str) -> bool:
    """Whether a log that begins with this line is one of these."""
    return first.startswith("{") and '"submit_s"' in first


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs in the log's order. Raises TraceError."""
    for number, text in lines(path):
        if not text.strip():
            continue
        try:
            one = _Line.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the line"
            raise TraceError(str(path), number, f"{place}: {first['msg']}", "see docs/traces.md") from None
        roles = alike(tuple(_role(role.name, role) for role in one.roles) or (_role("", one),))
        told = {name: getattr(one, name) for name in (*TIMES, *TAKEN_OVER)}
        yield Job(one.name, one.submit_s, roles, **told, line=number)


def written(job: Job) -> str:
    """A job as a line, without its end."""
    told: dict[str, Any] = {"name": job.name, "submit_s": job.submit_s}
    told |= {name: value for name in TIMES if (value := getattr(job, name)) is not None}
    if len(job.roles) == 1 and not job.roles[0].name:
        told |= _pieces(job.roles[0])
    else:
        told["roles"] = [{"name": role.name} | _pieces(role) for role in job.roles]
    nothing = Job("", 0.0, ())
    told |= {name: value for name in TAKEN_OVER if (value := getattr(job, name)) != getattr(nothing, name)}
    return json.dumps(told)


def _role(name: str, part: _Part) -> Role:
    terms = tuple(Requirement(key, "In", values) for key, values in sorted(part.flavors.items()))
    return Role(name, part.replicas, resources_of(part.requests), Constraint(Selector(terms)))


def _pieces(role: Role) -> dict[str, Any]:
    told: dict[str, Any] = {"replicas": role.replicas, "requests": format_resources(role.requests)}
    terms = {term.key: list(term.values) for term in role.flavors.selector.requirements if term.operator == "In"}
    return told | ({"flavors": terms} if terms else {})
