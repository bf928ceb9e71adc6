"""What a plan means for the daemon: whom it changes, and why others wait. Pure, made in the planner's thread.

A plan speaks of tens of thousands of workloads, and of most it says what it said before: going through it on the event
loop would hold up everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from federator.daemon.state import Displaced
from federator.engine.differences import differences
from federator.engine.giving_way import remembered
from federator.engine.main_reason import main_reason
from federator.model.plan import Placement, Plan, Preemption, Refusal, Snapshot
from federator.model.reasons import Verdict, by_reason
from federator.model.workload import Lifetime

MOST_NAMED = 5
"""Clusters that a history entry names for one reason; of more it gives the number."""


@dataclass(frozen=True, slots=True)
class Change:
    """A workload for which intents may have to be made, changed or withdrawn."""

    workload: str
    placements: tuple[Placement, ...] = ()
    refused: int = 0
    """How many of its replicas have no place."""
    gives_way: tuple[Preemption, ...] = ()
    """Which of its replicas have to give way, and to whom."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan, the snapshot it was made of, and what follows from both. ``took_s``: how long the plan alone took."""

    seen: Snapshot
    made: Plan
    took_s: float
    changes: tuple[Change, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    """Why workloads wait, by workload, in short words."""
    refused: Mapping[str, Sequence[Refusal]] = field(default_factory=dict)
    """The refusals of the plan, by workload."""
    counted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How many replicas were refused, by (queue, main reason)."""
    displaced: Displaced = ()
    """Who displaced whom, as the next snapshot should know it."""


def decision(seen: Snapshot, made: Plan, took_s: float) -> Decision:
    """What follows from a plan."""
    refused: dict[str, list[Refusal]] = {}
    for refusal in made.refusals:
        refused.setdefault(refusal.workload, []).append(refusal)
    displaced = tuple(
        (one.workload, one.victim, seen.at_s - one.age_s, one.place, one.gains) for one in remembered(seen, made)
    )
    changes = _changes(seen, made, refused)
    return Decision(seen, made, took_s, changes, _words(made), refused, _counted(seen, made), displaced)


def _changes(seen: Snapshot, made: Plan, refused: Mapping[str, Sequence[Refusal]]) -> tuple[Change, ...]:
    """Workloads that are to have something else than they have; and services, whose spec may be another."""
    gives_way: dict[str, list[Preemption]] = defaultdict(list)
    for preemption in made.preemptions:
        gives_way[preemption.workload].append(preemption)
    services = [w.name for w in seen.workloads if w.lifetime is Lifetime.SERVICE]
    return tuple(
        Change(
            name,
            tuple(should),
            sum(r.replicas for r in refused.get(name, ())),
            tuple(gives_way.get(name, ())),
        )
        for name, should in differences(seen, made, dict.fromkeys(services))
    )


def _words(made: Plan) -> dict[str, str]:
    words: dict[str, str] = {}
    told: dict[int, str] = {}  # alike workloads share their reasons: they are put into words once
    for refusal in made.refusals:
        key = id(refusal.reasons)
        if key not in told:
            told[key] = summary(refusal.reasons)
        words.setdefault(refusal.workload, told[key])
    return words


def summary(reasons: Mapping[str, Verdict]) -> str:
    """Why something waits, short enough to be kept: "NoRoom: cern, gpu; NotInPolicy: 180 clusters"."""
    named = {
        str(reason): ", ".join(clusters) if len(clusters) <= MOST_NAMED else f"{len(clusters)} clusters"
        for reason, clusters in by_reason(reasons).items()
    }
    return "; ".join(f"{reason}: {words}" for reason, words in sorted(named.items()))


def _counted(seen: Snapshot, made: Plan) -> dict[tuple[str, str], int]:
    queues = {workload.name: workload.queue for workload in seen.workloads}
    counted: dict[tuple[str, str], int] = defaultdict(int)
    mains: dict[int, str] = {}
    for refusal in made.refusals:
        key = id(refusal.reasons)
        if key not in mains:
            mains[key] = str(main_reason(refusal))
        counted[queues.get(refusal.workload, "default"), mains[key]] += refusal.replicas
    return counted
