"""Step 2 of the cycle: what was seen, and what was answered, becomes changes to intents and workloads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from federator.daemon.draft import Draft
from federator.daemon.filler_ends import End, ran_s, spent, why_withdrawn
from federator.daemon.moves import Moves
from federator.daemon.starts import Start
from federator.daemon.state import Live, Look, Member, State
from federator.daemon.strays import of_completed
from federator.daemon.tally import Spent
from federator.engine.assign import recall, withdraw
from federator.engine.lifecycle import IntentEvent, WorkloadEvent, next_intent_state
from federator.engine.reconcile import LOST, Finding, reconcile
from federator.engine.retry import decide, filler_rest_s
from federator.model.checkpoints import without
from federator.model.cluster import Unschedulable
from federator.model.indexset import IndexSet
from federator.model.intent import PREEMPTED, Failure, Intent, IntentState, Observation, ObservedIntent
from federator.model.records import WorkloadState
from federator.model.resources import Resources
from federator.turns import Turns

UNSCHEDULABLE = "Unschedulable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a cluster answered to an order. ``refused`` is empty when it took it, else the refusal in words."""

    intent_id: str
    generation: int
    indices: IndexSet
    at_s: float
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the daemon that settling needs, in seconds."""

    recall_unschedulable_s: float = 15.0
    keep_ended_s: float = 600.0


class Settler:
    """Turns news into changes of a draft.

    What takes long comes as a generator that pauses after each small piece. The draft may be written at any pause,
    and the settler goes on with another: to settle what is settled changes nothing, so no piece needs another.
    """

    def __init__(self, state: State, draft: Draft, rules: Rules) -> None:
        self._state = state
        self._draft = draft
        self._rules = rules
        self.orphans: list[tuple[str, str]] = []
        """(cluster, intent id) of what should not be there."""
        self.touched: set[str] = set()
        """Workloads whose state may be another now."""
        self.waits: list[tuple[str, float]] = []
        """(queue, seconds from submission to the first replica that ran) of what began to run."""
        self.ended: Counter[tuple[str, str]] = Counter()
        """Replicas of batch work that ended, by cluster and outcome: succeeded, failed, lost, preempted."""
        self.spent: list[Spent] = []
        self.starts: list[Start] = []
        """Production that was seen to run for the first time."""
        self._moves = Moves(state, draft, self.waits)
        self._looked: list[tuple[Member, int, dict[str, Look]]] = []

    def go_on(self, draft: Draft) -> None:
        """Take what follows into this draft; the one before was written."""
        self._draft, self.touched = draft, set()
        self._moves = Moves(self._state, draft, self.waits)

    def written(self) -> None:
        """The draft was written: what was looked at is settled."""
        for member, began, looks in self._looked:
            member.settled_tick, member.looks = began, looks
        self._looked = []

    def counted(self) -> None:
        """What ended, was spent, started and waited for so far was counted."""
        self.ended.clear()
        for told in (self.spent, self.starts, self.waits):
            told.clear()

    def answers(self, answers: Iterable[Answer]) -> Iterator[None]:
        """Take in what clusters answered to orders."""
        for answer in answers:
            self._answer(answer)
            yield

    def _answer(self, answer: Answer) -> None:
        intent = self._draft.intent(answer.intent_id)
        if intent is None:
            return
        live = self._state.workloads.get(intent.workload)
        if answer.refused:
            self._refused(intent, live, answer.refused)
        elif intent.generation == answer.generation and intent.indices == answer.indices:
            overtaken = intent.state is IntentState.LEAVING and not intent.sent_s  # it may have begun before it left
            if intent.state is IntentState.RECORDED or overtaken:
                state = next_intent_state(intent.id, intent.state, IntentEvent.ACCEPTED)
                self._draft.put(replace(intent, state=state, sent_s=answer.at_s))

    def _refused(self, intent: Intent, live: Live | None, detail: str) -> None:
        """The cluster will never take it: what it may have taken of it leaves, and the workload goes elsewhere."""
        if intent.state is IntentState.LEAVING:
            return  # the order came after its own withdrawal: that says nothing of the next one
        self._state.exclusions[intent.workload, intent.cluster] = detail
        self._draft.put(withdraw(intent, f"refused: {detail}"))
        self.touched.add(intent.workload)
        if live:
            record = self._draft.record(live)
            self._draft.tell(record, "refused", f"{intent.cluster} refused it: {detail}", cluster=intent.cluster)

    def observation(self, member: Member) -> Iterator[None]:
        """Take in what a cluster said of itself, once.

        An intent of which it says the same as before, and nothing else changed about it either, is passed over.
        """
        seen, began = member.observation, member.began
        if seen is None or member.settled_tick == began:
            return
        known, looks = sorted(member.intents), dict[str, Look]()
        for intent_id in known:
            intent = self._draft.intent(intent_id)
            if intent is None:
                continue
            live = self._state.workloads.get(intent.workload)
            observed = seen.intents.get(intent_id)
            look = (intent, observed, live.record) if live else None
            nothing_new = _alike(look, member.looks.get(intent_id)) or self._settle(member, intent, seen, began)
            if look is not None and nothing_new:
                looks[intent_id] = look
            yield
        unknown = {i: seen.intents[i] for i in seen.intents.keys() - known}
        self.orphans.extend((member.cluster.name, i) for i in reconcile((), unknown).orphans)
        self._looked.append((member, began, looks))

    def _settle(self, member: Member, intent: Intent, seen: Observation, began: int) -> bool:
        """Settle one intent; whether there was nothing in it, nor will be by time alone."""
        observed = seen.intents.get(intent.id)
        if observed is not None and (start := self._state.starts.seen(intent, observed, seen.at_s)) is not None:
            self.starts.append(start)
        unproven = self._unproven(intent, began)
        shown = {} if observed is None else {intent.id: observed}
        findings = reconcile((intent,), shown, unproven={intent.id} if unproven else ()).findings
        for finding in findings:
            self._finding(finding)
        self.touched.add(intent.workload)
        if observed is not None and observed.notes:
            self._recall_stuck(member, intent, observed, seen.at_s)
            return False
        return not (findings or unproven)

    def _unproven(self, intent: Intent, began: int) -> bool:
        """Whether an observation that began at this tick says nothing of the intent by not showing it."""
        answered = self._state.answered.get(intent.id)
        if answered is None:
            # A removal counts only once the cluster has answered to it, in the life of this process.
            return intent.state is IntentState.LEAVING or bool(intent.withdrawn)
        return answered > began

    def _finding(self, finding: Finding) -> None:
        intent = self._draft.intent(finding.intent.id)
        live = self._state.workloads.get(finding.intent.workload)
        if intent is None:
            return
        if live is None:
            if finding.gone or finding.vanished:
                self._draft.drop(intent.id)
            return
        if not live.service:
            if finding.succeeded:
                intent = self._completed(live, intent, finding.succeeded)
            for failure in finding.failed:
                intent = self._failed(live, intent, failure)
        if finding.left or finding.gone:
            left = finding.left or intent.indices - intent.settled
            self._spent(live, intent, left, End.STOPPED, why_withdrawn(intent), told=True)
        if finding.left:
            intent = replace(intent, indices=intent.indices - finding.left, withdrawn=intent.withdrawn - finding.left)
        if not intent.indices - intent.settled and intent.state in (IntentState.SENT, IntentState.RECORDED):
            state = next_intent_state(intent.id, intent.state, IntentEvent.SETTLED)
            intent = replace(intent, state=state, ended_s=self._draft.at_s)
        if intent != self._draft.intent(intent.id):  # a write of what is written already would wake the next cycle
            self._draft.put(intent)
        if finding.vanished and intent.state is IntentState.SENT:
            self._vanished(live, intent)
        elif finding.vanished or finding.gone:
            self._draft.drop(intent.id)

    def _completed(self, live: Live, intent: Intent, indices: IndexSet) -> Intent:
        """Count each index once; what another copy completed before is recorded as a duplicate."""
        record = self._draft.record(live)
        before = record.finished.get(intent.role, IndexSet())
        duplicates, fresh = indices & before, indices - before
        if fresh:
            live.failed_in_a_row = 0
            self.ended[intent.cluster, "succeeded"] += len(fresh)
            self._spent(live, intent, fresh, End.DONE)
            record = replace(record, finished={**record.finished, intent.role: before | fresh})
            if tried := record.tried.get(intent.role):
                self._draft.leave(live, of_completed(tried, fresh))
                record = replace(record, tried={**record.tried, intent.role: without(tried, fresh)})
            self._draft.put_record(record)
            self._draft.tell(
                record, "completed", f"{len(fresh)} replicas completed on {intent.cluster}",
                cluster=intent.cluster, indices=str(fresh), role=intent.role,
            )  # fmt: skip
            self._withdraw_copies(live, intent, fresh)
        if duplicates:
            self._draft.tell(
                record, "duplicate", f"{len(duplicates)} replicas completed a second time on {intent.cluster}",
                cluster=intent.cluster, indices=str(duplicates), role=intent.role,
            )  # fmt: skip
        return replace(intent, settled=intent.settled | indices)

    def _withdraw_copies(self, live: Live, intent: Intent, indices: IndexSet) -> None:
        """An outage may have made a second copy of a replica: nobody needs it once the first has completed."""
        for other in self._draft.intents_of(live):
            copies = other.live & indices
            if copies and other.id != intent.id and other.role == intent.role:
                self._draft.put(recall(other, copies, f"completed on {intent.cluster}", service=False))

    def _failed(self, live: Live, intent: Intent, failure: Failure) -> Intent:
        record = self._draft.record(live)
        settled = replace(intent, settled=intent.settled | IndexSet.of([failure.index]))
        if failure.index in record.finished.get(intent.role, IndexSet()) or intent.state is IntentState.LEAVING:
            return settled
        self.ended[intent.cluster, _outcome(failure)] += 1
        by_index = record.failures.get(intent.role, {})
        before = by_index.get(failure.index, 0)
        decision = decide(failure, before, live.spec.workload.retries)
        how, told = End.FAILED if failure.own_fault else End.STOPPED, failure.reason == PREEMPTED
        self._spent(live, intent, [failure.index], how, failure.reason, told=told)
        if failure.own_fault:
            counted = {**by_index, failure.index: before + 1}
            record = replace(record, failures={**record.failures, intent.role: counted})
        backfill, words = live.spec.workload.backfill, f"{decision.words} ({intent.cluster})"
        if decision.again or backfill:  # of a bag one task that always fails is set aside, and ends nothing else
            rest_s = decision.rest_s if decision.again else math.inf
            live.resting[intent.role, failure.index] = self._draft.at_s + rest_s
            self._state.stale[record.name] = None
        if not decision.again:
            record = replace(record, message=words + (self._set_aside(live) if backfill else ""))
        self._draft.put_record(record)
        self._draft.tell(
            record, "failed", words, cluster=intent.cluster, index=failure.index, role=intent.role,
            reason=failure.reason, exit_code=failure.exit_code, decision=decision.code,
        )  # fmt: skip
        if not decision.again and not backfill and not record.state.over:
            self._moves.end(live, record, WorkloadEvent.EXHAUSTED, intent.id)
        return settled

    def _set_aside(self, live: Live) -> str:
        """One more task of a filler; after too many in a row it starts none for a while. Returns what is to be said."""
        live.failed_in_a_row += 1
        rest_s = filler_rest_s(live.failed_in_a_row)
        if rest_s <= 0:
            return ""
        live.rests_until_s = self._draft.at_s + rest_s
        return f"; {live.failed_in_a_row} tasks in a row were set aside; none starts for {rest_s:g} s"

    def _spent(
        self, live: Live, intent: Intent, indices: Iterable[int], how: End, cause: str = "", *, told: bool = False
    ) -> None:
        """Note what these replicas have used, if they are a filler's. ``told``: they were told to end, with a grace."""
        if live.spec.workload.backfill and intent.sent_s and (count := len(list(indices))):
            lasted_s = ran_s(self._state, intent, self._draft.at_s)
            self.spent.append(spent(live, intent.cluster, count, lasted_s, how, cause, told=told))

    def _vanished(self, live: Live, intent: Intent) -> None:
        self._draft.drop(intent.id)
        record = self._draft.record(live)
        lost = intent.indices - intent.settled
        if not live.service:
            self.ended[intent.cluster, "lost"] += len(lost - intent.withdrawn)
        self._spent(live, intent, intent.withdrawn & lost, End.STOPPED, why_withdrawn(intent), told=True)
        self._spent(live, intent, lost - intent.withdrawn, End.STOPPED, LOST)
        self._draft.tell(
            record, "vanished", f"{intent.cluster} no longer has {len(lost)} replicas; they are placed again",
            cluster=intent.cluster, indices=str(lost), role=intent.role,
        )  # fmt: skip

    def _recall_stuck(self, member: Member, intent: Intent, seen: ObservedIntent, now_s: float) -> None:
        """Withdraw replicas that the member cannot bind to a node, and remember their shape until room appears."""
        current = self._draft.intent(intent.id)
        if current is None or not current.live or self._can_grow(member):
            return
        stuck = IndexSet.of(
            note.index
            for note in seen.notes
            if note.reason == UNSCHEDULABLE and now_s - note.since_s >= self._rules.recall_unschedulable_s
        )
        stuck = stuck & current.live
        live = self._state.workloads.get(current.workload)
        if not stuck or live is None or live.spec.workload.backfill:
            return  # a filler waits below all others: it tells nothing of what they would find
        message = next(n.message for n in seen.notes if n.index in stuck)
        requests = _requests_of(live, current.role)
        member.unschedulable[str(requests.items_)] = Unschedulable(requests, message)
        self._draft.put(recall(current, stuck, f"unschedulable: {message}", service=live.service))
        self._draft.tell(
            self._draft.record(live), "recalled",
            f"{len(stuck)} replicas found no node on {current.cluster} and are placed again: {message}",
            cluster=current.cluster, indices=str(stuck), role=current.role,
        )  # fmt: skip

    @staticmethod
    def _can_grow(member: Member) -> bool:
        flavors = (member.observation.flavors if member.observation else None) or ()
        return any(flavor.max_count > flavor.count for flavor in flavors)

    def housekeeping(self) -> Iterator[None]:
        """Let go of what ended long enough ago, and of what nobody waits for."""
        state = self._state
        for cluster in [cluster for cluster in state.at if cluster not in state.members]:
            for intent in [i for i in map(self._draft.intent, sorted(state.at[cluster])) if i is not None]:
                if live := state.workloads.get(intent.workload):
                    self._vanished(live, intent)
                yield
        for intent_id in sorted(state.ended):
            self._let_go(intent_id)
            yield
        self.touched |= state.leaving

    def _let_go(self, intent_id: str) -> None:
        intent = self._draft.intent(intent_id)
        live = self._state.workloads.get(intent.workload) if intent else None
        if intent is None or live is None or intent.state is not IntentState.ENDED:
            return
        record = self._draft.record(live)
        old = self._draft.at_s - intent.ended_s >= self._rules.keep_ended_s
        if old or record.deleted or record.state in (WorkloadState.CANCELLING, WorkloadState.CANCELLED):
            self._draft.put(withdraw(intent, "its logs were kept long enough"))

    def progress(self) -> Iterator[None]:
        """Move every touched workload to the state that its replicas are in."""
        for name in sorted(self.touched | self._draft.touched):
            live = self._state.workloads.get(name)
            if live is not None:
                self._moves.move(live)
            yield

    async def progress_in_turns(self, turns: Turns) -> None:
        """``progress``, with turns for others."""
        for _ in self.progress():
            if turns.due:
                await turns.rest()


def _alike(look: Look | None, before: Look | None) -> bool:
    """Whether nothing changed since a look. Intents and records are replaced, never changed."""
    if look is None or before is None or look[0] is not before[0] or look[2] is not before[2]:
        return False
    return look[1] is before[1] or look[1] == before[1]


def _outcome(failure: Failure) -> str:
    if failure.reason == PREEMPTED:
        return "preempted"
    return "failed" if failure.own_fault else "lost"


def _requests_of(live: Live, role: str) -> Resources:
    """What one replica of the role asks for (of all roles together, the largest of each)."""
    largest: dict[str, int] = {}
    for each in live.spec.workload.roles:
        if role in ("*", each.name):
            for name, amount in each.requests.items_:
                largest[name] = max(largest.get(name, 0), amount)
    return Resources.of(largest)
