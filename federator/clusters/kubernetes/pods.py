"""What is kept of a pod: what it uses, and of our own what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from federator.clusters.companions import NO_PYTHON, NO_PYTHON_WORDS
from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.quantities import interned, pod_requests
from federator.clusters.kubernetes.timestamps import seconds
from federator.clusters.outcomes import without
from federator.model.intent import PREEMPTED
from federator.model.resources import Resources

ENDED = ("Succeeded", "Failed")
# The scheduler gave the pod's room to others.
BY_OTHERS = ("PreemptionByScheduler", "PreemptionByKubeScheduler")
# Waiting for these is the ordinary way to start.
STARTING = ("ContainerCreating", "PodInitializing")
# A pod that waits for what it displaces; it has found its node.
NOMINATED = "Nominated"
# What runtimes say of an image that lacks what carries checkpoints.
NO_PROGRAM = '"python3": executable file not found'
# The kubelet, the scheduler or the controllers took the pod away: not what the payload did.
TAKEN_AWAY = frozenset(
    {
        "Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "Preempted", "NodeAffinity",
        "UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods", "OutOfephemeral-storage",
        "ContainerStatusUnknown",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """How a failed pod ended, in the cluster's words."""

    reason: str
    message: str = ""
    exit_code: int | None = None
    own_fault: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a pod does not run."""

    reason: str
    message: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Ours:
    """What only our own pods need: ``index`` is None for pods whose replicas are interchangeable.

    ``grace_s`` is from the polite signal to the kill, as last asked for. ``backfill``: what it uses counts as free.
    ``told``: what its companion said at its end of what became of checkpoints; empty: nothing, or it has none.
    """

    intent: str
    index: int | None
    created_s: float
    started_s: float
    grace_s: float
    container: str
    owned: bool
    backfill: bool
    waiting: Waiting | None
    ending: Ending | None
    told: str = ""


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One pod. ``ours`` is None for pods of others, which are kept only while they use a node."""

    uid: str
    version: str
    namespace: str
    name: str
    node: str
    phase: str
    requests: Resources
    deleting: bool
    ours: Ours | None = None

    @property
    def ended(self) -> bool:
        """Whether it uses nothing any more."""
        return self.phase in ENDED


def read_pod(raw: Mapping[str, Any], federation: str) -> PodRecord | None:
    """The record of a pod; None where there is nothing to know of it (a foreign pod that uses no node)."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = metadata.get("labels") or {}
    phase, node = status.get("phase") or "Pending", spec.get("nodeName") or ""
    mine = labels.get(names.FEDERATION) == federation and names.INTENT in labels
    ours = _ours(metadata, spec, status, labels) if mine else None
    if ours is not None and ours.ending is not None:
        phase = "Failed"
    if not mine and (not node or phase in ENDED):
        return None
    return PodRecord(
        uid=metadata["uid"],
        version=metadata.get("resourceVersion", ""),
        namespace=intern(metadata.get("namespace", "")),
        name=metadata["name"],
        node=intern(node),
        phase=intern(phase),
        requests=interned(pod_requests(spec)),
        deleting="deletionTimestamp" in metadata,
        ours=ours,
    )


def _ours(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any], labels: Mapping[str, str]
) -> Ours:
    containers = spec.get("containers") or [{}]
    created_s = seconds(metadata.get("creationTimestamp"))
    return Ours(
        intent=intern(labels[names.INTENT]),
        index=_index(labels, metadata.get("annotations") or {}),
        created_s=created_s,
        started_s=max((seconds(s["startedAt"]) for s in _states(status) if s.get("startedAt")), default=0.0),
        grace_s=float(metadata.get("deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds")) or 0),
        container=intern(str(containers[0].get("name", ""))),
        owned=bool(metadata.get("ownerReferences")),
        backfill=names.BACKFILL in labels,
        waiting=_waiting(status, created_s),
        ending=_how_it_ended(status, _asked_to_go_s(metadata), labels),
        told=_told(status) if names.KEPT in labels else "",
    )


def _told(status: Mapping[str, Any]) -> str:
    return "\n".join(str(s.get("message") or "") for s in _states(status) if s["kind"] == "terminated")


def _index(labels: Mapping[str, str], annotations: Mapping[str, str]) -> int | None:
    """The replica's index: ours where each has a Job of its own, else by its place among the Job's indices."""
    own = labels.get(names.INDEX, "")
    if own.isdecimal():
        return int(own)
    place = annotations.get(names.COMPLETION_INDEX) or labels.get(names.COMPLETION_INDEX)
    if place is None or not place.isdecimal():
        return None
    return names.nth(names.read_indices(annotations.get(names.INDICES, "")), int(place))


def _states(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the containers do now: the one entry of each state, with its kind under ``kind``."""
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or ():
            for name, state in (container.get("state") or {}).items():
                yield {**(state or {}), "kind": name}


def _waiting(status: Mapping[str, Any], created_s: float) -> Waiting | None:
    for state in _states(status):
        reason = state.get("reason")
        if state["kind"] == "waiting" and reason and reason not in STARTING:
            return Waiting(reason, str(state.get("message") or ""), created_s)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            since_s = seconds(condition.get("lastTransitionTime")) or created_s
            node, message = status.get("nominatedNodeName"), str(condition.get("message") or "")
            if node:
                return Waiting(NOMINATED, f"waits for room that others leave on {node}: {message}", since_s)
            return Waiting(str(condition.get("reason") or "Unschedulable"), message, since_s)
    return None


def _asked_to_go_s(metadata: Mapping[str, Any]) -> float:
    """When somebody asked for the pod's deletion (its timestamp is when the grace is over); infinity: nobody did."""
    if "deletionTimestamp" not in metadata:
        return float("inf")
    return seconds(metadata["deletionTimestamp"]) - float(metadata.get("deletionGracePeriodSeconds") or 0)


def _how_it_ended(status: Mapping[str, Any], asked_to_go_s: float, labels: Mapping[str, str]) -> Ending | None:
    """How a pod failed; None where it has not.

    Backfill may end well when it is told to end, having saved what it has: it has not done its work then.
    """
    if status.get("phase") == "Failed":
        ending = _ending(status, asked_to_go_s)
        no_python = names.KEPT in labels and (ending.exit_code == NO_PYTHON or NO_PROGRAM in ending.message)
        return replace(ending, reason="NoPython", message=NO_PYTHON_WORDS) if no_python else ending
    if status.get("phase") != "Succeeded" or not names.may_end_well(labels):
        return None
    return _disruption(status) or _deleted(status, asked_to_go_s)


def _disruption(status: Mapping[str, Any]) -> Ending | None:
    """Who took the pod away, in the words of newer servers."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            words = str(condition.get("message") or status.get("message") or "")
            reason = str(condition.get("reason") or "Disrupted")
            return Ending(PREEMPTED if reason in BY_OTHERS else reason, words, _exit(status)[0], own_fault=False)
    return None


def _deleted(status: Mapping[str, Any], asked_to_go_s: float) -> Ending | None:
    """That it ended only after somebody had asked for its deletion."""
    if any(s["kind"] == "terminated" and seconds(s.get("finishedAt")) >= asked_to_go_s for s in _states(status)):
        message = str(status.get("message") or "the pod was deleted while it ran")
        return Ending("Deleted", message, _exit(status)[0], own_fault=False)
    return None


def _ending(status: Mapping[str, Any], asked_to_go_s: float) -> Ending:
    """What the cluster says of a failed pod: who took it away, else how its container ended."""
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    exit_code, ended_as, last_words = _exit(status)
    disrupted = _disruption(status)
    if disrupted is not None:
        return disrupted
    if reason in TAKEN_AWAY:
        # An eviction because the payload broke its own limit would only happen again elsewhere.
        own = reason == "Evicted" and "exceed" in message and "limit" in message
        return Ending(reason, message, exit_code, own_fault=own)
    deleted = _deleted(status, asked_to_go_s)
    if deleted is not None:
        return deleted
    if reason:
        return Ending(reason, message or last_words, exit_code)
    return Ending(ended_as or "Error", last_words or message, exit_code, own_fault=ended_as not in TAKEN_AWAY)


def _exit(status: Mapping[str, Any]) -> tuple[int | None, str, str]:
    """Exit code, reason and last words of the container that failed; a kill for memory says the most."""
    ended = [s for s in _states(status) if s["kind"] == "terminated" and s.get("exitCode", 0) != 0]
    ended.sort(key=lambda state: state.get("reason") != "OOMKilled")
    for state in ended:
        words = without(str(state.get("message") or "")).strip()
        return int(state["exitCode"]), str(state.get("reason") or "Error"), words
    return None, "", ""
