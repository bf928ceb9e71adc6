"""An order as the description of a cluster of jobs. Pure.

Whose checkpoints are kept runs under a companion, a file that is spooled with the job: the schedd shows it to its owner
alone, and it is gone from the sandbox before the payload begins.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from federator.clusters import companions
from federator.clusters.htcondor.settings import HTCondorSettings
from federator.expansion import CHECKPOINT_DIR, shell_environment, shell_word
from federator.model.checkpoints import LONGEST_S, Sign
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.model.resources import CPU, GPU, MEMORY, STORAGE, Resources
from federator.model.workload import Lifetime, Role
from federator.ports import OrderRefused
from federator.telling import CHIRP

KEPT_S = 30 * 86400
"""How long a job that has ended stays in the queue if nobody cancels it: a federator that is gone leaves nothing."""
PRIMARY = "TARGET.BackfillSlot =!= true"
"""Slots that nobody takes away for the room of others."""
BELOW = "TARGET.BackfillSlot =?= true"
"""Slots that HTCondor empties for others."""
ONCE = "(MY.NumVacates ?: 0) == 0"
"""HTCondor starts nothing again that it has ended, of fillers and of what keeps checkpoints: the federator places it
anew, as another attempt."""
GOES = {"periodic_remove": f"(NumVacates ?: 0) > 0 && time() - EnteredCurrentStatus > {KEPT_S}"}
FILLS = {"nice_user": "true", "My.FederatorBackfill": "true", **GOES}
"""What only jobs of backfill say. What a nice user uses counts against nobody."""
KEEPS = {"My.FederatorKeeps": "true", **GOES}
"""What only jobs say whose checkpoints are kept."""
FOLDER = ".federator-checkpoint"
"""In the sandbox: what the payload writes."""
AGAIN = 76
"""The exit status of a job that runs a second time, although it should not: two executions would write to one place."""
FIRST = f'! grep -Eqi "^NumShadowStarts = ([2-9]|[0-9][0-9])" "$_CONDOR_JOB_AD" || exit {AGAIN}'
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-./:=,+@%&|;<>()[]{}*?!#~^")
"""What stands for itself wherever it passes through: the submit language, the ClassAd, the shell's ``printf %b``."""
COMPANION = "federator-companion"
"""The name of its file."""
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
    intent, slots = order.intent, BELOW if order.backfill else PRIMARY
    if order.backfill or order.attempt:
        slots = f"{slots} && {ONCE}"
    grace_s = order.grace_s if order.backfill or order.attempt else settings.grace_s
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
        "job_max_vacate_time": str(round(grace_s)),
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
        "My.Arguments": f"\"-c '{UNPACK}' '{packed(script(container, keeps=order.attempt is not None))}'\"",
        "My.Environment": f'"{_environment(order)}"',
        **_image(container),
        **requested(role_of(order).requests),
        **(FILLS if order.backfill else {}),
        **(KEEPS if order.attempt else {}),
        "requirements": f"{slots} && ({requirements})" if requirements else slots,
    }
    if order.time_limit_s is not None:
        told["allowed_execute_duration"] = str(max(1, round(order.time_limit_s)))
    return told


def companion(order: Order, indices: IndexSet, sign: Sign, now_s: float) -> bytes:
    """What keeps the checkpoints of these replicas; empty where none are kept. ``sign``: for as long as can be, since
    nobody brings new addresses to a job. Raises OrderRefused."""
    if order.attempt is None:
        return b""
    until_s = now_s + LONGEST_S if companions.is_signed(order.attempt) else None
    errands = companions.errands(order.attempt, indices, sign)
    told = {"graceSeconds": order.grace_s, "tellsAll": False, "drops": True, "hides": True, "renewed": None}
    return companions.pack({**told, "tells": CHIRP, "errands": errands, "goodUntil": until_s})


def script(container: Container, *, keeps: bool = False) -> str:
    """What the shell of the worker node does: the payload takes its place, or its companion. Our variables are in its
    environment."""
    ours = {name: f'"${name}"' for name in (INDEX, *RUNS)}
    first = begin = ""
    if keeps:
        ours[CHECKPOINT_DIR] = f'"${CHECKPOINT_DIR}"'
        first = f'{FIRST}\n{companions.CHECK}\nexport {CHECKPOINT_DIR}="$PWD/{FOLDER}" keeper="$PWD/{COMPANION}"\n'
        begin = f'{companions.PYTHON} "$keeper" run "${INDEX}" "${CHECKPOINT_DIR}" '
    env = shell_environment(ours, container.env)
    settings = [f"{shlex.quote(name)}={env[name]}" for name in container.env if name not in ours]
    words = [shell_word(word, env) for word in (*container.command, *container.args)]
    where = shlex.quote(container.working_dir)
    make = "" if container.working_dir.startswith("/") else f"mkdir -p {where} && "
    place = f"{make}cd {where} && " if container.working_dir else ""
    return f"{first}{place}exec {begin}{' '.join((*(['env', *settings] if settings else []), *words))}"


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
