"""What replicas of fillers have used and lost when they end, and why that was. Pure reading."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from federator.daemon.state import Live, State
from federator.daemon.tally import Spent
from federator.documents.backfill import PREFIX
from federator.model.intent import Intent
from federator.model.plan import Plan
from federator.model.reasons import Reason
from federator.model.resources import CPU

WITHDRAWN = "Withdrawn"
"""The cause of an eviction that no plan asked for: its document is gone, or another copy was done."""
_REASONS = frozenset(reason.value for reason in Reason)


class End(Enum):
    """How a replica ended."""

    DONE = auto()
    FAILED = auto()
    """By its own fault: nothing of it is worth anything."""
    STOPPED = auto()
    """Before its time: it goes on from what it has saved."""


def not_wanted(state: State, live: Live, made: Plan) -> dict[str, str]:
    """Why the plan wants no more of a filler on each cluster where some of it is, as ``Intent.reason`` keeps it."""
    filled = next((one for one in made.backfill if one.workload == live.record.name), None)
    places = {state.intents[intent_id].cluster for intent_id in live.intents} if filled is not None else ()
    verdicts = {name: verdict for name in places if filled is not None and (verdict := filled.why.get(name))}
    return {name: f"{verdict.reason}: {verdict.message}" for name, verdict in verdicts.items()}


def why_withdrawn(intent: Intent) -> str:
    """Why a filler was withdrawn, as the plan said that did it; when it has ended there is another, or none yet."""
    said = intent.reason.partition(":")[0]
    return said if said in _REASONS else WITHDRAWN


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
