"""plan: what the planner makes of documents, without a daemon."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from federator.cli.failures import NO, Failure
from federator.cli.files import FilesArgument, read
from federator.cli.output import Format, FormatOption, complain, document, say, table
from federator.cli.running import duration
from federator.documents import to_snapshot
from federator.engine.answer import plan_document
from federator.engine.planner import plan as make_plan
from federator.model.plan import Snapshot, TierClock, shape_key
from federator.model.policy import DEFAULT_POLICY

Json = Mapping[str, Any]
WIDTH = 100
"""Columns of the table where nobody says how wide the terminal is."""


def plan(
    files: FilesArgument,
    after: Annotated[str, typer.Option(help="As if every tier had been full for so long (10m).")] = "",
    require_all: Annotated[bool, typer.Option("--require-all", help="Status 1 if any replica is refused.")] = False,
    form: FormatOption = Format.TABLE,
) -> None:
    """Show what the planner makes of these documents: placements, and refusals with reasons. Needs no daemon."""
    documents = read(files)
    if not documents.workloads or not documents.clusters:
        missing = "no workload" if not documents.workloads else "no cluster"
        complain(f"warning: there is {missing} in {', '.join(files)}")
    snapshot = to_snapshot(documents)
    if after:
        snapshot = as_if_full(snapshot, duration("--after", after))
    answer = plan_document(make_plan(snapshot))
    if form in (Format.JSON, Format.YAML):
        document(answer, form)
    elif form is Format.NAME:
        for name in dict.fromkeys(one["workload"] for one in answer["placements"]):
            say(f"workload/{name}")
    else:
        show_plan(answer)
    if require_all and answer["refusals"]:
        count = sum(one["replicas"] for one in answer["refusals"])
        raise Failure(f"{count} replicas have no place", NO)


def as_if_full(snapshot: Snapshot, for_s: float) -> Snapshot:
    """The same federation, had every tier of every policy been full for so many seconds."""
    shapes = sorted({shape_key(workload) for workload in snapshot.workloads})
    clocks = tuple(
        TierClock(policy.name, tier.name, shape, snapshot.at_s - for_s)
        for policy in (*snapshot.policies, DEFAULT_POLICY)
        for tier in policy.tiers
        for shape in shapes
    )
    return replace(snapshot, clocks=clocks)


def show_plan(answer: Json) -> None:
    """A plan for people: first what is placed, then what is not and why."""
    roles = any(one.get("role") for part in ("placements", "refusals") for one in answer[part])
    role_heading = ["ROLE"] if roles else []
    rows = [
        [
            one["workload"],
            *([one.get("role")] if roles else []),
            one["cluster"],
            one["replicas"],
            one["tier"],
            one["policy"],
        ]
        for one in answer["placements"]
    ]
    if rows:
        table(["WORKLOAD", *role_heading, "CLUSTER", "REPLICAS", "TIER", "POLICY"], rows, width=_width())
    else:
        say("Nothing is placed.")
    for part, headings in (
        ("preemptions", ("workload", "cluster", "replicas", "by", "reason")),
        ("moves", ("workload", "from", "to", "replicas")),
        ("reservations", ("workload", "cluster", "replicas", "at_s")),
    ):
        if answer[part]:
            say(f"\n{part.capitalize()}:")
            table(
                [key.upper() for key in headings],
                [[one[key] for key in headings] for one in answer[part]],
                width=_width(),
            )
    for filled in answer.get("backfill", ()):
        say(f"\nBackfill: {sum(filled['replicas'].values())} of {filled['workload']}")
        told = [
            (f"  {cluster}", filled["replicas"].get(cluster, 0), one["reason"], one["message"])
            for cluster, one in filled["reasons"].items()
        ]
        table(["  CLUSTER", "REPLICAS", "NO MORE", "MESSAGE"], told, width=_width())
    for refusal in answer["refusals"]:
        role = f", role {refusal['role']}" if refusal.get("role") else ""
        say(f"\nRefused: {refusal['replicas']} of {refusal['workload']}{role}")
        table(["  CLUSTER", "REASON", "MESSAGE"], _reasons(refusal["reasons"]), width=_width())


def _reasons(reasons: Mapping[str, Json]) -> Iterable[Sequence[str]]:
    return [(f"  {cluster}", one["reason"], one["message"]) for cluster, one in reasons.items()]


def _width() -> int | None:
    return None if sys.stdout.isatty() else WIDTH
