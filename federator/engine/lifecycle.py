"""The lives of workloads and intents, as tables: (state, event) gives the next state.

A pair that is not in a table raises ``ImpossibleStep``: something was believed that cannot be, and the message
tells whose story it is. Nothing here acts; the daemon and the simulator do what the new state asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from federator.model.intent import IntentState
from federator.model.records import WorkloadState


class ImpossibleStep(Exception):
    """An event came in a state that it cannot come in."""


class WorkloadEvent(StrEnum):
    """What can happen to a workload."""

    DISPATCHED = "dispatched"
    """Replicas are at clusters, or on their way, and none runs."""
    STARTED = "started"
    """A replica runs."""
    UNPLACED = "unplaced"
    """Nothing of it is at any cluster, or on its way."""
    COMPLETED = "completed"
    """Every replica has been counted complete."""
    EXHAUSTED = "exhausted"
    """A replica has failed more often than the workload allows."""
    CANCEL = "cancel"
    GONE = "gone"
    """Nothing of it is left at any cluster that answers."""


W = WorkloadState
E = WorkloadEvent

WORKLOAD_STEPS: Mapping[tuple[WorkloadState, WorkloadEvent], WorkloadState] = {
    (W.WAITING, E.DISPATCHED): W.DISPATCHED,
    (W.WAITING, E.STARTED): W.RUNNING,
    (W.WAITING, E.UNPLACED): W.WAITING,
    (W.WAITING, E.COMPLETED): W.FINISHED,
    (W.WAITING, E.EXHAUSTED): W.FAILED,
    (W.WAITING, E.CANCEL): W.CANCELLING,
    (W.DISPATCHED, E.DISPATCHED): W.DISPATCHED,
    (W.DISPATCHED, E.STARTED): W.RUNNING,
    (W.DISPATCHED, E.UNPLACED): W.WAITING,
    (W.DISPATCHED, E.COMPLETED): W.FINISHED,
    (W.DISPATCHED, E.EXHAUSTED): W.FAILED,
    (W.DISPATCHED, E.CANCEL): W.CANCELLING,
    (W.RUNNING, E.DISPATCHED): W.DISPATCHED,
    (W.RUNNING, E.STARTED): W.RUNNING,
    (W.RUNNING, E.UNPLACED): W.WAITING,
    (W.RUNNING, E.COMPLETED): W.FINISHED,
    (W.RUNNING, E.EXHAUSTED): W.FAILED,
    (W.RUNNING, E.CANCEL): W.CANCELLING,
    (W.CANCELLING, E.CANCEL): W.CANCELLING,
    (W.CANCELLING, E.GONE): W.CANCELLED,
    # Cancelling what is over changes nothing: the wish may arrive twice, or late.
    (W.FINISHED, E.CANCEL): W.FINISHED,
    (W.FAILED, E.CANCEL): W.FAILED,
    (W.CANCELLED, E.CANCEL): W.CANCELLED,
}


class IntentEvent(StrEnum):
    """What can happen to an intent."""

    ACCEPTED = "accepted"
    """The cluster took the order, or is seen to have it."""
    CHANGED = "changed"
    """Another number or another spec is wanted of a service: it has to be sent again."""
    SETTLED = "settled"
    """Every replica of it has ended and is accounted for."""
    WITHDRAW = "withdraw"


S = IntentState
I = IntentEvent  # noqa: E741 - a table reads best in columns

INTENT_STEPS: Mapping[tuple[IntentState, IntentEvent], IntentState] = {
    (S.RECORDED, I.ACCEPTED): S.SENT,
    (S.RECORDED, I.CHANGED): S.RECORDED,
    (S.RECORDED, I.SETTLED): S.ENDED,
    (S.RECORDED, I.WITHDRAW): S.LEAVING,
    (S.SENT, I.ACCEPTED): S.SENT,
    (S.SENT, I.CHANGED): S.RECORDED,
    (S.SENT, I.SETTLED): S.ENDED,
    (S.SENT, I.WITHDRAW): S.LEAVING,
    (S.ENDED, I.ACCEPTED): S.ENDED,
    (S.ENDED, I.SETTLED): S.ENDED,
    (S.ENDED, I.WITHDRAW): S.LEAVING,
    (S.LEAVING, I.ACCEPTED): S.LEAVING,
    (S.LEAVING, I.SETTLED): S.LEAVING,
    (S.LEAVING, I.WITHDRAW): S.LEAVING,
}


def next_workload_state(name: str, state: WorkloadState, event: WorkloadEvent) -> WorkloadState:
    """The state after the event; raises ImpossibleStep."""
    try:
        return WORKLOAD_STEPS[state, event]
    except KeyError:
        raise ImpossibleStep(f"workload {name} is {state}: '{event}' cannot happen to it") from None


def next_intent_state(intent_id: str, state: IntentState, event: IntentEvent) -> IntentState:
    """The state after the event; raises ImpossibleStep."""
    try:
        return INTENT_STEPS[state, event]
    except KeyError:
        raise ImpossibleStep(f"intent {intent_id} is {state}: '{event}' cannot happen to it") from None
