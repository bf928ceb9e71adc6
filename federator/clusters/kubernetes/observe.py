"""Cached objects and pods of one intent as an ObservedIntent. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, ObjectRecord
from federator.clusters.kubernetes.pods import Ending, PodRecord
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Note, ObservedIntent

VANISHED = "its pod is gone and its Job counts it as failed"
UNPROVEN = "its pod is gone, and its Job cannot tell work that was done from work that was told to end and did so well"


@dataclass(slots=True)
class Known:
    """All that is cached of one intent.

    ``memory`` holds how pods ended that are gone by now (None: well), by index: the Job may count them later.
    ``words`` is what a Job's controller said last of why it cannot make pods, by the Job's name.
    """

    objects: dict[str, ObjectRecord] = field(default_factory=dict)
    pods: dict[str, PodRecord] = field(default_factory=dict)
    memory: dict[int, tuple[Ending | None, str]] = field(default_factory=dict)
    words: dict[str, Note] = field(default_factory=dict)


@dataclass(slots=True)
class _Tally:
    """The replicas of an intent, sorted by what became of them."""

    pending: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    succeeded: list[int] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    bound: int = 0

    def see(self, index: int, pod: PodRecord) -> None:
        """One replica, as its latest pod has it."""
        ours = pod.ours
        assert ours is not None
        if pod.phase == "Succeeded":
            self.succeeded.append(index)
        elif pod.phase == "Failed":
            self.failed.append(_failure(index, ours.ending or Ending("Error"), pod.node))
        else:
            self.bound += bool(pod.node)
            waiting = ours.waiting
            # A container that waits for its next start is no running replica, whatever the pod's phase says.
            (self.running if pod.phase in ("Running", "Unknown") and waiting is None else self.pending).append(index)
            if waiting is not None:
                self.notes.append(Note(index, waiting.reason, waiting.message, waiting.since_s))


def observed_intent(intent: str, known: Known) -> ObservedIntent:
    """What the cluster says of the intent."""
    objects = sorted(known.objects.values(), key=lambda o: (o.index if o.index is not None else -1, o.name))
    pods = _latest(known.pods.values())
    tally = _Tally()
    jobs = [o for o in objects if o.kind == JOB]
    others = [o for o in objects if o.kind != JOB]
    if others:
        _see_whole(tally, others[0], list(known.pods.values()))
    elif jobs:
        _see_jobs(tally, jobs, pods, known)
    else:
        _see_left(tally, pods, known.pods.values())
    live = [o for o in objects if not o.deleting]
    started = [o.started_s for o in objects if o.started_s] if others else []
    started += [pod.ours.started_s for pod in known.pods.values() if pod.ours and pod.ours.started_s]
    return ObservedIntent(
        id=intent,
        pending=IndexSet.of(tally.pending),
        running=IndexSet.of(tally.running),
        succeeded=IndexSet.of(tally.succeeded),
        failed=tuple(sorted(tally.failed, key=lambda failure: failure.index)),
        bound=min(tally.bound, len(tally.pending) + len(tally.running)),
        notes=tuple(sorted(tally.notes, key=lambda note: (note.index, note.reason))),
        spec_hash=objects[0].spec_hash if objects else "",
        replicas=sum(o.replicas for o in objects) if objects else None,
        leaving=not live,
        started_s=min(started, default=None),
    )


def _latest(pods: Iterable[PodRecord]) -> dict[int, PodRecord]:
    """The pod that speaks for each index: one that is not being deleted, the newest, the first by name."""
    found: dict[int, PodRecord] = {}
    for pod in sorted(pods, key=_rank):
        if pod.ours is not None and pod.ours.index is not None:
            found[pod.ours.index] = pod
    return found


def _rank(pod: PodRecord) -> tuple[bool, bool, float, str]:
    # An end that is known outranks a copy made afterwards: what has succeeded has succeeded.
    return pod.phase == "Succeeded", not pod.deleting, pod.ours.created_s if pod.ours else 0.0, pod.uid


def _see_jobs(tally: _Tally, jobs: Sequence[ObjectRecord], pods: Mapping[int, PodRecord], known: Known) -> None:
    """Batch: each index by its Job's count, else by its pod, else by what is remembered of a pod that is gone.

    Pods whose Job somebody removed count until they are gone too. Of backfill only pods tell that it has done its work.
    """
    for index in sorted(set(pods) - {index for job in jobs for index in job.indices}):
        tally.see(index, pods[index])
    for job in jobs:
        for index in job.indices:
            pod = pods.get(index)
            ended, node = known.memory.get(index, (None, ""))
            counted = index in job.succeeded or (job.verdict is True and not job.failed)
            if counted and not job.doubtful:
                tally.succeeded.append(index)
            elif pod is not None and (pod.ended or not _failed(job, index)):
                tally.see(index, pod)
            elif index in job.withdrawn:
                continue  # asked to leave, and gone
            elif index in known.memory and ended is None:
                tally.succeeded.append(index)
            elif _failed(job, index) or counted:
                tally.failed.append(_failure(index, ended or _of_job(job), node))
            elif not job.deleting:
                tally.pending.append(index)
                if job.name in known.words:
                    words = known.words[job.name]
                    tally.notes.append(Note(index, words.reason, words.message, words.since_s))


def _failed(job: ObjectRecord, index: int) -> bool:
    return index in job.failed or job.verdict is False


def _of_job(job: ObjectRecord) -> Ending:
    """How a replica ended of which only the Job tells. A pod that somebody removed was not the payload's fault."""
    if job.verdict is False and job.reason in ("DeadlineExceeded", "PodFailurePolicy"):
        return Ending(job.reason, job.message)
    return Ending("PodLost", UNPROVEN if job.verdict else job.message or VANISHED, own_fault=False)


def _see_whole(tally: _Tally, one: ObjectRecord, pods: Sequence[PodRecord]) -> None:
    """A service, or a user's own kind: its pods are interchangeable, and take the indices in order of their age."""
    if one.verdict is True:
        tally.succeeded.extend(one.indices)
        return
    if one.verdict is False:
        reason = one.reason or "Failed"
        tally.failed.extend(Failure(index, reason, one.message) for index in one.indices)
        return
    indices = list(one.indices)
    for index, pod in zip(indices, in_order(pods), strict=False):
        tally.see(index, pod)
    seen = len(tally.running) + len(tally.pending)
    if one.kind[0] != DEPLOYMENT[0]:
        # Part of it has done its work and waits for the rest; Deployments and their like replace what ends.
        done = sum(pod.ended for pod in pods)
        tally.running.extend(indices[seen : seen + done])
        seen += done
    tally.pending.extend(indices[seen:])
    if one.reason:
        tally.notes.extend(Note(index, one.reason, one.message) for index in indices[seen:])


def in_order(pods: Iterable[PodRecord]) -> list[PodRecord]:
    """The interchangeable pods that stand for indices 0, 1, 2 ...: the running first, then by age."""

    def key(pod: PodRecord) -> tuple[bool, bool, float, str]:
        ours = pod.ours
        assert ours is not None
        return pod.deleting, pod.phase != "Running" or ours.waiting is not None, ours.created_s, pod.name

    return sorted((pod for pod in pods if pod.ours is not None and not pod.ended), key=key)


def _see_left(tally: _Tally, pods: Mapping[int, PodRecord], everyone: Iterable[PodRecord]) -> None:
    """Only pods are left: what does not run any more says nothing new."""
    for index, pod in pods.items():
        tally.see(index, pod)
    nameless = [pod for pod in everyone if pod.ours is not None and pod.ours.index is None]
    for index, pod in enumerate(in_order(nameless)):
        tally.see(index, pod)


def _failure(index: int, ending: Ending, node: str) -> Failure:
    return Failure(index, ending.reason, ending.message, ending.exit_code, node, ending.own_fault)
