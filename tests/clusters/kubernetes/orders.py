"""Orders for tests, in one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role

CORE = Resources.of({"cpu": 1000, "memory": 2**30})


def batch(name: str, indices: IndexSet | int = 1, requests: Resources = CORE, **more: Any) -> Order:
    """A container that runs to its end."""
    return _order(name, indices, Lifetime.BATCH, requests, **more)


def service(name: str, indices: IndexSet | int = 1, requests: Resources = CORE, **more: Any) -> Order:
    """A container that is kept running."""
    return _order(name, indices, Lifetime.SERVICE, requests, **more)


def job(name: str, indices: IndexSet | int = 1, requests: Resources = CORE, **more: Any) -> Order:
    """A user's own Job; ``notes`` are annotations of its pods."""
    return _order(name, indices, Lifetime.BATCH, requests, manifest=job_manifest(more.pop("notes", {})), **more)


def job_manifest(notes: Mapping[str, str]) -> dict[str, Any]:
    container = {"name": "work", "image": "busybox", "command": ["sh", "-c", "true"]}
    pod = {"containers": [container], "restartPolicy": "OnFailure"}
    spec = {"template": {"metadata": {"annotations": dict(notes)}, "spec": pod}, "ttlSecondsAfterFinished": 1}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "mine"}, "spec": spec}


def deployment(name: str, indices: IndexSet | int = 1, image: str = "web:1", **more: Any) -> Order:
    """A user's own Deployment; ``notes`` are annotations of its pods."""
    template = {
        "metadata": {"labels": {"app": "web"}, "annotations": dict(more.pop("notes", {}))},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    return _order(name, indices, Lifetime.SERVICE, CORE, manifest=manifest, **more)


def _order(name: str, indices: IndexSet | int, lifetime: Lifetime, requests: Resources, **more: Any) -> Order:
    chosen = IndexSet.span(0, indices) if isinstance(indices, int) else indices
    withdrawn = more.pop("withdrawn", IndexSet())
    if "manifest" not in more:
        more.setdefault("container", Container("docker://busybox", ("sh", "-c", "true"), env={"GREETING": "hello"}))
    role = more.pop("role", Role("", len(chosen), requests))
    more.setdefault("spec_hash", "h1")
    more.setdefault("roles", (role,))
    intent = Intent(name, f"workload-{name}", f"uid-{name}", "", "cern", chosen, withdrawn=withdrawn)
    return Order(intent, lifetime, queue="atlas", **more)
