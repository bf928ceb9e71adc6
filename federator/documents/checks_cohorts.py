"""What can only be said of queues and cohorts together: parents that are not there, and cohorts in a circle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from federator.documents.entries import Entry
from federator.documents.problems import Problem, did_you_mean

ABOVE = {"Queue": "cohort", "Cohort": "parent"}
"""The field that names the cohort which a document of a kind is in."""


def check_cohorts(entries: list[Entry], cohorts: Mapping[str, str]) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings. ``cohorts``: the parents of those that exist besides the documents, by name."""
    here = [entry for entry in entries if entry.kind in ABOVE]
    declared = [entry for entry in here if entry.kind == "Cohort" and entry.name]
    parents = dict(cohorts) | {entry.name: _above(entry) for entry in declared}
    known = {*parents, *(_above(entry) for entry in here if entry.kind == "Queue")} - {""}
    errors = [*_unknown_parents(declared, known), *_circles(declared, parents)]
    warnings = [*_unknown_cohorts(here, set(parents)), *_limits_for_nothing(here)]
    return errors, warnings


def cohort_parents(documents: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The parents of all cohorts that valid documents declare or that their queues name, by name."""
    specs = [(d["kind"], d["metadata"]["name"], d.get("spec") or {}) for d in documents if d["kind"] in ABOVE]
    named = {spec["cohort"]: "" for kind, _, spec in specs if kind == "Queue" and spec.get("cohort")}
    return named | {name: spec.get("parent") or "" for kind, name, spec in specs if kind == "Cohort"}


def _above(entry: Entry) -> str:
    name = entry.at("spec", ABOVE[entry.kind])
    return name if isinstance(name, str) else ""


def _unknown_parents(declared: list[Entry], known: set[str]) -> Iterator[Problem]:
    for entry in declared:
        parent = _above(entry)
        if parent and parent not in known:
            cure = did_you_mean(parent, known - {entry.name}, what="cohorts")
            yield entry.problem(("spec", "parent"), f"no cohort is called '{parent}'", cure)


def _circles(declared: list[Entry], parents: Mapping[str, str]) -> Iterator[Problem]:
    """Each circle once, at the first of its cohorts by name."""
    told: set[str] = set()
    for entry in sorted(declared, key=lambda one: one.name):
        way = [entry.name]
        while (parent := parents.get(way[-1], "")) and parent not in way:
            way.append(parent)
        if parent == entry.name and not told & set(way):
            told |= set(way)
            message = f"the cohort stands above itself: {' in '.join([*way, parent])}"
            yield entry.problem(("spec", "parent"), message, "leave the parent of one of them out")


def _unknown_cohorts(here: list[Entry], declared: set[str]) -> Iterator[Problem]:
    """A cohort need not be declared; but where some are, another name may be a slip."""
    for entry in here if declared else []:
        name = _above(entry)
        if entry.kind == "Queue" and name and name not in declared:
            cure = did_you_mean(name, declared, what="cohorts")
            message = f"no Cohort is called '{name}'; it gets one with nothing of its own"
            yield entry.problem(("spec", "cohort"), message, cure)


def _limits_for_nothing(here: list[Entry]) -> Iterator[Problem]:
    for entry in here:
        for limit in ("borrowingLimit", "lendingLimit"):
            if not _above(entry) and entry.at("spec", limit):
                cure = f"name its {ABOVE[entry.kind]}, or leave it out"
                yield entry.problem(("spec", limit), "there is no cohort to share with", cure)
