"""An order as it stands in the line, and as JSON in the store. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federator.model.checkpoints import Attempt, attempt
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.model.resources import Resources
from federator.model.workload import Lifetime
from federator.ports import OrderRefused

Json = Mapping[str, Any]
GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What has to be known of an order to give its replicas to pilots."""

    intent: str
    workload: str
    service: bool
    indices: IndexSet
    requests: Resources
    container: Container
    runtime: str
    """``process``, or ``container`` for an image that needs one of the container runtimes."""
    flavors: tuple[str, ...]
    time_limit_s: float | None
    priority: int
    spec_hash: str
    since_s: float
    withdrawn: IndexSet = IndexSet()
    leaving: bool = False
    grace_s: float = GRACE_S
    backfill: bool = False
    """It runs below everything else, and yields to it."""
    checkpoint_every_s: float | None = None
    inputs: frozenset[str] = frozenset()
    """The names of the data that a replica reads."""
    attempt: Attempt | None = None

    @property
    def wanted(self) -> IndexSet:
        """The replicas that should run, or have run."""
        return IndexSet() if self.leaving else self.indices - self.withdrawn

    @property
    def urgency(self) -> tuple[bool, int, float, str]:
        """The least is served first: the planner gave a cluster what is most urgent first."""
        return (self.backfill, -self.priority, self.since_s, self.intent)


def standing(order: Order, now_s: float, images_as_processes: bool) -> Standing:
    """The order as it joins the line. Raises OrderRefused for what no pilot could run."""
    container = order.container
    if container is None:
        raise OrderRefused("Invalid", "pilots run containers and commands, no manifests", permanent=True)
    as_process = images_as_processes or not container.image
    if as_process and not container.command:
        what = f"the image {container.image!r} is run as a process here" if container.image else "there is no image"
        raise OrderRefused("Invalid", f"{what}, so container.command must say what to run", permanent=True)
    words = (*container.command, *container.args, *container.env, *container.env.values(), container.working_dir)
    if any("\0" in word for word in words) or any("=" in name or not name for name in container.env):
        raise OrderRefused("Invalid", "a NUL in the command or environment, or a bad variable name", permanent=True)
    intent = order.intent
    role = next((role for role in order.roles if role.name == intent.role), None)
    if role is None:
        raise OrderRefused("Invalid", f"the order has no role {intent.role!r}", permanent=True)
    return Standing(
        intent=intent.id,
        workload=intent.workload,
        service=order.lifetime is Lifetime.SERVICE,
        indices=intent.indices,
        requests=role.requests,
        container=container,
        runtime="process" if as_process else "container",
        flavors=order.flavors,
        time_limit_s=order.time_limit_s,
        priority=order.priority,
        spec_hash=order.spec_hash,
        since_s=now_s,
        withdrawn=intent.withdrawn,
        grace_s=order.grace_s if order.backfill else GRACE_S,
        backfill=order.backfill,
        checkpoint_every_s=order.checkpoint_every_s,
        inputs=order.inputs,
        attempt=order.attempt,
    )


def to_json(one: Standing) -> dict[str, Any]:
    """As JSON, for the store and for pilots."""
    container = one.container
    return {
        "workload": one.workload,
        "service": one.service,
        "indices": str(one.indices),
        "withdrawn": str(one.withdrawn),
        "requests": dict(one.requests.items_),
        "image": container.image,
        "command": list(container.command),
        "args": list(container.args),
        "env": dict(container.env),
        "working_dir": container.working_dir,
        "runtime": one.runtime,
        "flavors": list(one.flavors),
        "time_limit_s": one.time_limit_s,
        "priority": one.priority,
        "spec_hash": one.spec_hash,
        "since_s": one.since_s,
        "leaving": one.leaving,
        "grace_s": one.grace_s,
        "backfill": one.backfill,
        "checkpoint_every_s": one.checkpoint_every_s,
        "inputs": sorted(one.inputs),
        "attempt": None if one.attempt is None else one.attempt.to_json(),
    }


def from_json(intent: str, value: Json) -> Standing:
    """What ``to_json`` wrote."""
    return Standing(
        intent=intent,
        workload=value["workload"],
        service=value["service"],
        indices=IndexSet.parse(value["indices"]),
        requests=Resources.of(value["requests"]),
        container=Container(
            value["image"], tuple(value["command"]), tuple(value["args"]), value["env"], value["working_dir"]
        ),
        runtime=value["runtime"],
        flavors=tuple(value["flavors"]),
        time_limit_s=value["time_limit_s"],
        priority=value["priority"],
        spec_hash=value["spec_hash"],
        since_s=value["since_s"],
        withdrawn=IndexSet.parse(value["withdrawn"]),
        leaving=value["leaving"],
        grace_s=value["grace_s"],
        backfill=value.get("backfill", False),  # orders of versions before have none
        checkpoint_every_s=value.get("checkpoint_every_s"),
        inputs=frozenset(value.get("inputs", ())),
        attempt=attempt(value.get("attempt")),
    )
