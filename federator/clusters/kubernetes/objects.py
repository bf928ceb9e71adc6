"""What is kept of the objects we made: Jobs, Deployments, and users' own kinds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.timestamps import seconds
from federator.model.indexset import IndexSet

JOB = ("batch/v1", "Job")
DEPLOYMENT = ("apps/v1", "Deployment")
Kind = tuple[str, str]
"""apiVersion and kind."""

SUCCEEDED, FAILED = True, False
# Conditions that say, when True, that an object has ended.
CONDITIONS = {"Complete": SUCCEEDED, "Completed": SUCCEEDED, "Succeeded": SUCCEEDED, "Failed": FAILED}
# Fields of a status that say so, for kinds without such conditions; the first that does holds.
STATES: tuple[tuple[tuple[str, ...], Mapping[str, bool]], ...] = (
    (("jobStatus",), {"SUCCEEDED": SUCCEEDED, "FAILED": FAILED, "STOPPED": FAILED}),
    (("jobDeploymentStatus",), {"Complete": SUCCEEDED, "Failed": FAILED}),
    (("applicationState", "state"), {"COMPLETED": SUCCEEDED, "FAILED": FAILED}),
    (("state", "phase"), {"Completed": SUCCEEDED, "Failed": FAILED, "Aborted": FAILED, "Terminated": FAILED}),
    (
        ("phase",),
        {"Succeeded": SUCCEEDED, "Completed": SUCCEEDED, "Complete": SUCCEEDED, "Failed": FAILED, "Error": FAILED},
    ),
)


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of ours. ``indices`` are the replicas it stands for, ``index`` is set where it stands for one.

    ``verdict`` is how it ended as a whole (True: well; None: not yet). ``succeeded`` and ``failed`` are the indices
    that a Job has counted one by one. ``doubtful``: only its pods tell whether what ended well has done its work.
    ``attempt``: what keeps the checkpoints of its one replica, as JSON; empty: nothing does.
    """

    uid: str
    version: str
    kind: Kind
    namespace: str
    name: str
    intent: str
    indices: IndexSet
    index: int | None
    withdrawn: IndexSet
    doubtful: bool
    attempt: str
    spec_hash: str
    template_hash: str
    workload_uid: str
    replicas: int
    deleting: bool
    created_s: float
    started_s: float
    succeeded: IndexSet
    failed: IndexSet
    verdict: bool | None
    reason: str
    message: str

    @property
    def key(self) -> tuple[Kind, str, str]:
        """What tells it from all other objects at one time."""
        return self.kind, self.namespace, self.name


def read_object(raw: Mapping[str, Any], kind: Kind, federation: str) -> ObjectRecord | None:
    """The record of an object; None where it is not one of this federation's."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if labels.get(names.FEDERATION) != federation or names.INTENT not in labels:
        return None
    indices = names.read_indices(notes.get(names.INDICES, ""))
    verdict, reason, message = _verdict(status)
    one_by_one = kind == JOB and len(indices) > 1
    return ObjectRecord(
        uid=metadata["uid"],
        version=metadata.get("resourceVersion", ""),
        kind=kind,
        namespace=intern(metadata.get("namespace", "")),
        name=metadata["name"],
        intent=intern(labels[names.INTENT]),
        indices=indices,
        index=next(iter(indices)) if kind == JOB and len(indices) == 1 else None,
        withdrawn=names.read_indices(notes.get(names.WITHDRAWN, "")),
        doubtful=names.may_end_well(labels),
        attempt=notes.get(names.ATTEMPT, ""),
        spec_hash=intern(notes.get(names.SPEC_HASH, "")),
        template_hash=intern(notes.get(names.TEMPLATE_HASH, "")),
        workload_uid=intern(notes.get(names.WORKLOAD_UID, "")),
        replicas=_replicas(spec, kind, indices),
        deleting="deletionTimestamp" in metadata,
        created_s=seconds(metadata.get("creationTimestamp")),
        started_s=seconds(status.get("startTime")),
        succeeded=_counted(status, "completedIndexes", indices) if one_by_one else IndexSet(),
        failed=_counted(status, "failedIndexes", indices) if one_by_one else IndexSet(),
        verdict=verdict,
        reason=reason,
        message=message,
    )


def _replicas(spec: Mapping[str, Any], kind: Kind, indices: IndexSet) -> int:
    wanted = spec.get("completions") if kind == JOB else spec.get("replicas")
    return wanted if isinstance(wanted, int) else len(indices)


def _counted(status: Mapping[str, Any], field: str, indices: IndexSet) -> IndexSet:
    return names.at_positions(indices, names.read_indices(str(status.get(field) or "")))


def _verdict(status: Mapping[str, Any]) -> tuple[bool | None, str, str]:
    """How the object ended (None: it has not), and the cluster's words for it, or for what holds it up."""
    conditions = status.get("conditions")
    trouble = ("", "")
    for condition in conditions if isinstance(conditions, list) else ():
        if not isinstance(condition, Mapping) or condition.get("status") != "True":
            continue
        words = str(condition.get("reason") or ""), str(condition.get("message") or "")
        verdict = CONDITIONS.get(str(condition.get("type")))
        if verdict is not None:
            return verdict, *words
        if condition.get("type") == "ReplicaFailure":
            trouble = words
    for path, values in STATES:
        found: Any = status
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, str) and found in values:
            return values[found], found, str(status.get("message") or "")
    return None, *trouble
