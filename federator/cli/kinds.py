"""The kinds of objects under all the names that people give them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from federator.cli.failures import WRONG_INPUT, Failure

ALIASES: Mapping[str, tuple[str, ...]] = {
    "workloads": ("workload", "wl", "job", "jobs"),
    "clusters": ("cluster", "cl"),
    "queues": ("queue", "q"),
    "cohorts": ("cohort", "co"),
    "limits": ("limit", "li"),
    "policies": ("policy", "pol", "placementpolicy", "placementpolicies", "replicaschedulingpreference", "rsp"),
    "backfills": ("backfill", "bf"),
    "placements": ("placement", "pl"),
    "pilots": ("pilot", "pi"),
}
"""The words of the API, and what else they may be called."""

PLURALS: Mapping[str, str] = {alias: plural for plural, aliases in ALIASES.items() for alias in (plural, *aliases)}


def plural(kind: str) -> str:
    """The API's word for a kind. Raises Failure that names the nearest."""
    found = PLURALS.get(kind.lower())
    if found is None:
        near = get_close_matches(kind.lower(), PLURALS, n=1)
        cure = f"did you mean {PLURALS[near[0]]}?" if near else f"kinds: {', '.join(ALIASES)}"
        raise Failure(f"there is no kind {kind!r}; {cure}", WRONG_INPUT)
    return found


def singular(kind: str) -> str:
    """The word for one of them, as it stands in ``-o name``."""
    return ALIASES[kind][0]
