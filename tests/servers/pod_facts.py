"""What a pod asks of the fake kubelet, read from its annotations. Pure translation.

What it may ask::

    fake.kubelet/runs-for: "2s"               how long each run takes (ms, s, m, h)
    fake.kubelet/exit-code: "3"               how it ends
    fake.kubelet/oom: "true"                  it ends OOMKilled, with code 137
    fake.kubelet/waiting: ImagePullBackOff    it never starts, for this reason
    fake.kubelet/stops-after: "3s"            how long it takes to stop when deleted
    fake.kubelet/stops-with: "0"              with which code; left out: it is killed

The environment of its container may ask the same: ``FAKE_KUBELET_RUNS_FOR=2s`` stands for ``fake.kubelet/runs-for``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "fake.kubelet/"
INDEX_KEY = "batch.kubernetes.io/job-completion-index"
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
SUFFIXES = {
    "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50,
}  # fmt: skip

Json = dict[str, Any]


@dataclass(frozen=True)
class Behaviour:
    """What will become of a pod."""

    runs_for_s: float | None
    """How long a run takes; None: until it is deleted."""
    exit_code: int
    reason: str
    """Why its container terminated, in Kubernetes' words."""
    waiting: str | None
    """Set when it never starts."""
    stops_after_s: float
    stops_with: int | None
    """Its exit code when it is deleted; None: 137."""
    restarts: bool
    """Whether its container starts again when it has ended as it will."""


def behaviour(pod: Json, default_s: float) -> Behaviour:
    notes = {**_asked_by_environment(pod), **(pod["metadata"].get("annotations") or {})}
    policy = pod["spec"].get("restartPolicy", "Always")
    exit_code = int(notes.get(PREFIX + "exit-code", "0"))
    reason = "Completed" if exit_code == 0 else "Error"
    if notes.get(PREFIX + "oom", "").lower() == "true":
        exit_code, reason = 137, "OOMKilled"
    runs_for = notes.get(PREFIX + "runs-for")
    forever = runs_for is None and policy == "Always"
    return Behaviour(
        runs_for_s=None if forever else default_s if runs_for is None else seconds(runs_for),
        exit_code=exit_code,
        reason=reason,
        waiting=notes.get(PREFIX + "waiting"),
        stops_after_s=seconds(notes.get(PREFIX + "stops-after", "0")),
        stops_with=int(notes[PREFIX + "stops-with"]) if PREFIX + "stops-with" in notes else None,
        restarts=policy == "Always" or (policy == "OnFailure" and exit_code != 0),
    )


def _asked_by_environment(pod: Json) -> dict[str, str]:
    asked = {}
    for key in ("runs-for", "exit-code", "oom", "waiting", "stops-after", "stops-with"):
        value = environment(pod, "FAKE_KUBELET_" + key.replace("-", "_").upper())
        if value is not None:
            asked[PREFIX + key] = value
    return asked


def seconds(text: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|)\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 2s or 1.5m")
    return float(found[1]) * UNITS_S[found[2]]


def quantity(text: str | float) -> float:
    """A Kubernetes quantity as a number: ``500m`` is 0.5, ``1Ki`` is 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE](\d+))?([a-zA-Z]*)", str(text))
    if found is None or found[3] not in SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity")
    return float(found[1]) * 10.0 ** int(found[2] or 0) * SUFFIXES[found[3]]


def requests_of(pod: Json) -> dict[str, float]:
    """What the scheduler counts: the sum of the containers' requests (limits where requests are absent)."""
    total: dict[str, float] = {}
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name, amount in asked.items():
            total[name] = total.get(name, 0.0) + quantity(amount)
    return total


def job_of(pod: Json) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((owner["name"] for owner in owners if owner["kind"] == "Job"), None)


def completion_index(pod: Json) -> int | None:
    """An indexed Job's index: an annotation, in newer versions a label too."""
    metadata = pod["metadata"]
    for place in (metadata.get("annotations") or {}, metadata.get("labels") or {}):
        if INDEX_KEY in place:
            return int(place[INDEX_KEY])
    return None


def environment(pod: Json, name: str) -> str | None:
    """The value of an environment variable in the first container that has it."""
    for container in pod["spec"]["containers"]:
        for variable in container.get("env") or []:
            if variable["name"] == name:
                return variable.get("value") or _from_field(pod, variable.get("valueFrom") or {})
    return None


def _from_field(pod: Json, source: Mapping[str, Any]) -> str | None:
    path = (source.get("fieldRef") or {}).get("fieldPath", "")
    found = re.fullmatch(r"metadata\.(annotations|labels)\['(.+)'\]", path)
    if found:
        value: str | None = (pod["metadata"].get(found[1]) or {}).get(found[2])
        return value
    return {"metadata.name": pod["metadata"]["name"], "metadata.namespace": pod["metadata"]["namespace"]}.get(path)
