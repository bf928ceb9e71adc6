"""Pod templates: made from a container, or a user's own with what we need put in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.quantities import pod_requests, write_quantity
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.model.resources import CPU, MEMORY, STORAGE, Resources
from federator.model.workload import Role
from federator.ports import OrderRefused

Json = dict[str, Any]
# An image of another scheme is not one that a kubelet can pull.
IMAGE_SCHEMES = ("docker://", "oci://")


@dataclass(frozen=True, slots=True)
class Facts:
    """What translation needs to know of the cluster beside the order.

    ``per_index``: it has Indexed Jobs whose indices fail one by one. ``priority_class`` empty: none.
    ``affinity``: for each flavor that may be used its node-selector expressions; empty: any node.
    """

    federation: str
    namespace: str
    per_index: bool = False
    priority_class: str = ""
    affinity: Sequence[Sequence[Mapping[str, Any]]] = field(default_factory=tuple)


def invalid(detail: str) -> OrderRefused:
    """An order that no Kubernetes cluster will ever take."""
    return OrderRefused("Invalid", detail, permanent=True)


def thaw(value: Any) -> Any:
    """A deep copy in plain dicts and lists, free to be changed."""
    if isinstance(value, Mapping):
        return {str(key): thaw(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [thaw(item) for item in value]
    return value


def child(parent: Json, key: str, where: str) -> Json:
    """The mapping under ``key``, made if it is absent. Raises OrderRefused where something else is there."""
    found = parent.setdefault(key, {})
    if found is None:
        found = parent[key] = {}
    if not isinstance(found, dict):
        raise invalid(f"{where}.{key} must be a mapping, not {type(found).__name__}")
    return found


def our_labels(order: Order, facts: Facts) -> dict[str, str]:
    """The labels that everything of an intent carries."""
    return {
        names.FEDERATION: names.label_value(facts.federation),
        names.INTENT: order.intent.id,
        names.WORKLOAD: names.label_value(order.intent.workload),
        **({names.BACKFILL: "true"} if order.backfill else {}),
        **({names.KEPT: "true"} if order.attempt is not None else {}),
    }


def our_metadata(order: Order, facts: Facts, name: str, indices: IndexSet, template_hash: str = "") -> Json:
    """Name, namespace, labels and annotations of an object of ours."""
    annotations = {
        names.WORKLOAD_NAME: order.intent.workload,
        names.WORKLOAD_UID: order.intent.workload_uid,
        names.SPEC_HASH: order.spec_hash,
        names.INDICES: str(indices),
    }
    if template_hash:
        annotations[names.TEMPLATE_HASH] = template_hash
    return {
        "name": name,
        "namespace": facts.namespace,
        "labels": {**names.usable_labels(order.labels), **our_labels(order, facts)},
        "annotations": annotations,
    }


def container_template(container: Container, role: Role, order: Order) -> Json:
    """The pod template of an order that says no more than what to run."""
    image = container.image
    for scheme in IMAGE_SCHEMES:
        image = image.removeprefix(scheme)
    if not image:
        raise invalid("the container names no image; a Kubernetes cluster runs nothing without one")
    if "://" in image or image.startswith("/"):
        raise invalid(f"image {image}: Kubernetes pulls only images of a container registry (docker://...)")
    body: Json = {"name": "main", "image": image}
    if container.command:
        body["command"] = list(container.command)
    if container.args:
        body["args"] = list(container.args)
    intent = order.intent
    own = dict(zip(names.OWN_VARIABLES, (intent.workload, intent.id, intent.cluster), strict=True))
    # Ours come first, so that the user's may refer to them, and hold.
    env = {**own, **container.env, **own}
    body["env"] = [{"name": name, "value": value} for name, value in env.items()]
    if container.working_dir:
        body["workingDir"] = container.working_dir
    spec: Json = {
        "containers": [body],
        # Payloads never see credentials of the cluster.
        "automountServiceAccountToken": False,
    }
    if role.tolerations:
        spec["tolerations"] = [
            {k: v for k, v in (("key", t.key), ("operator", t.operator), ("value", t.value), ("effect", t.effect)) if v}
            for t in role.tolerations
        ]
    return {"metadata": {}, "spec": spec}


def finish_template(
    template: Json, order: Order, facts: Facts, *, requests: Resources, where: str = "template"
) -> None:
    """Put into a template what we need: labels, priority, flavors, and those requests that it lacks."""
    metadata, spec = child(template, "metadata", where), child(template, "spec", where)
    labels = child(metadata, "labels", f"{where}.metadata")
    metadata["labels"] = {**names.usable_labels(order.labels), **labels, **our_labels(order, facts)}
    containers(spec, where)
    fill_requests(spec, requests)
    if facts.priority_class and not spec.get("priorityClassName") and "priority" not in spec:
        spec["priorityClassName"] = facts.priority_class
    if order.backfill or order.attempt is not None:
        spec["terminationGracePeriodSeconds"] = max(1, ceil(order.grace_s))  # 0 would not wait for its end at all
    if facts.affinity:
        require_flavors(spec, facts.affinity, where)


def containers(spec: Json, where: str) -> list[Json]:
    """The containers of a pod spec. Raises OrderRefused where there are none."""
    found = spec.get("containers")
    if not isinstance(found, list) or not found or not all(isinstance(entry, dict) for entry in found):
        raise invalid(f"{where}.spec.containers must be a list of at least one container")
    return found


def fill_requests(spec: Json, requests: Resources) -> None:
    """Ask, in the first container, for what the workload requests and the template does not name."""
    asked = pod_requests(spec)
    missing = [(name, amount) for name, amount in requests.items_ if not asked.get(name) and amount > 0]
    if not missing:
        return
    resources = child(spec["containers"][0], "resources", "container")
    wanted, limits = child(resources, "requests", "resources"), child(resources, "limits", "resources")
    for name, amount in missing:
        wanted[name] = write_quantity(name, amount)
        if name not in (CPU, MEMORY, STORAGE):
            limits[name] = wanted[name]  # devices and huge pages cannot be overcommitted
    if not limits:
        del resources["limits"]


def require_flavors(spec: Json, terms: Sequence[Sequence[Mapping[str, Any]]], where: str) -> None:
    """Allow only nodes of these flavors: each alternative of the user's own affinity holds together with each."""
    node = child(child(spec, "affinity", where), "nodeAffinity", f"{where}.affinity")
    required = child(node, "requiredDuringSchedulingIgnoredDuringExecution", f"{where}.affinity.nodeAffinity")
    own = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *map(dict, expressions)]}
        for term in own
        for expressions in terms
    ]


def set_index(spec: Json, source: Json) -> None:
    """Give every container the replica's index; ``source`` is the rest of the variable's entry.

    It comes first, so that the user's own variables may refer to it.
    """
    variable = {"name": names.INDEX_VARIABLE, **source}
    for section in ("initContainers", "containers"):
        for container in spec.get(section) or ():
            others = [entry for entry in container.get("env") or () if entry.get("name") != names.INDEX_VARIABLE]
            container["env"] = [variable, *others]


def templates_in(value: Any, where: str = "spec") -> Iterator[tuple[Json, str]]:
    """Every pod template inside a manifest: a mapping whose ``spec`` has containers."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from templates_in(item, f"{where}[{number}]")
    elif isinstance(value, dict):
        spec = value.get("spec")
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield value, where
            return
        for key, item in value.items():
            yield from templates_in(item, f"{where}.{key}")
