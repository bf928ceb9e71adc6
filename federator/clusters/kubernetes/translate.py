"""An order as the manifests that carry it out. Pure: the same order and facts always give the same bytes."""

from __future__ import annotations

import json
from typing import Any

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.jobs import jobs
from federator.clusters.kubernetes.objects import DEPLOYMENT, JOB, Kind
from federator.clusters.kubernetes.templates import (
    Facts,
    Json,
    child,
    container_template,
    finish_template,
    invalid,
    our_labels,
    our_metadata,
    templates_in,
    thaw,
)
from federator.model.intent import WHOLE, Order
from federator.model.resources import Resources
from federator.model.workload import Lifetime

POD = ("v1", "Pod")
# Fields of the metadata that only the server sets, or that would contradict ours.
NOT_OURS = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields", "ownerReferences", "finalizers", "selfLink",
)  # fmt: skip


def kind_of(order: Order) -> Kind:
    """The kind of the objects that the order becomes. Raises OrderRefused."""
    if order.container is not None:
        return JOB if order.lifetime is Lifetime.BATCH else DEPLOYMENT
    manifest = order.manifest or {}
    version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if not isinstance(version, str) or not isinstance(kind, str) or not version or not kind:
        raise invalid("the manifest must have an apiVersion and a kind")
    return JOB if (version, kind) == POD else (version, kind)


def manifests(order: Order, facts: Facts) -> list[Json]:
    """The objects to make, each whole. Raises OrderRefused for an order that can never be carried out."""
    if not order.roles:
        raise invalid("the order has no roles")
    kind = kind_of(order)
    if kind == JOB and order.lifetime is Lifetime.BATCH:
        return jobs(order, facts)
    if kind == DEPLOYMENT and order.lifetime is Lifetime.SERVICE:
        return [deployment(order, facts)]
    return [own_manifest(order, facts)]


def template_hash(order: Order) -> str:
    """A fingerprint of all in an order that shapes its pods; a changed number of replicas leaves it alone.

    Facts about the cluster are left out on purpose: nodes that come and go must not roll a service.
    """
    parts: list[Any] = [
        repr(order.container),
        _without_replicas(order),
        # The limits on flavors as the user wrote them, not the names that satisfy them today.
        [repr((r.name, r.requests, r.tolerations, r.flavors)) for r in order.roles],
        sorted(order.labels.items()),
    ]
    return names.digest(json.dumps(parts, sort_keys=True, default=str), 16)


def _without_replicas(order: Order) -> Any:
    manifest = thaw(order.manifest)
    if isinstance(manifest, dict) and isinstance(manifest.get("spec"), dict):
        manifest["spec"].pop("replicas", None)
    return manifest


def deployment(order: Order, facts: Facts) -> Json:
    """A service as a Deployment. Its template holds nothing that changes with the number of replicas."""
    role = order.roles[0]
    spec: Json = {}
    if order.container is not None:
        template = container_template(order.container, role, order)
    else:
        spec = child(thaw(order.manifest), "spec", "Deployment")
        template = child(spec, "template", "Deployment.spec")
    finish_template(template, order, facts, requests=role.requests)
    indices = order.intent.indices
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": our_metadata(order, facts, names.dns_label(order.intent.id), indices, template_hash(order)),
        "spec": {
            **spec,
            "replicas": len(indices),
            # The user's own selector could match the pods of another intent of the same workload.
            "selector": {"matchLabels": {names.INTENT: order.intent.id}},
            "template": template,
        },
    }


def own_manifest(order: Order, facts: Facts) -> Json:
    """A user's manifest of any other kind: ours are its name, its place, its labels and its number of replicas."""
    manifest: Json = thaw(order.manifest or {})
    indices = order.intent.indices
    where = str(manifest.get("kind"))
    metadata = child(manifest, "metadata", where)
    user_labels = child(metadata, "labels", f"{where}.metadata")
    user_notes = child(metadata, "annotations", f"{where}.metadata")
    ours = our_metadata(order, facts, names.dns_label(order.intent.id), indices, template_hash(order))
    manifest["metadata"] = {
        **{key: value for key, value in metadata.items() if key not in NOT_OURS},
        **ours,
        "labels": {**user_labels, **ours["labels"]},
        "annotations": {**user_notes, **ours["annotations"]},
    }
    manifest.pop("status", None)
    spec = child(manifest, "spec", where)
    if len(order.roles) == 1 and order.intent.role != WHOLE:
        path = user_notes.get(names.REPLICAS_PATH) or user_labels.get(names.REPLICAS_PATH)
        _set_replicas(manifest, path, len(indices))
    selector = spec.get("selector")
    if manifest.get("apiVersion") == "apps/v1" and isinstance(selector, dict):
        # Two intents of one workload in one namespace must not take each other's pods.
        child(selector, "matchLabels", f"{where}.spec.selector")[names.INTENT] = order.intent.id
    for template, at in templates_in(spec):
        finish_template(template, order, facts, requests=Resources(), where=at)
    for part in ("driver", "executor"):  # Spark's pods are not described by templates
        if isinstance(spec.get(part), dict):
            labels = child(spec[part], "labels", f"{where}.spec.{part}")
            spec[part]["labels"] = {**labels, **our_labels(order, facts)}
    return manifest


def _set_replicas(manifest: Json, path: str | None, count: int) -> None:
    """Write the number at the path that the user named (dots between keys), else at spec.replicas if it is there."""
    if path is None:
        if "replicas" in manifest["spec"]:
            manifest["spec"]["replicas"] = count
        return
    *parents, last = path.strip(".").split(".")
    place = manifest
    for key in parents:
        found = place.get(key)
        if not isinstance(found, dict):
            raise invalid(f"annotation {names.REPLICAS_PATH}: {path!r} leads nowhere in the manifest (no {key!r})")
        place = found
    place[last] = count
