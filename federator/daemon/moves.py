"""How workloads move from state to state: the state of each follows from where its replicas are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from federator.daemon.draft import Draft
from federator.daemon.state import Live, State
from federator.engine.assign import withdraw
from federator.engine.lifecycle import WorkloadEvent, next_workload_state
from federator.model.cluster import Health
from federator.model.indexset import IndexSet
from federator.model.intent import Intent, IntentState
from federator.model.records import WorkloadRecord, WorkloadState

_STATE_WORDS = {
    WorkloadState.WAITING: "nothing of it runs; it waits for a place",
    WorkloadState.DISPATCHED: "replicas are at clusters; none runs yet",
    WorkloadState.RUNNING: "replicas run",
    WorkloadState.FINISHED: "every replica has completed",
    WorkloadState.FAILED: "a replica failed too often",
    WorkloadState.CANCELLED: "cancelled; nothing of it is left at any cluster that answers",
}


class Moves:
    """Moves workloads within one draft."""

    def __init__(self, state: State, draft: Draft, waits: list[tuple[str, float]]) -> None:
        """``waits`` takes (queue, seconds from submission to the first replica that ran) of what began to run."""
        self._state = state
        self._draft = draft
        self._waits = waits

    def move(self, live: Live) -> None:
        """Move a workload to the state that its replicas are in."""
        record = self._draft.record(live)
        intents = self._draft.intents_of(live)
        if record.state.over:
            if record.deleted and not intents:
                self._draft.drop_workload(record.name)
            elif any(i.state in (IntentState.RECORDED, IntentState.SENT) for i in intents):
                self._withdraw_all(live, f"the workload is {record.state}")
            return
        if record.state is WorkloadState.CANCELLING:
            if record.deleted and not intents:
                self._draft.drop_workload(record.name)
            elif not any(self._answers(i.cluster) for i in intents):
                self.end(live, record, WorkloadEvent.GONE, "")
            return
        event = self._event(live, record, intents)
        if event is WorkloadEvent.COMPLETED:
            self.end(live, record, event, "")
            return
        state = next_workload_state(record.name, record.state, event)
        if state is not record.state:
            if state is WorkloadState.RUNNING and record.started_s is None:
                record = self._started(record)
            record = replace(record, state=state)
            self._draft.put_record(record)
            self._draft.tell(record, str(state), _STATE_WORDS[state])

    def _answers(self, cluster: str) -> bool:
        member = self._state.members.get(cluster)
        return member is not None and member.health is not Health.LOST

    def _event(self, live: Live, record: WorkloadRecord, intents: Iterable[Intent]) -> WorkloadEvent:
        if not live.service and not any(
            IndexSet.span(0, n) - record.finished.get(role, IndexSet()) for role, n in live.roles()
        ):
            return WorkloadEvent.COMPLETED
        placed = [i for i in intents if i.live]
        for intent in placed:
            member = self._state.members.get(intent.cluster)
            seen = member.observed(intent.id) if member else None
            if seen and seen.running & intent.live:
                return WorkloadEvent.STARTED
        return WorkloadEvent.DISPATCHED if placed else WorkloadEvent.UNPLACED

    def _started(self, record: WorkloadRecord) -> WorkloadRecord:
        self._waits.append((record.queue, max(0.0, self._draft.at_s - record.submitted_s)))
        return replace(record, started_s=self._draft.at_s)

    def end(self, live: Live, record: WorkloadRecord, event: WorkloadEvent, intent_id: str) -> None:
        """A workload is over: what is left of it anywhere is withdrawn."""
        state = next_workload_state(record.name, record.state, event)
        record = replace(record, state=state, ended_s=self._draft.at_s)
        if record.started_s is None and event in (WorkloadEvent.COMPLETED, WorkloadEvent.EXHAUSTED):
            record = self._started(record)  # it ran between two looks
        self._draft.put_record(record)
        words = record.message if state is WorkloadState.FAILED and record.message else _STATE_WORDS[state]
        self._draft.tell(record, str(state), words, intent=intent_id)
        if not state.over or state is WorkloadState.CANCELLED:
            return
        self._withdraw_all(live, f"the workload is {state}")

    def _withdraw_all(self, live: Live, reason: str) -> None:
        for intent in self._draft.intents_of(live):
            if intent.state in (IntentState.RECORDED, IntentState.SENT):
                self._draft.put(withdraw(intent, reason))
