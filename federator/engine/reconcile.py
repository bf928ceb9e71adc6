"""Settles what a cluster says against what was meant: a pure comparison, whose findings the caller acts on.

It may be given the same observation twice: what is settled once is found nothing of again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Intent, IntentState, ObservedIntent

LOST = "Lost"
"""The reason given for a replica that its cluster should have and has not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one observation tells of one intent that was not known before.

    ``succeeded`` and ``failed`` are ends that are not settled yet. ``vanished``: the cluster should have it and has
    not. ``gone``: it was to leave, and has. ``left``: replicas that were to leave and have, while the rest stays.
    """

    intent: Intent
    succeeded: IndexSet = IndexSet()
    failed: tuple[Failure, ...] = ()
    vanished: bool = False
    gone: bool = False
    left: IndexSet = IndexSet()

    def __bool__(self) -> bool:
        return any((self.succeeded, self.failed, self.vanished, self.gone, self.left))


@dataclass(frozen=True, slots=True)
class Settlement:
    """All findings of one observation, by intent, and the intents the cluster has that nobody means any more."""

    findings: tuple[Finding, ...]
    orphans: tuple[str, ...]


def reconcile(
    intents: Iterable[Intent],
    observed: Mapping[str, ObservedIntent],
    *,
    unproven: Collection[str] = (),
) -> Settlement:
    """Compare the intents of one cluster with what it shows.

    ``unproven`` are the ids of intents that were sent, or whose removal was asked for, too late to be certain to show
    (the observation began before the answer): from such nothing is concluded by absence.
    """
    findings: list[Finding] = []
    known: set[str] = set()
    for intent in intents:
        known.add(intent.id)
        seen = observed.get(intent.id)
        finding = _absent(intent, unproven) if seen is None else _present(intent, seen, unproven)
        if finding:
            findings.append(finding)
    # An id that is being removed already is left alone: asking again every cycle would only make noise.
    orphans = tuple(sorted(i for i, seen in observed.items() if i not in known and not seen.leaving))
    return Settlement(tuple(findings), orphans)


def _absent(intent: Intent, unproven: Collection[str]) -> Finding:
    if intent.id in unproven:
        return Finding(intent)
    return Finding(
        intent,
        vanished=intent.state is IntentState.SENT,
        # What has ended may be cleaned up by the cluster itself: nothing is left that could be lost.
        gone=intent.state in (IntentState.LEAVING, IntentState.ENDED),
    )


def _present(intent: Intent, seen: ObservedIntent, unproven: Collection[str]) -> Finding:
    meant = intent.indices - intent.settled
    # A replica that was told to leave may be reported as failed: that is its leaving, not a failure.
    leaving = meant if intent.state is IntentState.LEAVING else intent.withdrawn
    there = seen.pending | seen.running | seen.succeeded
    failed = [f for f in seen.failed if f.index in meant and f.index not in leaving]
    if intent.state is IntentState.SENT and intent.id not in unproven:
        # Somebody removed a part of it: the cluster has other replicas of the intent, and knows nothing of these.
        lost = meant - leaving - there - IndexSet.of(f.index for f in seen.failed)
        failed += [Failure(index, LOST, "the cluster no longer has it", own_fault=False) for index in lost]
    return Finding(
        intent,
        succeeded=seen.succeeded & meant,
        failed=tuple(failed),
        left=IndexSet() if intent.id in unproven else intent.withdrawn - there,
    )
