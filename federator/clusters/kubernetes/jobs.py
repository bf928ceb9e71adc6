"""Batch orders as Jobs: one Indexed Job for a wave where the server counts failures by index, else one a replica.

The federator retries by itself, possibly elsewhere, so a Job of ours never does.
"""

from __future__ import annotations

import json
from enum import Enum, auto
from typing import Any

from federator.clusters.kubernetes import keeping, names
from federator.clusters.kubernetes.templates import (
    Facts,
    Json,
    child,
    container_template,
    finish_template,
    invalid,
    our_metadata,
    set_index,
    thaw,
)
from federator.model.indexset import IndexSet
from federator.model.intent import Order

# What of a user's Job is kept. All else about counting, retrying and cleaning up is the federator's part.
KEPT = ("activeDeadlineSeconds",)
SHELLS = frozenset({"sh", "bash", "ash", "dash", "ksh", "zsh", "busybox"})


class Indexing(Enum):
    """How the replicas of a wave learn their index."""

    ONE_JOB_EACH = auto()
    """A Job for each, with the index written into it."""
    COMPLETION_INDEX = auto()
    """One Indexed Job; the completion index is the replica's."""
    BY_SHELL = auto()
    """One Indexed Job; a shell in the image works the replica's index out."""


def jobs(order: Order, facts: Facts) -> list[Json]:
    """The Jobs that carry out a batch order; the same order always gives the same Jobs."""
    if order.attempt is not None:
        keeping.check(order, order.attempt)
    template, spec = _template(order, facts)
    indices = order.intent.indices - order.intent.withdrawn
    if not indices:
        return []
    how = indexing(order, template, facts)
    if how is Indexing.ONE_JOB_EACH:
        return [_one(order, facts, template, spec, index) for index in indices]
    pod = template["spec"]
    child(template["metadata"], "annotations", "template.metadata")[names.INDICES] = str(indices)
    if how is Indexing.BY_SHELL:
        _by_shell(pod, indices)
    else:
        set_index(pod, _field(f"metadata.annotations['{names.COMPLETION_INDEX}']"))
    count = len(indices)
    counting = {"completions": count, "parallelism": count, "completionMode": "Indexed", "backoffLimitPerIndex": 0}
    return [_job(order, facts, job_name(order, None), indices, {**spec, **counting, "template": template})]


def job_name(order: Order, index: int | None) -> str:
    """The intent's id, and the index where there are several Jobs."""
    suffix = "" if index is None or len(order.intent.indices) == 1 else f"-{index}"
    return names.dns_label(order.intent.id, names.LONGEST - len(suffix)) + suffix


def indexing(order: Order, template: Json, facts: Facts) -> Indexing:
    """The way that surely works with this server, these indices and this image. What keeps checkpoints has addresses of
    its own."""
    indices = order.intent.indices - order.intent.withdrawn
    if not facts.per_index or len(order.intent.indices) == 1 or order.attempt is not None:
        return Indexing.ONE_JOB_EACH
    if indices.ranges == ((0, len(indices)),):
        return Indexing.COMPLETION_INDEX
    pod = template["spec"]
    everyone = [*(pod.get("initContainers") or ()), *pod["containers"]]
    told = order.labels.get(names.SHELL) == "true"
    return Indexing.BY_SHELL if all(_may_wrap(c, told) for c in everyone) else Indexing.ONE_JOB_EACH


def _may_wrap(container: Json, told: bool) -> bool:
    """Whether the container's command may be started by a shell: it names one, or its user says there is one.

    An image without a shell would fail in some waves only, and nobody would know why. Kubernetes itself puts in
    references to the index, long before a shell could know it.
    """
    command = container.get("command")
    if not isinstance(command, list) or not command:
        return False
    if f"$({names.INDEX_VARIABLE})" in repr([command, container.get("args"), container.get("env")]):
        return False
    return told or str(command[0]).rpartition("/")[2] in SHELLS


def _by_shell(pod: Json, indices: IndexSet) -> None:
    """Each range of indices starts at a place among the completion indices; the last range reached holds."""
    place, steps = 0, []
    for start, stop in indices.ranges:
        steps.append(f'[ "$JOB_COMPLETION_INDEX" -lt {place} ] || i=$((JOB_COMPLETION_INDEX+{start - place}))')
        place += stop - start
    script = "; ".join([*steps, f"export {names.INDEX_VARIABLE}=$i", 'exec "$@"'])
    for section in ("initContainers", "containers"):
        for container in pod.get(section) or ():
            container["command"] = ["/bin/sh", "-c", script, "sh", *container["command"]]
            others = [e for e in container.get("env") or () if e.get("name") != names.INDEX_VARIABLE]
            if "env" in container:
                container["env"] = others


def _one(order: Order, facts: Facts, template: Json, spec: Json, index: int) -> Json:
    mine = thaw(template)
    mine["metadata"]["labels"][names.INDEX] = str(index)
    set_index(mine["spec"], {"value": str(index)})
    counting = {"completions": 1, "parallelism": 1, "backoffLimit": 0}
    name = job_name(order, index)
    made = _job(order, facts, name, IndexSet.span(index, index + 1), {**spec, **counting, "template": mine})
    made["metadata"]["labels"][names.INDEX] = str(index)
    if order.attempt is not None:
        keeping.put_in(mine["spec"], name)
        made["metadata"]["annotations"][names.ATTEMPT] = json.dumps(order.attempt.at(index).to_json())
    return made


def _job(order: Order, facts: Facts, name: str, indices: IndexSet, spec: Json) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": our_metadata(order, facts, name, indices),
        "spec": spec,
    }


def _field(path: str) -> Json:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def _template(order: Order, facts: Facts) -> tuple[Json, Json]:
    """The finished pod template, and what is kept of the user's own Job."""
    role = order.roles[0]
    kept: dict[str, Any] = {}
    if order.container is not None:
        template = container_template(order.container, role, order)
    else:
        manifest = thaw(order.manifest or {})
        if manifest.get("kind") == "Pod":
            metadata = child(manifest, "metadata", "Pod")
            template = {
                "metadata": {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)},
                "spec": child(manifest, "spec", "Pod"),
            }
        else:
            spec = child(manifest, "spec", "Job")
            template = child(spec, "template", "Job.spec")
            kept = {key: spec[key] for key in KEPT if spec.get(key) is not None}
    finish_template(template, order, facts, requests=role.requests)
    pod = template["spec"]
    # The federator retries; a container that restarted in place would hide its failures from it.
    pod["restartPolicy"] = "Never"
    if order.time_limit_s is not None:
        # Of the pod, not of the Job: each replica has its own time, and waiting for a node costs none of it.
        if order.time_limit_s <= 0:
            raise invalid(f"a time limit of {order.time_limit_s:g} s lets nothing run")
        pod["activeDeadlineSeconds"] = max(1, round(order.time_limit_s))
    return template, kept
