"""What can only be said of documents together: names that are there twice, and names that nothing has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from federator.documents.backfill import PREFIX
from federator.documents.checks_cohorts import check_cohorts
from federator.documents.complaints import Path
from federator.documents.entries import Entry
from federator.documents.kinds import KINDS
from federator.documents.problems import Problem, did_you_mean
from federator.documents.scenario import FAULTS

SINGLE = ("Planning", "Configuration")
"""Kinds of which a federation has one."""


def check_together(
    entries: list[Entry], clusters: Iterable[str] | None, cohorts: Mapping[str, str]
) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings. Works on what was handed in, so that one bad document hides nothing of the others.

    ``clusters``: names that exist besides those in the documents. Where no cluster is known at all (policies read by
    themselves), names of clusters are not checked. ``cohorts``: the parents of those that exist besides, by name.
    """
    here = [entry for entry in entries if isinstance(entry.raw, Mapping)]
    names = {entry.name for entry in here if entry.kind == "Cluster"} - {""}
    known = names | set(clusters) if clusters is not None else names
    errors = [*_twice(here), *_one_of_a_kind(here)]
    warnings: list[Problem] = []
    if known or clusters is not None:
        for entry in here:
            errors.extend(_unknown_clusters(entry, known))
            warnings.extend(_unknown_preferences(entry, known))
    workloads = {entry.name for entry in here if _is_workload(entry)} - {""}
    fillers = {PREFIX + entry.name for entry in here if entry.kind == "Backfill"}
    errors.extend(_unknown_workloads(here, workloads | fillers))
    if workloads:
        warnings.extend(_preferences_for_nothing(here, workloads))
    warnings.extend(_unknown_queues(here))
    warnings.extend(_unknown_limits(here))
    of_cohorts, slips = check_cohorts(here, cohorts)
    return [*errors, *of_cohorts], [*warnings, *slips]


def _is_workload(entry: Entry) -> bool:
    return entry.kind == "Workload" or (entry.kind != "" and entry.kind not in KINDS)


def _group(entry: Entry) -> str:
    """Kinds that share their names: all workloads, and all policies."""
    if _is_workload(entry):
        return "workload"
    return "policy" if entry.kind in ("PlacementPolicy", "ReplicaSchedulingPreference") else entry.kind


def _twice(entries: list[Entry]) -> Iterator[Problem]:
    first: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        if not entry.name:
            continue
        other = first.setdefault((_group(entry), entry.name), entry)
        if other is not entry:
            line = other.place(("metadata", "name"))[0]
            place = f"{other.file}:{line}" if line else other.file
            message = f"another {other.kind} is called '{entry.name}', at {place}"
            yield entry.problem(("metadata", "name"), message, "rename one of the two")


def _one_of_a_kind(entries: list[Entry]) -> Iterator[Problem]:
    for kind in SINGLE:
        found = [entry for entry in entries if entry.kind == kind]
        for entry in found[1:]:
            if entry.name != found[0].name:
                message = f"there is another {kind} already, at {found[0].file}:{found[0].line}"
                yield entry.problem(("kind",), message, "keep one")


def _named_clusters(entry: Entry) -> Iterator[tuple[Path, object, bool]]:
    """Every place in a document that names clusters: the path, the name or glob, and whether it is a key."""
    if entry.kind == "PlacementPolicy":
        for index, tier in _items(entry.at("spec", "tiers")):
            if isinstance(tier, Mapping):
                for number, name in _items(tier.get("clusters")):
                    yield ("spec", "tiers", index, "clusters", number), name, False
                for name in _keys(tier.get("weights")):
                    yield ("spec", "tiers", index, "weights", name), name, True
        for name in _keys(entry.at("spec", "clusters")):
            if name != "*":
                yield ("spec", "clusters", name), name, True
    elif entry.kind == "Queue":
        for name in _keys(entry.at("spec", "clusterQuota")):
            yield ("spec", "clusterQuota", name), name, True
    elif entry.kind == "Limit":
        for name in _keys(entry.at("spec", "clusters")):
            if name != "*":
                yield ("spec", "clusters", name), name, True
    elif entry.kind == "Backfill":
        for name in _keys(entry.at("spec", "clusterKeepFree")):
            if name != "*":
                yield ("spec", "clusterKeepFree", name), name, True
    elif entry.kind == "Placement":
        yield ("spec", "cluster"), entry.at("spec", "cluster"), False
    elif entry.kind == "Workload":
        yield from _listed(entry, ("spec", "inputs"), "at")
    elif entry.kind == "Scenario":
        for index, fault in _items(entry.at("spec", "faults")):
            for key in FAULTS:
                if isinstance(fault, Mapping) and key in fault:
                    yield ("spec", "faults", index, key), fault[key], False
        yield from _listed(entry, ("spec", "transfers", "links"), "between")
        for index, _ in _items(entry.at("spec", "workloads")):
            yield from _listed(entry, ("spec", "workloads", index, "generate", "inputs"), "at")


def _listed(entry: Entry, path: Path, key: str) -> Iterator[tuple[Path, object, bool]]:
    """The names under this key of each item of a list."""
    for index, item in _items(entry.at(*path)):
        for number, name in _items(item.get(key) if isinstance(item, Mapping) else None):
            yield (*path, index, key, number), name, False


def _items(value: object) -> Iterator[tuple[int, Any]]:
    if isinstance(value, list):
        yield from enumerate(value)


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (key for key in value if isinstance(key, str))


def _unknown_clusters(entry: Entry, known: set[str]) -> Iterator[Problem]:
    for path, name, is_key in _named_clusters(entry):
        if not isinstance(name, str) or not name or name in known:
            continue
        if any(sign in name for sign in "*?["):
            if not any(fnmatchcase(cluster, name) for cluster in known):
                cure = did_you_mean(name, known, what="clusters")
                yield entry.problem(path, f"no cluster matches '{name}'", cure, at_key=is_key)
        else:
            cure = did_you_mean(name, known, what="clusters")
            yield entry.problem(path, f"no cluster is called '{name}'", cure, at_key=is_key)


def _unknown_preferences(entry: Entry, known: set[str]) -> Iterator[Problem]:
    """KubeFed's names match without regard to case, and a name that no cluster has is no error there."""
    if entry.kind != "ReplicaSchedulingPreference":
        return
    folded = {name.lower() for name in known}
    for name in _keys(entry.at("spec", "clusters")):
        if name != "*" and name.lower() not in folded:
            path: Path = ("spec", "clusters", name)
            cure = did_you_mean(name, known, what="clusters")
            yield entry.problem(path, f"no cluster is called '{name}'", cure, at_key=True)


def _preferences_for_nothing(entries: list[Entry], workloads: set[str]) -> Iterator[Problem]:
    for entry in entries:
        if entry.kind == "ReplicaSchedulingPreference" and entry.name and entry.name not in workloads:
            cure = did_you_mean(entry.name, workloads, what="workloads")
            yield entry.problem(("metadata", "name"), f"no workload is called '{entry.name}'", cure)


def _unknown_workloads(entries: list[Entry], workloads: set[str]) -> Iterator[Problem]:
    for entry in entries:
        name = entry.at("spec", "workload")
        if entry.kind == "Placement" and isinstance(name, str) and name and workloads and name not in workloads:
            cure = did_you_mean(name, workloads, what="workloads")
            yield entry.problem(("spec", "workload"), f"no workload is called '{name}'", cure)


def _unknown_queues(entries: list[Entry]) -> Iterator[Problem]:
    """A queue need not be written down; but where some are, another name may be a slip."""
    queues = {entry.name for entry in entries if entry.kind == "Queue"} | {"default"}
    if len(queues) == 1:
        return
    for entry in entries:
        name = entry.at("spec", "queue")
        if entry.kind == "Workload" and isinstance(name, str) and name and name not in queues:
            cure = did_you_mean(name, queues, what="queues")
            yield entry.problem(("spec", "queue"), f"no Queue is called '{name}'; it gets one with the defaults", cure)


def _unknown_limits(entries: list[Entry]) -> Iterator[Problem]:
    """A limit that nobody has set limits nothing; where some are set, another name may be a slip."""
    limits = {entry.name for entry in entries if entry.kind == "Limit"} - {""}
    for entry in entries if limits else ():
        if entry.kind != "Workload":
            continue
        places: list[Path] = [("spec", "limits")]
        places += [("spec", "roles", index, "limits") for index, _ in _items(entry.at("spec", "roles"))]
        for place in places:
            for name in _keys(entry.at(*place)):
                if name not in limits:
                    cure = did_you_mean(name, limits, what="limits")
                    yield entry.problem((*place, name), f"no Limit is called '{name}'", cure, at_key=True)
