"""The wire format of pilots, version 1: what they send and what they are told, as JSON. Pure.

Fields may be added to a version; a field is never renamed or given another meaning within one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from federator.api.call import Call
from federator.api.pilot_slips import NAME, REASON, slips
from federator.api.problems import Problem
from federator.daemon.service import Json
from federator.model.pilots import Grant, Mail, Pilot, Progress, Result
from federator.model.resources import CPU, Resources, in_base_units

PROTOCOL = 1
MAX_LEASES = 10_000
MAX_LOG_CHARS = 256 * 1024
MAX_WAIT_S = 60.0

Name = Annotated[str, Field(pattern=NAME)]
LeaseId = Annotated[str, Field(min_length=1, max_length=400)]
Leases = Annotated[list[LeaseId], Field(max_length=MAX_LEASES)]
Text = Annotated[str, Field(max_length=4096)]
Amount = Annotated[float, Field(ge=0, le=2**60, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=10 * 366 * 86400.0, allow_inf_nan=False)]
Key = Annotated[str, Field(min_length=1, max_length=317)]
Labels = Annotated[dict[Key, Annotated[str, Field(max_length=253)]], Field(max_length=64)]
Usage = Annotated[dict[Key, Amount], Field(max_length=16)]


class Body(BaseModel):
    """What pilots send: camelCase, no unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, use_attribute_docstrings=True
    )


class PilotRegistration(Body):
    """A pilot describes itself. Sent again, it replaces what was said before; leases stay."""

    protocol: Literal[1]
    """The version of this format."""
    name: Name
    """Unique for all clusters, and the same after a restart of the pilot."""
    cluster: Annotated[str, Field(max_length=253)] = ""
    """The cluster it works for: the site of its token, which is also the default."""
    host: Text = ""
    """The machine."""
    version: Text = ""
    """Of the agent."""
    resources: Annotated[dict[Key, Amount], Field(max_length=64)]
    """For payloads in all: cpu in cores, memory in bytes, others in pieces."""
    labels: Labels = Field(default_factory=dict)
    """Labels of its flavor."""
    runtimes: Annotated[list[Literal["process", "apptainer", "podman"]], Field(min_length=1, max_length=3)]
    """What it can run payloads in."""
    data: Annotated[list[Annotated[str, Field(min_length=1, max_length=253)]], Field(max_length=1000)] = []
    """The names of inputs of workloads that it has at hand: in a cache, on a disk of its site."""
    lifetime_seconds: Seconds | None = None
    """How long it will still be there; left out: nobody knows."""


class LeaseRequest(Body):
    """A wish for work."""

    held: Leases
    """Every lease the pilot knows of and has no acknowledged end for. Those it has and does not name are told again."""
    limit: Annotated[int, Field(ge=0, le=1000)] = 1
    """At most so many further replicas; 0: only news."""
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)] = 0.0
    """How long the answer may wait for something to tell."""


class PilotHeartbeat(Body):
    """A sign of life."""

    held: Leases
    """The leases to renew."""


class PayloadProgress(Body):
    """A payload that runs."""

    lease: LeaseId
    log: Annotated[str, Field(max_length=MAX_LOG_CHARS)] = ""
    """A piece of its output, if it was asked for."""
    log_from: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Where in the output the piece begins, in bytes of UTF-8."""
    checkpoint: Literal["", "kept", "failed", "resumed", "damaged"] = ""
    """What became of a checkpoint of it."""
    checkpoint_message: Text = ""
    """Why, for people."""


class PilotProgress(Body):
    """Payloads that have begun to run, and output that was asked for."""

    payloads: Annotated[list[PayloadProgress], Field(max_length=MAX_LEASES)]
    """Each of them."""


class PayloadEnd(Body):
    """A payload that succeeded."""

    lease: LeaseId
    exit_code: Annotated[int, Field(ge=-1024, le=1024)] | None = 0
    log: Annotated[str, Field(max_length=MAX_LOG_CHARS)] = ""
    """The end of its output."""
    log_from: Annotated[int, Field(ge=0, le=2**53)] = 0
    """Where in the output that begins, in bytes of UTF-8."""
    usage: Usage = Field(default_factory=dict)
    """What was measured: cpuSeconds, wallSeconds, memoryBytes (its peak)."""


class PayloadFailure(PayloadEnd):
    """A payload that did not succeed, or that was not started."""

    reason: Annotated[str, Field(pattern=REASON)]
    """Error, OOMKilled, DeadlineExceeded, CannotRun, Drained, Stopped, Returned (not started: it waits again) ..."""
    message: Text = ""
    """For people."""
    own_fault: bool = True
    """False where the worker node or the pilot is to blame: such an end costs no retry."""


BODIES: tuple[type[Body], ...] = (
    PilotRegistration, LeaseRequest, PilotHeartbeat, PilotProgress, PayloadEnd, PayloadFailure,
)  # fmt: skip
B = TypeVar("B", bound=Body)


def read(call: Call, kind: type[B]) -> B:
    """The body. Raises Problem: 415 for another type, 400 for what is no JSON, 422 for what is wrong in it."""
    if call.request.content_type != "application/json":
        raise Problem(415, "wrong-type", f"send application/json, not {call.request.content_type!r}")
    try:
        return kind.model_validate_json(call.body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise Problem(400, "malformed", f"the body is no JSON: {first['ctx']['error']}") from error
        told = slips(error, kind)
        words = f"{told[0]['field']}: {told[0]['message']}; {told[0]['cure']}"
        raise Problem(422, "invalid-body", words, more={"errors": told}) from error


def pilot_of(body: PilotRegistration, site: str, now_s: float) -> Pilot:
    """The pilot that a registration describes."""
    amounts = {name: round(amount * 1000) if name == CPU else int(amount) for name, amount in body.resources.items()}
    return Pilot(
        name=body.name,
        cluster=body.cluster or site,
        resources=Resources.of(amounts),
        labels=dict(body.labels),
        runtimes=frozenset(body.runtimes),
        data=frozenset(body.data),
        host=body.host,
        version=body.version,
        ends_s=None if body.lifetime_seconds is None else now_s + body.lifetime_seconds,
    )


def progress_of(body: PilotProgress) -> list[Progress]:
    """What a pilot tells of its payloads."""
    return [Progress(one.lease, one.log, one.log_from, one.checkpoint, one.checkpoint_message) for one in body.payloads]


def result_of(body: PayloadEnd) -> Result:
    """How a payload ended."""
    failed = body if isinstance(body, PayloadFailure) else None
    return Result(
        reason=failed.reason if failed else "",
        message=failed.message if failed else "",
        exit_code=body.exit_code,
        own_fault=failed.own_fault if failed else True,
        log=body.log,
        log_from=body.log_from,
        usage=body.usage,
    )


def mail_json(mail: Mail) -> Json:
    """What a pilot is told."""
    return {
        "grants": [_grant(grant) for grant in mail.grants],
        "void": list(mail.void),
        "stop": [{"lease": one.lease, "graceSeconds": one.grace_s} for one in mail.stop],
        "logs": list(mail.logs),
        "leaseSeconds": mail.lease_s,
        "checkpoints": [{"lease": lease, **told} for lease, told in mail.checkpoints.items() if told is not None],
    }


def _grant(grant: Grant) -> Json:
    order = grant.order
    return {
        "lease": grant.lease,
        "intent": grant.intent,
        "workload": order["workload"],
        "cluster": grant.cluster,
        "index": grant.index,
        "runtime": order["runtime"],
        "image": order["image"],
        "command": order["command"],
        "args": order["args"],
        "env": order["env"],
        "workingDir": order["working_dir"],
        "requests": in_base_units(order["requests"]),
        "timeLimitSeconds": order["time_limit_s"],
        "graceSeconds": order["grace_s"],
        "backfill": order["backfill"],
        **({} if grant.checkpoint is None else {"checkpoint": grant.checkpoint}),
    }


def schemas() -> dict[str, Any]:
    """JSON Schemas of what pilots send, by name."""
    inputs: list[tuple[type[BaseModel], Literal["validation", "serialization"]]]
    kinds: tuple[type[Body], ...] = (*BODIES, PayloadProgress)
    inputs = [(kind, "validation") for kind in kinds]
    _, made = models_json_schema(inputs, ref_template="#/components/schemas/{model}")
    return dict(made["$defs"])
