"""What became of an intent's replicas: what Slurm lists now, laid over what is known of them already. Pure.

Ends are facts: once known they stay. An index that several jobs have (an answer was lost, and the job sent again) is
what the best of them says. What Slurm does not list any more, and whose end nobody saw, is ``Seen.forgotten``.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from federator.clusters.companions import NO_PYTHON, NO_PYTHON_WORDS
from federator.clusters.slurm.jobs import bases_of
from federator.clusters.slurm.ledger import Entry
from federator.clusters.slurm.records import ENDED, RUNNING, WAITING, Task
from federator.clusters.slurm.script import GAVE_WAY, NO_FOLDER, NOT_OURS, OVER_TIME
from federator.model.indexset import IndexSet
from federator.model.intent import PREEMPTED, Failure, Note, ObservedIntent

_SOON = {"", "None", "JobArrayTaskLimit", "BeginTime", "Cleaning"}
"""Slurm's reasons for waiting that tell of no lack."""
_RANK = {RUNNING: 2, WAITING: 1}
# Slurm's states of a job that the cluster took away, and our word for each.
_TAKEN = {"NODE_FAIL": "NodeLost", "BOOT_FAIL": "NodeLost", "PREEMPTED": PREEMPTED, "CANCELLED": "Cancelled"}
_TAKEN |= {"REVOKED": "Cancelled", "LAUNCH_FAILED": "LaunchFailed", "RECONFIG_FAIL": "LaunchFailed"}


@dataclass(slots=True)
class Seen:
    """An intent by one listing."""

    active: dict[int, Task] = field(default_factory=dict)
    """Indices that wait or run, and the task that says so."""
    ended: dict[int, Failure | None] = field(default_factory=dict)
    """Ends that were not known before; None: a success."""
    unknown: set[int] = field(default_factory=set)
    """Indices whose job is on its way, or younger than the listing."""
    forgotten: set[int] = field(default_factory=set)
    """Indices whose job is not listed any more, although its end was not seen."""
    started_s: float | None = None


def look(entry: Entry, tasks: Sequence[Task], listing: int) -> Seen:
    """``tasks``: of this intent's jobs. ``listing``: its number."""
    seen = Seen()
    base_of = {job: base for base, jobs in entry.jobs.items() for job in jobs}
    known = entry.ended
    cut: set[int] = set()
    for task in tasks:
        base = base_of.get(task.job)
        if base is None or never_was(task):
            continue
        if task.cut:
            cut.add(base)
        if task.started_s and task.phase != WAITING:
            seen.started_s = min(seen.started_s or task.started_s, task.started_s)
        for number in task.tasks:
            if (index := base + number) not in known:
                _tell(seen, entry, index, task)
    for index in seen.active:
        seen.ended.pop(index, None)
    _missing(seen, entry, listing, cut)
    return seen


def never_was(task: Task) -> bool:
    """Slurm lists a job that it refused for want of a node, as one that failed."""
    return task.state == "FAILED" and task.reason == "BadConstraints" and not task.exit_code


def _tell(seen: Seen, entry: Entry, index: int, task: Task) -> None:
    if task.phase != ENDED and not starts_again(entry, task):
        if index not in seen.active or _RANK[task.phase] > _RANK[seen.active[index].phase]:
            seen.active[index] = task
        return
    leaves = entry.leaving or index in entry.withdrawn
    if leaves and task.state == "CANCELLED":
        return
    end, before = (_taken(entry, index, task) if entry.once else None), seen.ended.get(index)
    end = end or end_of(index, task, entry.limit_s, kept=entry.kept)
    better = end is None or (before is not None and before.exit_code == NOT_OURS)
    if index not in seen.ended or better:
        seen.ended[index] = end


def _missing(seen: Seen, entry: Entry, listing: int, cut: Set[int]) -> None:
    left = entry.indices - entry.withdrawn - entry.ended - IndexSet.of((*seen.active, *seen.ended))
    for base, indices in bases_of(left, entry.size):
        jobs = entry.jobs.get(base, ())
        young = any(entry.sent.get(job, 0) >= listing for job in jobs)
        known = bool(jobs) and base not in cut and not young
        (seen.forgotten if known else seen.unknown).update(indices)


def starts_again(entry: Entry, task: Task) -> bool:
    """Whether Slurm took a task away and means to start it again; only the federator may, as another attempt."""
    return entry.once and task.restarts > 0 and task.phase != ENDED and task.state != "COMPLETING"


def _taken(entry: Entry, index: int, task: Task) -> Failure | None:
    """How a task that runs once ended, if that was not its own doing."""
    made_room = task.preempted or task.restarts > 0
    told = entry.backfill and (task.exit_code == GAVE_WAY or task.state == "TIMEOUT")
    if task.state == "COMPLETED" or not (made_room or told):
        return None
    reason = PREEMPTED if task.preempted or (made_room and entry.backfill) else "Requeued" if made_room else "TimeLimit"
    how = "put it back into its queue" if task.restarts else f"says {task.state}"
    return Failure(index, reason, f"Slurm told it to end and {how}", None, task.node, own_fault=False)


def end_of(index: int, task: Task, limit_s: float | None, *, kept: bool = False) -> Failure | None:
    """How a task ended; None: well. ``kept``: its script says where it cannot keep checkpoints."""
    code = 128 + task.signal if task.signal else task.exit_code
    state, node = task.state, task.node
    if state == "COMPLETED":
        return None
    if state in _TAKEN:
        return Failure(index, _TAKEN[state], f"Slurm says {state} ({task.reason})", None, node, own_fault=False)
    if state in ("TIMEOUT", "DEADLINE"):
        return Failure(index, "DeadlineExceeded", f"Slurm says {state}", None, node)
    if state == "OUT_OF_MEMORY":
        return Failure(index, "OOMKilled", "Slurm says OUT_OF_MEMORY", code or None, node)
    if not code:
        words = f"Slurm says {state} ({task.reason}), and the replica did not fail"
        return Failure(index, "LaunchFailed", words, None, node, own_fault=False)
    if kept and code == NO_PYTHON:
        return Failure(index, "NoPython", NO_PYTHON_WORDS, code, node)
    return failure_of(index, code, task.ended_s - task.started_s, limit_s, node)


def failure_of(index: int, code: int, ran_s: float, limit_s: float | None, node: str = "") -> Failure:
    """A replica that ended with this status after so many (whole) seconds."""
    if code == OVER_TIME and limit_s is not None and ran_s >= int(limit_s) - 1:
        return Failure(index, "DeadlineExceeded", f"ran longer than {limit_s:g} s", code, node)
    words = f"exited with {code}" if code < 128 else f"ended by signal {code - 128}"
    if code == NO_FOLDER:
        words += " (also what our script says where it cannot write to its folder, or enter it)"
    return Failure(index, "Error", words, code, node)


def observed(entry: Entry, seen: Seen, usable: Set[str]) -> ObservedIntent:
    """The intent as the federator is told of it, after what ended was taken into the entry.

    ``usable``: the nodes that count.
    """
    waiting = [index for index, task in seen.active.items() if task.phase == WAITING]
    running = IndexSet.of(index for index, task in seen.active.items() if task.phase == RUNNING)
    notes = [_note(index, seen.active[index]) for index in waiting if seen.active[index].reason not in _SOON]
    for base, words in entry.refused.items():
        indices = seen.unknown.intersection(range(base, base + entry.size))
        notes += [Note(index, "Unschedulable", words, entry.created_s) for index in indices]
    unknown = set() if entry.leaving else seen.unknown
    bound = sum(task.phase == RUNNING and task.node in usable for task in seen.active.values())
    return ObservedIntent(
        id=entry.intent,
        pending=IndexSet.of((*waiting, *unknown)),
        running=running,
        succeeded=entry.succeeded,
        failed=tuple(entry.failed[index] for index in sorted(entry.failed)),
        bound=bound,
        notes=tuple(sorted(notes, key=lambda note: note.index)),
        spec_hash=entry.spec_hash,
        replicas=len(entry.indices - entry.withdrawn),
        leaving=entry.leaving,
        started_s=entry.started_s,
    )


def _note(index: int, task: Task) -> Note:
    return Note(index, "Unschedulable", f"Slurm makes it wait: {task.reason}", task.submitted_s)
