"""What ResourceQuotas still leave us. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federator.clusters.kubernetes.quantities import PODS, read_amounts
from federator.model.cluster import Flavor
from federator.model.resources import CPU, MEMORY, STORAGE, Resources

# Quotas of these scopes count our pods too: they ask for something, and run without a deadline.
OUR_SCOPES = frozenset({"NotTerminating", "NotBestEffort"})
# Keys of a quota that are a resource of a replica under another name.
SAME = {"requests.cpu": CPU, "requests.memory": MEMORY, "requests.ephemeral-storage": STORAGE, "count/pods": PODS}
# When one of these is used up, nothing more can start, whatever else is left.
COUNTS = (PODS, "count/jobs.batch")


@dataclass(frozen=True, slots=True)
class QuotaRecord:
    """One ResourceQuota: what is left of each resource, in our names and units (below 0: overdrawn)."""

    uid: str
    version: str
    namespace: str
    name: str
    left: tuple[tuple[str, int], ...]


def read_quota(raw: Mapping[str, Any]) -> QuotaRecord | None:
    """The record of a quota; None where its scopes leave our pods alone."""
    metadata, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    if spec.get("scopeSelector") or not OUR_SCOPES.issuperset(spec.get("scopes") or ()):
        return None
    hard, used = status.get("hard") or spec.get("hard") or {}, status.get("used") or {}
    left = {
        name: amount - read_amounts({name: used.get(key, "0")})[name]
        for key, text in hard.items()
        if (name := resource_of(key))
        for amount in read_amounts({name: text}, up=False).values()
    }
    return QuotaRecord(
        uid=metadata["uid"],
        version=metadata.get("resourceVersion", ""),
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        left=tuple(sorted(left.items())),
    )


def resource_of(key: str) -> str:
    """The resource that a quota's key limits, in our names; empty where we use nothing of it."""
    if key in SAME:
        return SAME[key]
    if key.startswith("requests.") and "/" in key:
        return key.removeprefix("requests.")
    return key if key in (CPU, MEMORY, STORAGE, *COUNTS) else ""


def limits_of(quotas: Sequence[QuotaRecord], flavors: Sequence[Flavor]) -> Resources | None:
    """The tightest of all quotas; None without any. What no quota names is not limited.

    An amount that is used up is -1, because a value of Resources cannot tell nothing from not named.
    """
    if not quotas:
        return None
    left: dict[str, int] = {}
    for quota in quotas:
        for name, amount in quota.left:
            left[name] = min(left.get(name, amount), amount)
    exhausted = any(left.get(name, 1) <= 0 for name in COUNTS)
    limits = {name: amount for name, amount in left.items() if name not in COUNTS or name == PODS}
    if exhausted:
        limits |= {name: -1 for flavor in flavors for name in flavor.allocatable}
    return Resources.of({name: amount if amount > 0 else -1 for name, amount in limits.items()})
