"""What replicas of fillers have used and lost when they end, and why the plan wanted no more of them. Pure reading."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from federator.daemon.state import Live, State
from federator.daemon.tally import Spent
from federator.documents.backfill import PREFIX
from federator.model.intent import Intent
from federator.model.resources import CPU

WITHDRAWN = "Withdrawn"
"""The cause of an eviction of a filler of which the plan says nothing any more."""


class End(Enum):
    """How a replica ended."""

    DONE = auto()
    FAILED = auto()
    """By its own fault: nothing of it is worth anything."""
    STOPPED = auto()
    """Before its time: it goes on from what it has saved."""


def why_withdrawn(state: State, live: Live, cluster: str) -> str:
    """Why the plan wants no more of a filler there."""
    filled = (one for one in state.plan.backfill if one.workload == live.record.name)
    verdict = next((one.why.get(cluster) for one in filled), None)
    return str(verdict.reason) if verdict is not None else WITHDRAWN


def ran_s(state: State, intent: Intent, at_s: float) -> float:
    """How long the replicas of an intent have run, since it was seen to run or else was sent."""
    member = state.members.get(intent.cluster)
    seen = member.observed(intent.id) if member else None
    return max(0.0, at_s - ((seen.started_s if seen else None) or intent.sent_s))


def spent(live: Live, cluster: str, count: int, lasted_s: float, how: End, cause: str, *, told: bool) -> Spent:
    """What so many replicas of a filler have used, each in so long. ``told``: they were told to end, with a grace."""
    workload = live.spec.workload
    lost_s = {End.DONE: 0.0, End.FAILED: lasted_s}.get(how)
    if lost_s is None:
        every_s = workload.checkpoint_every_s
        lost_s = 0.0 if told and _saves_when_told(live) else lasted_s % every_s if every_s else lasted_s
    cores = workload.roles[0].requests[CPU] / 1000 * count
    filler = workload.name.removeprefix(PREFIX)
    return Spent(cluster, filler, cores * (lasted_s - lost_s), cores * lost_s, cause, count)


def _saves_when_told(live: Live) -> bool:
    """As the document says that it was made from, which may be gone by now."""
    spec: Mapping[str, Any] = live.record.document.get("spec") or {}
    return spec.get("stops") is not None
