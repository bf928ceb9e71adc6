"""The beginning of a workload's end: it is cancelled, perhaps to be forgotten, and its replicas are withdrawn."""

from __future__ import annotations

from dataclasses import replace

from federator.daemon.draft import Draft
from federator.daemon.settle import Rules, Settler
from federator.daemon.state import Live, State
from federator.engine.assign import withdraw
from federator.engine.lifecycle import WorkloadEvent, next_workload_state
from federator.model.intent import IntentState


def begin_removal(state: State, draft: Draft, rules: Rules, live: Live, *, delete: bool) -> None:
    """Put into the draft that a workload is cancelled; ``delete``: and forgotten, once nothing of it is left."""
    record = live.record
    after = next_workload_state(record.name, record.state, WorkloadEvent.CANCEL)
    if after is not record.state or (delete and not record.deleted):
        record = replace(record, state=after, deleted=record.deleted or delete)
        draft.put_record(record)
        draft.tell(record, "deleted" if delete else "cancelling", "its replicas are withdrawn everywhere")
    for intent in state.intents_of(live):
        if intent.state is not IntentState.LEAVING:
            draft.put(withdraw(intent, "the workload was cancelled"))
    settler = Settler(state, draft, rules)
    settler.touched.add(record.name)
    for _ in settler.progress():
        pass  # it is one workload
