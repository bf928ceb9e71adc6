"""What one pod asks for, as kube-scheduler counts it, and the nodes it may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federator.documents.complaints import Path
from federator.documents.quantities import amount_of, parse_quantity
from federator.model.resources import Resources
from federator.model.selectors import Constraint, Requirement, Selector, Toleration

Faults = list[tuple[Path, str, str]]

OF_ONE_NODE = ("kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/")
"""Node labels that flavors do not have or that all nodes share: left to the cluster's own scheduler."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a template."""

    requests: Resources
    flavors: Constraint
    tolerations: tuple[Toleration, ...]


def read_pod(spec: Mapping[str, Any], path: Path, faults: Faults) -> Pod:
    """The pod of a pod spec that stands at ``path``; what is wrong is added to ``faults``."""
    containers = _list(spec, "containers", path, faults)
    if not containers and not spec.get("containers"):
        faults.append(((*path, "containers"), "there is no container", "add one, with its resources.requests"))
    running = Resources()
    for at, container in containers:
        running = running + _of_container(container, at, faults)
    # A sidecar (an init container that restarts) runs on beside all that come after it.
    sidecars, most = Resources(), Resources()
    for at, container in _list(spec, "initContainers", path, faults):
        needs = _of_container(container, at, faults)
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars + needs
            most = _larger(most, sidecars)
        else:
            most = _larger(most, sidecars + needs)
    total = _larger(running + sidecars, most)
    whole = spec.get("resources")
    if isinstance(whole, Mapping):  # requests of the pod as a whole count instead of the sum
        total = Resources.of({**dict(total.items_), **dict(_of_container(spec, path, faults).items_)})
    overhead = _amounts(spec.get("overhead"), (*path, "overhead"), faults)
    return Pod(total + overhead, Constraint(_nodes(spec, path, faults)), _tolerations(spec, path, faults))


def _list(spec: Mapping[str, Any], key: str, path: Path, faults: Faults) -> list[tuple[Path, Mapping[str, Any]]]:
    """The mappings of a list, each with its path."""
    found = spec.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        faults.append(((*path, key), "must be a list", "write its items with -"))
        return []
    items: list[tuple[Path, Mapping[str, Any]]] = []
    for index, item in enumerate(found):
        if isinstance(item, Mapping):
            items.append(((*path, key, index), item))
        else:
            faults.append(((*path, key, index), "must be a mapping", "write its keys below"))
    return items


def _of_container(container: Mapping[str, Any], path: Path, faults: Faults) -> Resources:
    """Requests; limits where a request is missing, as Kubernetes fills them in."""
    resources = container.get("resources")
    if resources is None:
        return Resources()
    if not isinstance(resources, Mapping):
        faults.append(((*path, "resources"), "must be a mapping", "write requests and limits below"))
        return Resources()
    limits = _amounts(resources.get("limits"), (*path, "resources", "limits"), faults)
    requests = _amounts(resources.get("requests"), (*path, "resources", "requests"), faults)
    written = resources.get("requests") or {}
    return Resources.of({**{name: n for name, n in limits.items_ if name not in written}, **dict(requests.items_)})


def _amounts(quantities: Any, path: Path, faults: Faults) -> Resources:
    if quantities is None:
        return Resources()
    if not isinstance(quantities, Mapping):
        faults.append((path, "must be a mapping", "write cpu: 1 below"))
        return Resources()
    amounts: dict[str, int] = {}
    for name, quantity in quantities.items():
        try:
            amounts[name] = amount_of(name, parse_quantity(quantity))
        except ValueError as error:
            message, _, cure = str(error).partition("; ")
            faults.append(((*path, name), message, cure))
    return Resources.of(amounts)


def _larger(one: Resources, other: Resources) -> Resources:
    return Resources.of({name: max(one[name], other[name]) for name in (*one, *other)})


def _nodes(spec: Mapping[str, Any], path: Path, faults: Faults) -> Selector:
    """Its node selector, and required node affinity where that is a single term (others are left to the cluster)."""
    terms: list[Requirement] = []
    selector = spec.get("nodeSelector")
    if selector is not None and not isinstance(selector, Mapping):
        faults.append(((*path, "nodeSelector"), "must be a mapping", "write label: value below"))
    elif selector:
        for key, value in selector.items():
            if not isinstance(value, str):
                faults.append(((*path, "nodeSelector", key), "must be text", f"write it in quotes: '{value}'"))
            elif not key.startswith(OF_ONE_NODE):
                terms.append(Requirement(key, "In", (value,)))
    for expression in _affinity(spec):
        operator, values = expression.get("operator"), expression.get("values") or ()
        key = str(expression.get("key", ""))
        if operator in ("In", "NotIn", "Exists", "DoesNotExist") and not key.startswith(OF_ONE_NODE):
            terms.append(Requirement(key, str(operator), tuple(map(str, values))))
    return Selector(tuple(terms))


def _affinity(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    here: Any = spec
    for step in ("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"):
        here = here.get(step) if isinstance(here, Mapping) else None
    if not isinstance(here, list) or len(here) != 1 or not isinstance(here[0], Mapping):
        return []
    found = here[0].get("matchExpressions")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _tolerations(spec: Mapping[str, Any], path: Path, faults: Faults) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(
            str(item.get("key") or ""),
            str(item.get("operator") or "Equal"),
            str(item.get("value") or ""),
            str(item.get("effect") or ""),
        )
        for _, item in _list(spec, "tolerations", path, faults)
    )
