"""Kubernetes quantities as the integers of ``model.resources``, and what a pod asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import Any

from federator.model.resources import CPU, Resources

PODS = "pods"
_SCALE = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]([+-]?\d{1,3}))?([numkMGTPE]?i?)")


@lru_cache(maxsize=8192)
def parse_quantity(resource: str, text: str, *, up: bool = True) -> int:
    """Millicores for cpu, bytes or pieces for all else; a fraction is rounded up (what is asked for) or down.

    What cannot be read counts as nothing: the server has accepted it, and one odd object must not blind us.
    """
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[3] not in _SCALE:
        return 0
    value = Fraction(found[1]) * Fraction(10) ** int(found[2] or 0) * _SCALE[found[3]]
    exact = value * 1000 if resource == CPU else value
    return ceil(exact) if up else floor(exact)


def write_quantity(resource: str, amount: int) -> str:
    """The quantity in Kubernetes' notation; ``parse_quantity`` gives the amount back."""
    return f"{amount}m" if resource == CPU else str(amount)


def read_amounts(amounts: object, *, up: bool = True) -> dict[str, int]:
    """A resource list (requests, allocatable, hard) as integers."""
    if not isinstance(amounts, Mapping):
        return {}
    return {str(name): parse_quantity(str(name), str(text), up=up) for name, text in amounts.items()}


def pod_requests(spec: Mapping[str, Any]) -> dict[str, int]:
    """What the scheduler counts for a pod.

    The sum of its containers and of the init containers that keep running (sidecars), or the largest step of its
    start where that is more; requests for the pod as a whole replace both; the runtime's overhead is added.
    """
    total: dict[str, int] = {}
    for container in spec.get("containers") or ():
        _add(total, _container_requests(container))
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = _container_requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = {}
        for name in {*asked, *sidecars}:
            starting[name] = max(starting.get(name, 0), asked.get(name, 0) + sidecars.get(name, 0))
    _add(total, sidecars)
    for name, amount in starting.items():
        total[name] = max(total.get(name, 0), amount)
    total.update(_container_requests(spec))
    _add(total, read_amounts(spec.get("overhead")))
    return total


def _container_requests(container: Mapping[str, Any]) -> dict[str, int]:
    resources = container.get("resources")
    if not isinstance(resources, Mapping):
        return {}
    # A limit without a request is a request of the same amount.
    return {**read_amounts(resources.get("limits")), **read_amounts(resources.get("requests"))}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


@lru_cache(maxsize=4096)
def _interned(items: tuple[tuple[str, int], ...]) -> Resources:
    return Resources.of(items)


def interned(amounts: Mapping[str, int] | Iterable[tuple[str, int]]) -> Resources:
    """The amounts as a value that alike pods share: 100,000 pods have few shapes."""
    items = amounts.items() if isinstance(amounts, Mapping) else amounts
    return _interned(tuple(sorted(items)))
