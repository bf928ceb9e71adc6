"""Orders into what the supervisor reads, and its story into what the federator observes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federator.clusters.local import story
from federator.clusters.local.layout import Ranges
from federator.clusters.local.settings import LocalSettings
from federator.model.checkpoints import NoStore, Sign, attempt, errand, signed
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Note, ObservedIntent, Order
from federator.model.resources import MEMORY, Resources
from federator.model.selectors import Toleration
from federator.model.workload import Role
from federator.ports import OrderRefused

Json = dict[str, Any]
_SLACK = 32 << 20
_GIB = 1 << 30


def order_json(order: Order, settings: LocalSettings, nodes: Mapping[str, str], now_s: float) -> Json:
    """What the supervisor is to run. ``nodes``: the pretended node of each index that has one.

    Raises OrderRefused for what is no command of this machine.
    """
    container = order.container
    if container is None:
        raise OrderRefused("Invalid", "a local cluster runs commands, no manifests", permanent=True)
    if not container.command:
        what = f"the image {container.image!r} cannot be started here" if container.image else "there is no command"
        raise OrderRefused("Invalid", f"{what}: a local cluster runs container.command", permanent=True)
    words = (*container.command, *container.args, *container.env, *container.env.values(), container.working_dir)
    if any("\0" in word for word in words) or any("=" in name or not name for name in container.env):
        raise OrderRefused("Invalid", "a NUL in the command or environment, or a bad variable name", permanent=True)
    role = role_of(order)
    memory = role.requests[MEMORY] if settings.enforce_memory else 0
    return {
        "intent": order.intent.id,
        "workload": order.intent.workload,
        "lifetime": str(order.lifetime),
        "command": [*container.command, *container.args],
        "env": dict(container.env),
        "own_env": {
            "FEDERATOR_WORKLOAD": order.intent.workload,
            "FEDERATOR_INTENT": order.intent.id,
            "FEDERATOR_CLUSTER": order.intent.cluster,
        },
        "working_dir": container.working_dir,
        "ranges": [list(span) for span in (order.intent.indices - order.intent.withdrawn).ranges],
        "nodes": dict(nodes),
        "requests": dict(role.requests.items_),
        "flavors": list(order.flavors),
        "tolerations": [[t.key, t.operator, t.value, t.effect] for t in role.tolerations],
        "time_limit_s": order.time_limit_s,
        # Resident memory is watched. The kernel's own limit only stops what grows faster than it is looked at: it is
        # far above, because runtimes ask for much that they never touch.
        "memory_bytes": memory + memory // 20 + _SLACK if memory else 0,
        "data_limit": 4 * memory + _GIB if memory else 0,
        "grace_s": settings.kill_grace_s,
        "ready_s": settings.ready_s,
        "backoff_s": settings.backoff_s,
        "backoff_max_s": settings.backoff_max_s,
        "hash": order.spec_hash,
        "created_s": now_s,
        "backfill": order.backfill,
        "checkpoint_every_s": order.checkpoint_every_s,
        "yield_s": order.grace_s,
        "checkpoints": None if order.attempt is None else order.attempt.to_json(),
    }


def errands(order: Json, wanted: IndexSet, sign: Sign) -> Json:
    """Where the checkpoints of each of these replicas are, by its index; empty where none are kept.

    Raises OrderRefused where nobody knows.
    """
    one = attempt(order.get("checkpoints"))  # orders of versions before have none
    try:
        return {} if one is None else {str(index): errand(one, index, sign) for index in wanted}
    except NoStore as error:
        raise OrderRefused("NoStore", str(error), permanent=True) from error


def is_signed(order: Json) -> bool:
    """Whether addresses of its checkpoints are good for a while only."""
    kept = order.get("checkpoints")
    return kept is not None and signed(kept["url"])


def role_of(order: Order) -> Role:
    """The role whose replicas the order is for."""
    for role in order.roles:
        if role.name == order.intent.role:
            return role
    raise OrderRefused("Invalid", f"the order has no role {order.intent.role!r}", permanent=True)


def indices(ranges: Ranges) -> IndexSet:
    """The set that JSON ranges stand for."""
    return IndexSet.join((start, stop) for start, stop in ranges)


def requests_of(order: Json) -> Resources:
    """What one replica asks for."""
    return Resources.of(order["requests"])


def tolerations_of(order: Json) -> list[Toleration]:
    """What its replicas tolerate."""
    return [Toleration(*fields) for fields in order["tolerations"]]


def observed(order: Json, withdrawn: IndexSet, leaving: bool, told: story.Story) -> ObservedIntent:
    """One intent as the federator sees it."""
    wanted = indices(order["ranges"]) - withdrawn
    by_phase: dict[str, list[int]] = {story.WAITING: [], story.RUNNING: []}
    succeeded: list[int] = []
    failed: list[Failure] = []
    notes: list[Note] = []
    for replica in told.replicas.values():
        if replica.phase != story.ENDED:
            by_phase[replica.phase].append(replica.index)
        elif replica.end["reason"]:
            failed.append(_failure(replica, order))
        else:
            succeeded.append(replica.index)
        if replica.phase == story.WAITING and replica.again_s > replica.at_s:
            notes.append(_waits_to_start_again(replica))
    fresh = wanted - IndexSet.of(told.replicas)
    if leaving:
        fresh = IndexSet()
    pending = fresh | IndexSet.of(by_phase[story.WAITING])
    running = IndexSet.of(by_phase[story.RUNNING])
    bound = IndexSet.of(map(int, order["nodes"]))
    no_room = "no pretended node has room for it"
    notes.extend(Note(index, "Unschedulable", no_room, order["created_s"]) for index in pending - bound)
    return ObservedIntent(
        id=order["intent"],
        pending=pending,
        running=running,
        succeeded=IndexSet.of(succeeded),
        failed=tuple(sorted(failed, key=lambda failure: failure.index)),
        bound=len((pending | running) & bound),
        notes=tuple(notes),
        spec_hash=order["hash"],
        replicas=len(wanted),
        leaving=leaving,
        started_s=told.started_s,
    )


def _failure(replica: story.Replica, order: Json) -> Failure:
    end = replica.end
    node = order["nodes"].get(str(replica.index), "")
    return Failure(replica.index, end["reason"], end["message"], end["exit_code"], node, end["own_fault"])


def _waits_to_start_again(replica: story.Replica) -> Note:
    reason = replica.end["reason"]
    code = "CannotRun" if reason == "CannotRun" else "CrashLoopBackOff"
    words = replica.end["message"] or "ended by itself"
    return Note(replica.index, code, f"{words}; ended {replica.streak} times in a row", replica.at_s)
