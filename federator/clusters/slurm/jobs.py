"""From an order to the job arrays that carry it out, and what their comments tell of them. Pure.

Task t of the array with base b is replica b + t: bases are multiples of the array size, so that a replica has one
place, whoever asks. The comment of a job says whose it is, so that a daemon that lost everything still knows its jobs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from federator.clusters import companions
from federator.clusters.slurm.flavors import MIB, constraint_for
from federator.clusters.slurm.script import GIVE_WAY, TOLD, script
from federator.clusters.slurm.settings import SlurmSettings
from federator.model.checkpoints import Sign
from federator.model.cluster import Flavor
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.model.resources import CPU, MEMORY
from federator.model.workload import Lifetime, Role
from federator.ports import OrderRefused
from federator.telling import INDEX

SAFE = re.compile(r"[A-Za-z0-9_./:=,+@%-]+")
"""Words that mean themselves to every shell."""
_COMMENT = re.compile(r"federator:([^:]*):([^:]*):([^:]*):(\d+):(\d+):([\d.e+]*)(:backfill|:kept)?")
KEPT_AT_ONCE = 100
"""The most tasks of an array whose checkpoints are kept: their addresses go with the script."""
ADDRESSES = "addresses"
"""The file of an intent, below the directory, with addresses that are good for longer."""


@dataclass(frozen=True, slots=True)
class Job:
    """One array, as Slurm is asked to run it. ``minutes``: Slurm's own time limit, later than ours; None: none.
    ``signal``: what tells the script before its end, in Slurm's words; empty: nothing does.

    ``name``, ``comment``, ``array`` and ``directory`` are safe words; the script holds everything of the user's.
    """

    base: int
    name: str
    comment: str
    array: str
    directory: str
    script: str
    partitions: tuple[str, ...]
    constraint: str
    account: str
    qos: str
    cpus: int
    memory_mib: int
    gpus: int
    minutes: int | None
    signal: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """What a job's comment says."""

    intent: str
    spec_hash: str
    base: int
    size: int
    """Of arrays, when it was sent."""
    limit_s: float | None
    backfill: bool = False
    kept: bool = False
    """Whether checkpoints of its replicas are kept."""


def comment_of(federation: str, marks: Marks) -> str:
    """The comment of a job of this federation."""
    limit = "" if marks.limit_s is None else f"{marks.limit_s:g}"
    whose = f"federator:{federation}:{marks.intent}:{marks.spec_hash}:{marks.base}:{marks.size}:{limit}"
    return f"{whose}:backfill" if marks.backfill else f"{whose}:kept" if marks.kept else whose


def marks_of(federation: str, comment: str) -> Marks | None:
    """What the comment says; None where the job is not of this federation."""
    found = _COMMENT.fullmatch(comment)
    if found is None or found[1] != federation:
        return None
    limit_s = float(found[6]) if found[6] else None
    return Marks(
        found[2], found[3], int(found[4]), int(found[5]), limit_s, found[7] == ":backfill", found[7] == ":kept"
    )


def bases_of(indices: IndexSet, size: int) -> list[tuple[int, IndexSet]]:
    """The arrays that the indices fall into: the base of each, and its indices."""
    bases = sorted({base for a, b in indices.ranges for base in range(a - a % size, b, size)})
    return [(base, indices & IndexSet.span(base, base + size)) for base in bases]


def jobs_of(
    order: Order,
    settings: SlurmSettings,
    federation: str,
    flavors: Sequence[Flavor],
    partitions: tuple[str, ...],
    size: int,
    sign: Sign,
    now_s: float,
) -> list[Job]:
    """The arrays of an order. ``partitions``: where it goes if it names no flavors. Raises OrderRefused.

    Backfill goes to its own partition, if it has one, whose nodes are those of all flavors.
    """
    container, role, intent = _container_of(order, settings), _role_of(order), order.intent
    constraint = ""
    apart = settings.backfill_partition if order.backfill else ""
    if order.flavors:
        partitions, constraint = _places(order, flavors, of_all=bool(apart))
    if apart:
        partitions = (apart,)
    if not partitions:
        raise OrderRefused("NoPartition", "none of its partitions starts jobs now", permanent=False, retry_after_s=30.0)
    gpus = role.requests[settings.gpu_resource]
    own = {"FEDERATOR_WORKLOAD": intent.workload, "FEDERATOR_INTENT": intent.id, "FEDERATOR_CLUSTER": intent.cluster}
    limit = order.time_limit_s
    marks = Marks(intent.id, order.spec_hash, 0, size, limit, order.backfill, order.attempt is not None)
    grace_s = order.grace_s if order.backfill else None
    found = []
    for base, indices in bases_of(intent.indices - intent.withdrawn, size):
        job = Job(
            base=base,
            name=_safe(intent.id),
            comment=_safe(comment_of(federation, replace(marks, base=base))),
            array=",".join(f"{a - base}-{b - 1 - base}" if b - a > 1 else str(a - base) for a, b in indices.ranges),
            directory=settings.directory,
            script=script(
                f"{settings.directory}/{_safe(intent.id)}",
                base,
                container,
                own,
                apptainer=bool(container.image) and not settings.images_as_processes,
                gpus=bool(gpus),
                limit_s=limit,
                grace_s=settings.end_grace_s,
                yield_s=grace_s,
                companion=_companion(order, settings, indices, sign, now_s),
            ),
            partitions=partitions,
            constraint=constraint,
            account=settings.account,
            qos=(settings.backfill_qos if order.backfill else "") or settings.qos,
            cpus=max(1, math.ceil(role.requests[CPU] / 1000)),
            memory_mib=math.ceil(role.requests[MEMORY] / MIB),
            gpus=gpus,
            minutes=None if limit is None else math.ceil((limit + settings.end_grace_s) / 60) + 1,
            signal="" if grace_s is None else f"B:{GIVE_WAY}@{math.ceil(grace_s)}",
        )
        found.append(job)
    return found


def _companion(order: Order, settings: SlurmSettings, indices: IndexSet, sign: Sign, now_s: float) -> bytes:
    """What keeps the checkpoints of these replicas; empty where none are kept."""
    if order.attempt is None:
        return b""
    told = {
        "graceSeconds": order.grace_s,
        "tellsAll": True,
        "drops": False,
        "hides": False,
        "tells": f"{settings.directory}/{_safe(order.intent.id)}/{TOLD}/{INDEX}",
        "renewed": f"{settings.directory}/{_safe(order.intent.id)}/{ADDRESSES}",
    }
    return companions.pack(told | companions.addresses(order.attempt, indices, sign, now_s))


def _container_of(order: Order, settings: SlurmSettings) -> Container:
    container = order.container
    if order.lifetime is not Lifetime.BATCH:
        raise OrderRefused("Invalid", "a Slurm cluster runs batch work, no services", permanent=True)
    if container is None:
        raise OrderRefused("Invalid", "a Slurm cluster runs commands and images, no manifests", permanent=True)
    if not container.command and (settings.images_as_processes or not container.image):
        raise OrderRefused("Invalid", "there is no command to run", permanent=True)
    words = (*container.command, *container.args, *container.env, *container.env.values(), container.working_dir)
    if any("\0" in word for word in (*words, container.image)) or any("=" in n or not n for n in container.env):
        raise OrderRefused("Invalid", "a NUL in the command or environment, or a bad variable name", permanent=True)
    return container


def _role_of(order: Order) -> Role:
    for role in order.roles:
        if role.name == order.intent.role:
            return role
    raise OrderRefused("Invalid", f"the order has no role {order.intent.role!r}", permanent=True)


def _places(order: Order, flavors: Sequence[Flavor], *, of_all: bool) -> tuple[tuple[str, ...], str]:
    try:
        return constraint_for(order.flavors, flavors, of_all=of_all)
    except KeyError as missing:
        raise OrderRefused("NoFlavor", f"there is no flavor {missing} now", permanent=False) from missing
    except ValueError as alike:
        cure = "give its nodes a feature, or a partition, of their own"
        raise OrderRefused(
            "Invalid", f"nothing tells flavor {alike} from its partition: {cure}", permanent=True
        ) from alike


def _safe(word: str) -> str:
    if not SAFE.fullmatch(word):
        raise OrderRefused("Invalid", f"{word!r} holds characters that no job of ours may have", permanent=True)
    return word
