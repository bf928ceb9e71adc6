"""The quick way to a workload: documents that plan alike are read once.

A daemon reads all stored workloads when it starts, and most differ only in their names, times and commands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from federator.documents.backfill import filler_spec
from federator.documents.common import API_VERSION
from federator.documents.documents import Document
from federator.documents.fields import is_name
from federator.documents.native import JOB, KEYS, REPLICAS_PATH, SERVICES
from federator.documents.problems import DocumentErrors
from federator.documents.quantities import parse_time
from federator.documents.workload import ContainerPart
from federator.documents.workloads import WorkloadSpec, namespace_of, read_workload, to_container
from federator.model.workload import Workload

_LARGEST_KEY = 65_536
_key_of = json.JSONEncoder(separators=(",", ":")).encode
_FIELDS = tuple(field.name for field in fields(Workload))
_NAME, _SUBMITTED = _FIELDS.index("name"), _FIELDS.index("submitted_at_s")
_values_of = attrgetter(*_FIELDS)
_POD = ("nodeSelector", "affinity", "tolerations", "overhead", "resources")
_NUMBERS = ("completions", "parallelism", "backoffLimit", "replicas")


def to_workload(document: Document) -> WorkloadSpec:
    """The workload of a document that was read. Raises DocumentErrors only where it was not."""
    return workload_spec(document.raw)


def workload_spec(raw: Mapping[str, Any]) -> WorkloadSpec:
    """The workload of a raw document, or that which a Backfill becomes. Raises DocumentErrors.

    Documents that differ only in name, time of submission and what they run are read once.
    """
    if raw.get("kind") == "Backfill":
        return filler_spec(raw)
    try:
        return _quickly(raw)
    except (DocumentErrors, ValidationError, ValueError, TypeError, AttributeError, LookupError):
        return read_workload(raw)  # for errors that name it, and its own values


def stamped(spec: WorkloadSpec, name: str, submitted_at_s: float) -> WorkloadSpec:
    """The spec under this name, handed in at this time (seconds since the epoch), which orders the queue."""
    workload = _renamed(spec.workload, name, submitted_at_s)
    return WorkloadSpec(
        workload, spec.containers, spec.manifest, spec.enforce_duration, spec.namespace, spec.checkpoints
    )


def _renamed(workload: Workload, name: str, submitted_at_s: float) -> Workload:
    """``dataclasses.replace`` in a fifth of its time: a start does this for every workload there is."""
    values = list(_values_of(workload))
    values[_NAME], values[_SUBMITTED] = name, submitted_at_s
    return Workload(*values)


def _quickly(raw: Mapping[str, Any]) -> WorkloadSpec:
    """Through the cache. Raises anything for a document that is wrong, or not of the usual form."""
    name = raw["metadata"]["name"] if "metadata" in raw and "name" in raw["metadata"] else ""
    if not is_name(name):
        raise ValueError(name)
    ours = raw.get("kind") == "Workload" and raw.get("apiVersion") == API_VERSION
    spec = raw.get("spec") or {}
    content, container = _of_ours(raw, spec) if ours else (planning_part(raw), None)
    key = _key_of(content)
    shared = _shared(key) if len(key) <= _LARGEST_KEY else read_workload(content)
    submitted_s = parse_time(spec["submittedAt"]) if ours and spec.get("submittedAt") is not None else 0.0
    containers = shared.containers if container is None else {"": to_container(ContainerPart.model_validate(container))}
    return WorkloadSpec(
        _renamed(shared.workload, name, submitted_s),
        containers,
        shared.manifest if ours else raw,
        shared.enforce_duration,
        shared.namespace if ours else namespace_of(raw),
        shared.checkpoints,
    )


def _of_ours(raw: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
    """A Workload without its name and time of submission, and apart from it the container of its only role."""
    content = {**raw, "metadata": {**raw["metadata"], "name": "any"}}
    content["spec"] = {key: value for key, value in spec.items() if key != "submittedAt"}
    container = content["spec"].get("container")
    if container is None or spec.get("roles") or spec.get("template"):
        return content, None
    content["spec"]["container"] = {"image": "any"} if container.get("image") else {}
    return content, container


@lru_cache(maxsize=4096)
def _shared(key: str) -> WorkloadSpec:
    return read_workload(json.loads(key))


def planning_part(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without its name and what does not count here (images, commands, volumes), for known kinds.

    Raises AttributeError or TypeError for a manifest that is not of the usual form.
    """
    metadata = manifest["metadata"]
    content = {**manifest, "metadata": {**metadata, "name": "any"}}
    known = (manifest.get("apiVersion"), manifest.get("kind")) in (JOB, *SERVICES)
    if not known or REPLICAS_PATH in str(metadata) or not isinstance(manifest.get("spec"), Mapping):
        return content
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key in KEYS}
    content["metadata"] = {"name": "any", "labels": metadata.get("labels"), "annotations": annotations}
    spec = manifest["spec"]
    pod = spec["template"]["spec"]
    part = {key: pod[key] for key in _POD if key in pod}
    for key in ("containers", "initContainers"):
        if pod.get(key):
            if not isinstance(pod[key], list) or not all(isinstance(one, Mapping) for one in pod[key]):
                raise TypeError(key)
            part[key] = [{k: one[k] for k in ("resources", "restartPolicy") if k in one} for one in pod[key]]
    content["spec"] = {**{key: spec[key] for key in _NUMBERS if key in spec}, "template": {"spec": part}}
    return content
