"""What clusters say becomes the state of workloads, by the engine's tables: ends are counted once, failures decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from federator.engine.assign import recall, withdraw
from federator.engine.lifecycle import IntentEvent, WorkloadEvent, next_intent_state
from federator.engine.reconcile import Finding, reconcile
from federator.engine.retry import decide
from federator.model.cluster import Health
from federator.model.indexset import IndexSet
from federator.model.intent import Failure, Intent, IntentState
from federator.simulator.timeline import OTHER
from federator.simulator.world import Live, Member, World


class Settler:
    """Takes in news. What it finds to be removed, it removes where the cluster answers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._places = {name: at for at, name in enumerate(world.members)}

    def settle(self, now_s: float) -> bool:
        """Take in what all clusters that answer have to say; whether anything was new."""
        noisy, members, anything = self._world.noisy, self._world.members, False
        while noisy:
            news = [m for name in self._in_order(noisy) if (m := members[name]).health is Health.UP and m.site.news]
            self._world.heard.update(noisy)
            noisy.clear()
            anything = anything or bool(news)
            for member in news:
                self._news(member, now_s)
        return anything

    def _in_order(self, names: Iterable[str]) -> list[str]:
        return sorted(names, key=self._places.__getitem__)

    def _news(self, member: Member, now_s: float) -> None:
        told, member.site.news = member.site.news, {}
        touched: dict[str, Live] = {}
        for intent_id in told:
            live = member.intents.get(intent_id)
            if live is None:
                continue
            touched[live.workload.name] = live
            if live.part is not None and any(held.unbound for held in live.part.held):
                self._world.changed(live)  # what waited for a node may have one
            observed = member.site.observed(intent_id)
            shown = {} if observed is None else {intent_id: observed}
            for finding in reconcile((live.intents[intent_id],), shown).findings:
                self._finding(member, live, finding, now_s)
        for live in touched.values():
            self._progress(live, now_s)

    def _finding(self, member: Member, live: Live, finding: Finding, now_s: float) -> None:
        intent = live.intents[finding.intent.id]
        if not live.service:
            if finding.succeeded:
                intent = self._completed(live, intent, finding.succeeded, now_s)
            for failure in finding.failed:
                intent = self._failed(live, intent, failure, now_s)
        if finding.left:
            intent = replace(intent, indices=intent.indices - finding.left, withdrawn=intent.withdrawn - finding.left)
        if not intent.indices - intent.settled and intent.state is IntentState.SENT:
            intent = replace(intent, state=next_intent_state(intent.id, intent.state, IntentEvent.SETTLED))
        self._world.changed(live)
        if finding.vanished or finding.gone or intent.state is IntentState.ENDED:
            member.site.jobs.pop(intent.id, None)  # what has ended keeps its logs a while; nobody reads them here
            del live.intents[intent.id], member.intents[intent.id]
        else:
            live.intents[intent.id] = intent

    def _completed(self, live: Live, intent: Intent, indices: IndexSet, now_s: float) -> Intent:
        """Count each index once; copies that an outage has made leave."""
        before = live.finished.get(intent.role, IndexSet())
        live.finished[intent.role] = before | indices
        for other in list(live.intents.values()):
            copies = other.live & indices
            if copies and other.id != intent.id and other.role == intent.role:
                self.change(live, recall(other, copies, f"completed on {intent.cluster}", service=False), now_s)
        return replace(intent, settled=intent.settled | indices)

    def _failed(self, live: Live, intent: Intent, failure: Failure, now_s: float) -> Intent:
        settled = replace(intent, settled=intent.settled | IndexSet.of([failure.index]))
        if failure.index in live.finished.get(intent.role, IndexSet()) or intent.state is IntentState.LEAVING:
            return settled
        key = intent.role, failure.index
        before = live.failures.get(key, 0)
        decision = decide(failure, before, live.workload.retries)
        live.failures[key] = before + failure.own_fault
        if decision.again and not decision.rest_s:
            return settled
        if decision.again:
            live.resting[key] = now_s + decision.rest_s
            self._world.timeline.at(live.resting[key], OTHER, lambda at_s: None)  # time alone makes it wait again
        elif not live.state.over:
            self._world.step(live, WorkloadEvent.EXHAUSTED, now_s)
        return settled

    def change(self, live: Live, intent: Intent, now_s: float) -> None:
        """An intent is to be otherwise: what is to leave is removed as soon as the cluster answers."""
        member = self._world.members[intent.cluster]
        live.intents[intent.id] = intent
        self._world.changed(live)
        if member.health is Health.UP:
            leaving = intent.state is IntentState.LEAVING
            if leaving or intent.withdrawn:
                cause = self._world.why_less(intent.workload, intent.cluster)
                member.site.remove(intent.id, None if leaving else intent.withdrawn, now_s, cause)

    def back(self, member: Member, now_s: float) -> None:
        """A cluster answers again: it tells all that it has, and then hears what was to leave."""
        member.site.news.update(dict.fromkeys(member.intents))
        self._news(member, now_s)
        for intent_id, live in list(member.intents.items()):
            self.change(live, live.intents[intent_id], now_s)

    def _progress(self, live: Live, now_s: float) -> None:
        """Move a workload to the state that its replicas are in."""
        if not live.state.over:
            self._world.step(live, self._event(live), now_s)
        if live.state.over:
            for intent in list(live.intents.values()):
                if intent.state in (IntentState.RECORDED, IntentState.SENT):
                    self.change(live, withdraw(intent, f"the workload is {live.state}"), now_s)
            if not live.intents:
                self._world.leave(live)

    def _event(self, live: Live) -> WorkloadEvent:
        roles = live.workload.roles
        if not live.service and all(len(live.finished.get(r.name, IndexSet())) >= r.replicas for r in roles):
            return WorkloadEvent.COMPLETED
        placed = [intent for intent in live.intents.values() if intent.live]
        for intent in placed:
            if self._world.members[intent.cluster].site.runs(intent.id):
                return WorkloadEvent.STARTED
        return WorkloadEvent.DISPATCHED if placed else WorkloadEvent.UNPLACED
