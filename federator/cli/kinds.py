"""The kinds of objects under all the names that people give them."""

from __future__ import annotations

from collections.abc import Mapping

from federator.cli.failures import WRONG_INPUT, Failure
from federator.documents.problems import did_you_mean

ALIASES: Mapping[str, tuple[str, ...]] = {
    "workloads": ("workload", "wl", "job", "jobs"),
    "clusters": ("cluster", "cl"),
    "queues": ("queue", "q"),
    "policies": ("policy", "pol", "placementpolicy", "placementpolicies", "replicaschedulingpreference", "rsp"),
    "placements": ("placement", "pl"),
}
"""The words of the API, and what else they may be called."""

PLURALS: Mapping[str, str] = {alias: plural for plural, aliases in ALIASES.items() for alias in (plural, *aliases)}


def plural(kind: str) -> str:
    """The API's word for a kind. Raises Failure that names the nearest."""
    found = PLURALS.get(kind.lower())
    if found is None:
        raise Failure(f"there is no kind {kind!r}; {did_you_mean(kind, ALIASES)}", WRONG_INPUT)
    return found


def singular(kind: str) -> str:
    """The word for one of them, as it stands in ``-o name``."""
    return ALIASES[kind][0]
