"""What Slurm says of jobs, nodes and partitions, out of its JSON. Pure.

Written for v0.0.38 (Slurm 22.05). Later versions wrap numbers (``{"set": true, "infinite": false, "number": 3}``) and
give states as lists; both spellings are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from federator.model.indexset import IndexSet

Json = Mapping[str, Any]
WAITING, RUNNING, ENDED = "waiting", "running", "ended"
_PHASES = {
    WAITING: ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"),
    ENDED: (
        "COMPLETED", "FAILED", "TIMEOUT", "DEADLINE", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "CANCELLED",
        "PREEMPTED", "REVOKED", "LAUNCH_FAILED", "RECONFIG_FAIL",
    ),
}  # fmt: skip
PHASE_OF = {state: phase for phase, states in _PHASES.items() for state in states}
_USABLE = {"IDLE", "MIXED", "ALLOCATED"}
_UNUSABLE = {
    "DOWN", "DRAIN", "DRAINING", "DRAINED", "FAIL", "FAILING", "MAINT", "MAINTENANCE", "NOT_RESPONDING", "NO_RESPOND",
    "POWER_DOWN", "POWERED_DOWN", "POWERING_DOWN", "POWERING_UP", "POWER_UP", "REBOOT", "REBOOT_REQUESTED",
    "REBOOT_ISSUED", "RESERVED", "INVALID_REG", "FUTURE", "UNKNOWN", "ERROR",
}  # fmt: skip
_GRES = re.compile(r"([A-Za-z0-9_-]+)(?::([A-Za-z][\w.-]*))?(?::(\d+))?(?:\([^)]*\))?(?:,|$)")


@dataclass(frozen=True, slots=True)
class Task:
    """Tasks of one array job in one state (one task, or all of the array that wait)."""

    job: int
    """The array's id."""
    tasks: IndexSet
    cut: bool
    """Whether Slurm cut the list of tasks short."""
    state: str
    reason: str
    comment: str
    exit_code: int = 0
    signal: int = 0
    node: str = ""
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0
    restarts: int = 0
    """How often Slurm took it away and put it back into its queue."""
    preempted: bool = False
    """Whether it was told to make room."""
    submitted_s: float = 0.0
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def phase(self) -> str:
        """waiting, running (a job that ends is still there) or ended."""
        return PHASE_OF.get(self.state, RUNNING)


@dataclass(frozen=True, slots=True)
class Node:
    """One node. ``usable``: it takes new jobs (neither down nor drained nor reserved)."""

    name: str
    usable: bool
    partitions: tuple[str, ...]
    features: tuple[str, ...]
    cpus: int
    memory_mib: int
    gpus: int
    gpu_types: tuple[str, ...]
    used_cpus: int
    used_memory_mib: int
    used_gpus: int


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition; ``up``: it starts jobs. Those of a higher tier may take nodes from those of a lower one.

    ``preempt``: how its jobs make room (CANCEL, REQUEUE; OFF: never), as far as Slurm tells.
    """

    name: str
    default: bool
    up: bool
    tier: int = 0
    preempt: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """All that Slurm says at one time: jobs first, so that no job is counted whose node does not show it yet."""

    tasks: tuple[Task, ...]
    nodes: tuple[Node, ...]
    partitions: tuple[Partition, ...]
    version: str


def listing_of(jobs: Json, nodes: Json, partitions: tuple[Partition, ...]) -> Listing:
    """All of it. Large ones take a while."""
    return Listing(tasks_of(jobs), nodes_of(nodes), partitions, version_of(jobs))


def tasks_of(body: Json) -> tuple[Task, ...]:
    """The jobs of an answer that carry our kind of comment."""
    return tuple(_task(row) for row in body["jobs"] if str(row.get("comment", "")).startswith("federator:"))


def nodes_of(body: Json) -> tuple[Node, ...]:
    """The nodes of an answer."""
    return tuple(map(_node, body["nodes"]))


def partitions_of(body: Json) -> tuple[Partition, ...]:
    """The partitions of an answer of slurmrestd."""
    found = []
    for row in body["partitions"]:
        states = _words(row.get("state", row.get("partition", {}).get("state", "UP")))
        default = "default" in [str(flag).lower() for flag in row.get("flags", ())]
        tier = _number(row.get("priority_tier", (row.get("priority") or {}).get("tier")))
        modes = _words(row.get("preemption_mode", (row.get("preempt") or {}).get("mode", [])))
        preempt = "OFF" if {"DISABLED", "OFF"} & set(modes) else ",".join(modes)
        found.append(Partition(row["name"], default, "UP" in states, tier, preempt))
    return tuple(found)


def partitions_told(text: str) -> tuple[Partition, ...]:
    """The partitions by ``sinfo --format=%P,%a,%M,%p``: ``cpu*,up,OFF,10``."""
    found = []
    for line in text.split():
        name, up, preempt, tier = line.split(",")
        found.append(Partition(name.rstrip("*"), name.endswith("*"), up == "up", _number(tier), preempt))
    return tuple(found)


def version_of(body: Json) -> str:
    """Which Slurm answered."""
    told = body.get("meta", {})
    return str(told.get("Slurm", told.get("slurm", {})).get("release", "of unknown version"))


def _task(row: Json) -> Task:
    job = _number(row["job_id"])
    tasks, cut = _array(row)
    code, signal = _exit(row.get("exit_code"))
    allocated = _tres(row.get("tres_alloc_str") or "")
    return Task(
        job=_number(row.get("array_job_id")) or job,
        tasks=tasks,
        cut=cut,
        state=_state(row["job_state"]),
        reason=str(row.get("state_reason") or ""),
        comment=row["comment"],
        exit_code=code,
        signal=signal,
        node=str(row.get("nodes") or ""),
        cpus=int(allocated.get("cpu", "0")),
        memory_mib=_mebibytes(allocated.get("mem", "0")),
        gpus=sum(count for _, count in _gpus(str(row.get("tres_per_node") or "").replace("gres:", ""))),
        restarts=_number(row.get("restart_cnt")),
        preempted=bool(_number(row.get("preempt_time"))),
        submitted_s=float(_number(row.get("submit_time"))),
        started_s=float(_number(row.get("start_time"))),
        ended_s=float(_number(row.get("end_time"))),
    )


def _array(row: Json) -> tuple[IndexSet, bool]:
    text = str(row.get("array_task_string") or "").partition("%")[0]
    if not text:
        return IndexSet.of((_number(row.get("array_task_id")),)), False
    found: list[int] = []
    for part in text.removesuffix("...").rstrip(",").split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        if first.isdigit():
            found.extend(range(int(first), int(last or first) + 1, int(step or 1)))
    return IndexSet.of(found), text.endswith("...")


def _state(told: object) -> str:
    words = _words(told)
    return "COMPLETING" if "COMPLETING" in words else words[0]


def _words(told: object) -> list[str]:
    return [str(word).upper() for word in told] if isinstance(told, (list, tuple)) else [str(told).upper()]


def _exit(told: object) -> tuple[int, int]:
    """Exit status and signal. v0.0.38 gives what ``wait`` gave."""
    if isinstance(told, Mapping):
        return _number(told.get("return_code")), _number((told.get("signal") or {}).get("id"))
    raw = _number(told)
    return raw >> 8 & 255, raw & 127


def _number(told: object) -> int:
    if isinstance(told, Mapping):
        return int(told.get("number") or 0) if told.get("set", True) else 0
    return int(told) if isinstance(told, (int, float, str)) and str(told).lstrip("-").isdigit() else 0


def _tres(text: str) -> dict[str, str]:
    """``cpu=2,mem=128M,node=1``."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _mebibytes(text: str) -> int:
    found = re.fullmatch(r"([\d.]+)([KMGTP]?)", text)
    scale = {"K": 1 / 1024, "": 1.0, "M": 1.0, "G": 1024.0, "T": 1024.0**2, "P": 1024.0**3}
    return int(float(found[1]) * scale[found[2]]) if found else 0


def _node(row: Json) -> Node:
    states = {*_words(row["state"]), *_words(row.get("state_flags") or [])}
    gpus, used = _gpus(str(row.get("gres") or "")), _gpus(str(row.get("gres_used") or ""))
    return Node(
        name=row["name"],
        usable=bool(states & _USABLE) and not states & _UNUSABLE,
        partitions=tuple(row.get("partitions") or ()),
        features=_features(row.get("active_features") or ()),
        cpus=_number(row["cpus"]),
        memory_mib=_number(row["real_memory"]),
        gpus=sum(count for _, count in gpus),
        gpu_types=tuple(sorted({kind for kind, _ in gpus if kind})),
        used_cpus=_number(row.get("alloc_cpus")),
        used_memory_mib=_number(row.get("alloc_memory")),
        used_gpus=sum(count for _, count in used),
    )


def _features(told: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(filter(None, told.split(",") if isinstance(told, str) else told)))


def _gpus(text: str) -> list[tuple[str, int]]:
    """Kind and count of each sort of GPU in ``gpu:a100:2(S:0-1),gpu:3,license:1``; a name alone is one piece."""
    return [(kind, int(count or 1)) for name, kind, count in _GRES.findall(text) if name == "gpu"]
