"""An order as the description of a cluster of jobs. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from federator.clusters.htcondor.settings import HTCondorSettings
from federator.expansion import shell_environment, shell_word
from federator.model.intent import Container, Order
from federator.model.resources import CPU, GPU, MEMORY, STORAGE, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import OrderRefused

KEPT_S = 30 * 86400
"""How long a job that has ended stays in the queue if nobody cancels it: a federator that is gone leaves nothing."""
PRIMARY = "TARGET.BackfillSlot =!= true"
"""Slots that nobody takes away for the room of others."""
ONCE = "TARGET.BackfillSlot =?= true && (MY.NumVacates ?: 0) == 0"
"""Slots that HTCondor empties for others. It starts no filler again that it has ended: the federator places it anew."""
FILLS = {
    "nice_user": "true",
    "periodic_remove": f"(NumVacates ?: 0) > 0 && time() - EnteredCurrentStatus > {KEPT_S}",
    "My.FederatorBackfill": "true",
}
"""What only jobs of backfill say. What a nice user uses counts against nobody."""
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-./:=,+@%&|;<>()[]{}*?!#~^")
"""What stands for itself wherever it passes through: the submit language, the ClassAd, the shell's ``printf %b``."""
UNPACK = 'eval "$(DOLLAR)(printf %b "$(DOLLAR)0")"'.replace('"', '\\"')
INDEX = "FEDERATOR_REPLICA_INDEX"
RUNS = ("FEDERATOR_WORKLOAD", "FEDERATOR_INTENT", "FEDERATOR_CLUSTER")


def description(order: Order, federation: str, settings: HTCondorSettings, requirements: str) -> dict[str, str]:
    """The submit description of an order's jobs; ``$(index)`` stands for the replica.

    The settings' directory must exist on this machine (HTCondor looks). ``requirements``: which slots may be used;
    empty: any. Raises OrderRefused for what is no command.
    """
    container = order.container
    if container is None:
        raise OrderRefused("Invalid", "an HTCondor pool runs containers and commands, no manifests", permanent=True)
    if not container.command:
        raise OrderRefused("Invalid", "there is no command: an HTCondor pool runs container.command", permanent=True)
    words = (*container.command, *container.args, *container.env, *container.env.values(), container.working_dir)
    if any("\0" in word for word in words) or any("=" in name or not name for name in container.env):
        raise OrderRefused("Invalid", "a NUL in the command or environment, or a bad variable name", permanent=True)
    service = order.lifetime is Lifetime.SERVICE
    intent, slots = order.intent, ONCE if order.backfill else PRIMARY
    told = {
        "universe": "vanilla",
        "executable": "/bin/sh",
        "transfer_executable": "false",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_output_files": '""',
        "initialdir": str(settings.directory),
        "output": f"{intent.id}.$(index)",
        "error": f"{intent.id}.$(index)",
        "log": "",
        "notification": "never",
        "job_max_vacate_time": str(round(order.grace_s if order.backfill else settings.grace_s)),
        "want_graceful_removal": "true",
        "priority": str(order.priority),
        "on_exit_remove": "false" if service else "true",
        "leave_in_queue": f"JobStatus == 4 && time() - CompletionDate < {KEPT_S}",
        "My.FederatorName": json.dumps(federation),
        "My.FederatorIntent": json.dumps(intent.id),
        "My.FederatorWorkload": json.dumps(intent.workload),
        "My.FederatorIndex": "$(index)",
        "My.FederatorSpec": json.dumps(order.spec_hash),
        "My.FederatorService": "true" if service else "false",
        "My.Arguments": f"\"-c '{UNPACK}' '{packed(script(container))}'\"",
        "My.Environment": f'"{_environment(order)}"',
        **_image(container),
        **requested(role_of(order).requests),
        **(FILLS if order.backfill else {}),
        "requirements": f"{slots} && ({requirements})" if requirements else slots,
    }
    if order.time_limit_s is not None:
        told["allowed_execute_duration"] = str(max(1, round(order.time_limit_s)))
    return told


def script(container: Container) -> str:
    """What the shell of the worker node does: the payload takes its place. Our variables are in its environment."""
    ours = {name: f'"${name}"' for name in (INDEX, *RUNS)}
    env = shell_environment(ours, container.env)
    settings = [f"{shlex.quote(name)}={env[name]}" for name in container.env if name not in ours]
    words = [shell_word(word, env) for word in (*container.command, *container.args)]
    where = shlex.quote(container.working_dir)
    make = "" if container.working_dir.startswith("/") else f"mkdir -p {where} && "
    place = f"{make}cd {where} && " if container.working_dir else ""
    return f"{place}exec {' '.join((*(['env', *settings] if settings else []), *words))}"


def packed(text: str) -> str:
    """The text for ``printf %b``: what would mean something on its way is written as octal numbers."""
    return "".join(c if c in PLAIN else "".join(f"\\0{byte:03o}" for byte in c.encode()) for c in text)


def role_of(order: Order) -> Role:
    """The role whose replicas the order is for."""
    for role in order.roles:
        if role.name == order.intent.role:
            return role
    raise OrderRefused("Invalid", f"the order has no role {order.intent.role!r}", permanent=True)


def _environment(order: Order) -> str:
    intent = order.intent
    own = zip(RUNS, (intent.workload, intent.id, intent.cluster), strict=True)
    return " ".join([f"{INDEX}=$(index)", *(f"{name}={value}" for name, value in own)])


def _image(container: Container) -> Mapping[str, str]:
    """The image as HTCondor names it. Written as on Kubernetes it is one of a registry."""
    image = container.image
    if not image:
        return {}
    if any(c not in PLAIN or c == " " for c in image):
        raise OrderRefused("Invalid", f"{image!r} is no image", permanent=True)
    on_disk = image.startswith("/") or "://" in image
    return {"universe": "container", "container_image": image if on_disk else f"docker://{image}"}


def requested(requests: Resources) -> dict[str, str]:
    """Whole cores and MiB: HTCondor gives nothing smaller."""
    told = {"request_cpus": str(max(1, -(-requests[CPU] // 1000)))}
    for name, amount in requests.items_:
        if name == MEMORY:
            told["request_memory"] = str(max(1, -(-amount // (1 << 20))))
        elif name == STORAGE:
            told["request_disk"] = str(max(1, -(-amount // 1024)))
        elif name == GPU:
            told["request_gpus"] = str(amount)
        elif name != CPU:
            raise OrderRefused("Invalid", f"an HTCondor pool has no {name}", permanent=True)
    return told
