"""Decides where work should run: one snapshot in, one plan out.

No clock, no network, no randomness: the daemon, the simulator and ``federator plan`` all call ``plan``, so what was
simulated is what runs. Workloads are asked in the order of service; each takes its room at once, so the next one sees
the clusters as they will be. Room that a move or a withdrawal will free is given away only once it is free.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from federator.engine.arrays import Array
from federator.engine.contest import Contests, is_whole
from federator.engine.explain import explanation
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.filling import UNWEIGHED
from federator.engine.gangs import InOneCluster, believed, by_heft
from federator.engine.governing import Rule
from federator.engine.kinds import Kinds
from federator.engine.opening import Clocks
from federator.engine.order import in_order
from federator.engine.outcome import Outcome
from federator.engine.shortcuts import Shortcuts
from federator.engine.stay import settle
from federator.engine.tiers import Filling, fill, unweighed
from federator.engine.together import label_groups, place_together
from federator.engine.turn import Turn, nowhere
from federator.engine.verdicts import Reasons
from federator.engine.wanted import Column, Placements
from federator.model.plan import Explanation, Move, Plan, Refusal, Snapshot, shape_key
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Role, Workload


def plan(snapshot: Snapshot, *, explain: Collection[str] = ()) -> Plan:
    """Give every replica of every workload a place, or a reason for every cluster.

    ``explain`` names workloads whose explanation the plan should carry; it changes nothing else.
    """
    return _Planner(snapshot, frozenset(explain)).plan()


@dataclass(slots=True)
class _Answer:
    """What has been decided so far."""

    placements: list[Column] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    full_tiers: set[tuple[str, str, str]] = field(default_factory=set)
    explanations: dict[str, Explanation] = field(default_factory=dict)


class _Planner:
    def __init__(self, snapshot: Snapshot, explain: frozenset[str]) -> None:
        self.planning = snapshot.planning
        self.explain = explain
        self.federation = Federation(snapshot)
        self.kinds = Kinds(self.federation)
        self.queue = in_order(snapshot)
        self.clocks: Clocks = {(clock.policy, clock.tier, clock.shape): clock.since_s for clock in snapshot.clocks}
        self.blocked_heads: dict[str, str] = {}
        self.answer = _Answer()
        self.shortcuts = Shortcuts(self.federation)
        priorities = {queue.name: queue.priority for queue in snapshot.queues}
        self.contests = Contests(self.federation, self.planning, priorities, self._in_one_cluster)

    def plan(self) -> Plan:
        """1 bind what is on its way, 2 ask every workload in order, 3 sort the answers."""
        self._bind_what_is_on_its_way()
        for position, workload in self.contests.in_turn(self.queue, self.blocked_heads):
            outcomes = self._place(workload)
            if not outcomes:
                continue  # refused like one before it
            self._record(workload, outcomes, position)
            if self.planning.blocked_head == "wait" and any(outcome.blocked for outcome in outcomes):
                self.blocked_heads.setdefault(workload.queue, workload.name)
        answer = self.answer
        return Plan(
            placements=Placements(answer.placements),
            refusals=tuple(sorted(answer.refusals, key=lambda r: (r.workload, r.role))),
            moves=tuple(sorted(answer.moves, key=lambda m: (m.workload, m.role, m.source, m.target))),
            full_tiers=frozenset(answer.full_tiers),
            explanations=answer.explanations,
        )

    def _bind_what_is_on_its_way(self) -> None:
        """Kind by kind, in the order in which the kinds first stand in the queue."""
        federation = self.federation
        unbound: dict[int, tuple[Eligibility, Array]] = {}
        for workload in self.queue:
            for role in workload.roles:
                holdings = [h for h in federation.holdings(workload.name, role.name) if h.unbound]
                if not holdings:
                    continue
                eligibility = federation.feasibility.of(workload, role, federation.governing.rule(workload), ())
                nothing = np.zeros(len(federation.names), dtype=np.int64)
                counts = unbound.setdefault(id(eligibility), (eligibility, nothing))[1]
                for holding in holdings:
                    counts[federation.index[holding.cluster]] += min(holding.unbound, holding.replicas)
        for eligibility, counts in unbound.values():
            if counts.any():
                federation.hold_unbound(eligibility, counts)

    def _place(self, workload: Workload) -> list[Outcome]:
        """The outcome for every role of a workload."""
        rule = self.federation.governing.rule(workload)
        if is_whole(workload) and workload.queue not in self.blocked_heads:
            return self._place_in_one_cluster(self._in_one_cluster(workload, self.contests.hints.get(workload.name)))
        turns = [self._turn(workload, role, rule) for role in workload.roles]
        if workload.queue in self.blocked_heads:
            return [self._wait_behind(turn) for turn in turns]
        if workload.gang is None:
            return self._place_or_repeat(turns[0])
        turns = by_heft(self.federation, [turn.look_everywhere() for turn in turns])
        return self._place_gang(turns, workload.gang.label if workload.gang.scope == "label" else "")

    def _place_or_repeat(self, turn: Turn) -> list[Outcome]:
        """The outcome of the only role; none where its refusal is that of one before it, and is recorded already."""
        if turn.workload.name not in self.explain:
            refusal = self.shortcuts.refusal(turn) if self.planning.blocked_head == "pass" else None
            if refusal is not None:
                self.answer.refusals.append(refusal)
                return []
            outcome = self.shortcuts.as_it_is(turn)
            if outcome is not None:
                return [outcome]
        return [self._place_alone(turn)]

    def _turn(self, workload: Workload, role: Role, rule: Rule, spent: Array | None = None) -> Turn:
        """The turn of a role after so many replicas of its workload's other roles on each cluster."""
        federation = self.federation
        eligibility = federation.feasibility.of(workload, role, rule, federation.excluded(workload.name))
        replaced = rule.policy.replicas if len(workload.roles) == 1 else None
        return Turn(
            federation=federation,
            workload=workload,
            role=role,
            rule=rule,
            wanted=role.replicas if replaced is None else replaced,
            eligibility=eligibility,
            kind=self.kinds.of(workload, rule, eligibility),
            held=federation.held(workload.name, role.name),
            minima=rule.minima if spent is None else np.maximum(rule.minima - spent, 0),
            maxima=rule.maxima if spent is None else np.maximum(rule.maxima - spent, 0),
        )

    def _fill(self, turn: Turn, firm: Array, afresh: bool) -> Filling:
        return fill(self.federation, turn, firm, afresh, self.clocks, self.planning.outage_grace_s)

    def _settle(self, turn: Turn) -> Filling:
        return settle(self.federation, turn, lambda firm, afresh: self._fill(turn, firm, afresh))

    def _place_alone(self, turn: Turn) -> Outcome:
        """Replicas that start one by one; but a workload that holds nothing starts with its minReplicas at least."""
        filling = self._settle(turn)
        needed, found = min(turn.workload.min_replicas, turn.wanted), filling.total
        if found >= needed or turn.holds:
            return Outcome(turn, filling)
        filling.placed[:] = 0
        return Outcome(turn, filling, Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": needed, "room": found}))

    def _wait_behind(self, turn: Turn) -> Outcome:
        """What it holds stays, nothing new starts, because the head of its queue waits."""
        closed = replace(turn)
        closed.keep_to(nowhere(self.federation))
        filling = replace(self._fill(closed, turn.held, False), full=())
        filling.weights[:] = UNWEIGHED
        queue = turn.workload.queue
        head = {"head": self.blocked_heads[queue], "queue": queue}
        return Outcome(turn, filling, Verdict(Reason.BEHIND_BLOCKED_HEAD, head))

    def _in_one_cluster(self, workload: Workload, hint: int | None) -> InOneCluster:
        """The search for the one cluster of a whole workload; ``hint`` comes first in its tier."""
        rule = self.federation.governing.rule(workload)
        turns = by_heft(
            self.federation, [self._turn(workload, role, rule).look_everywhere() for role in workload.roles]
        )
        return InOneCluster(self.federation, turns, self.clocks, self.planning.outage_grace_s, hint)

    def _place_in_one_cluster(self, search: InOneCluster) -> list[Outcome]:
        fillings = search.place()
        verdict = Verdict(Reason.GANG_DOES_NOT_FIT, {"needed": search.total})
        return [
            Outcome(turn, filling, verdict, search.fits, together=search.total, bound=True)
            for turn, filling in zip(search.turns, fillings, strict=True)
        ]

    def _place_gang(self, turns: list[Turn], label: str) -> list[Outcome]:
        """A gang over several clusters: all of it by the usual division, or nothing new at all."""
        federation, workload, rule = self.federation, turns[0].workload, turns[0].rule
        roles = [turn.role for turn in turns]
        fillings: list[Filling] | None = None
        for only in label_groups(federation, label, turns) if label else [None]:
            fillings = place_together(
                federation, roles, lambda role, spent: self._turn(workload, role, rule, spent), self._settle, only
            )
            if fillings is not None:
                break
        total = sum(turn.wanted for turn in turns)
        fits = sum(np.minimum(turn.wanted, turn.held + turn.room.more + turn.room.extra) for turn in turns)
        verdict = Verdict(Reason.GANG_DOES_NOT_FIT, {"needed": total})
        absent = [self._absent(turn) for turn in turns]
        return [
            Outcome(turn, filling, verdict, fits, bound=True)
            for turn, filling in zip(turns, fillings or absent, strict=True)
        ]

    def _absent(self, turn: Turn) -> Filling:
        """No replica of a gang; but what a silent cluster holds is believed to run there."""
        held = believed(turn.held * self.federation.silent, turn.wanted)
        return unweighed(held)

    def _record(self, workload: Workload, outcomes: list[Outcome], position: int) -> None:
        """Write the outcomes down and take their room."""
        federation, answer, policy = self.federation, self.answer, outcomes[0].turn.rule.policy if outcomes else None
        explained = workload.name in self.explain
        reasons = [Reasons(o.scene()) if o.refused > 0 or explained else None for o in outcomes]
        if explained:
            answer.explanations[workload.name] = explanation(federation, workload, outcomes, reasons, position)
        for outcome, why in zip(outcomes, reasons, strict=True):
            turn = outcome.turn
            if outcome.refused > 0 and why is not None and policy is not None:
                answer.refusals.append(Refusal(workload.name, turn.role.name, outcome.refused, why, policy.name))
                if workload.gang is None and len(outcomes) == 1:
                    self.shortcuts.remember(outcome, why)
            if not outcome.bound and outcome.grown.any():
                federation.take(turn.eligibility.shape, outcome.grown)
            answer.placements.append(outcome.placements())
            answer.moves.extend(outcome.moves(federation))
            for place in outcome.filling.full:
                answer.full_tiers.add((turn.rule.policy.name, turn.rule.tiers[place].name, shape_key(workload)))
