"""Decides where work should run: one snapshot in, one plan out.

No clock, no network, no randomness: the daemon, the simulator and ``federator plan`` all call ``plan``, so what was
simulated is what runs. Workloads are asked in the order of service; each takes its room at once, so the next one sees
the clusters as they will be. Room that a move or a withdrawal will free is given away only once it is free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array, total
from federator.engine.contest import Contests
from federator.engine.explain import explanation
from federator.engine.fair_service import FairService
from federator.engine.fillers import fill_holes, unfilled
from federator.engine.giving_way import gave_way_in_vain, giving_way, waiting
from federator.engine.ground import Ground
from federator.engine.heads import heads_stay, plan_with_heads
from federator.engine.matching import Matching, Share
from federator.engine.on_its_way import bind_what_is_on_its_way
from federator.engine.open_service import OpenService
from federator.engine.opening import Clocks
from federator.engine.order import FAIR, FIT, in_order, sorted_by
from federator.engine.outcome import Outcome
from federator.engine.outlook import outlook
from federator.engine.placing import Placing
from federator.engine.plain import Plain
from federator.engine.plain_answers import Entry, Found
from federator.engine.preempting import Preempting, may_preempt
from federator.engine.queue_shares import when_read, with_queues
from federator.engine.reserving import Reserving
from federator.engine.resting import Resting
from federator.engine.shortcuts import Shortcuts
from federator.engine.turn import Turn
from federator.engine.verdicts import ReasonsNow
from federator.engine.wanted import Column, Placements
from federator.model.plan import Explanation, Move, Plan, Preemption, Refusal, Snapshot
from federator.model.workload import Workload

ROUNDS = 3
"""So often a plan is made anew because something gives way; what would have to after that is found by the next plan."""


def plan(snapshot: Snapshot, *, explain: Collection[str] = (), ground: Ground | None = None) -> Plan:
    """Give every replica of every workload a place, or a reason for every cluster.

    ``explain`` names workloads whose explanation the plan should carry; it changes nothing else. What is left idle goes
    to fillers, once all else is decided. Where something has to give way the plan is made anew with that on its way
    out, which is what the next snapshot will show. Who plans again and again keeps the ``ground``, which makes it
    faster and changes nothing.
    """
    ground = ground or Ground()
    if heads_stay(snapshot.planning):
        made = plan_with_heads(replace(snapshot, fillers=()), partial(plan, explain=explain, ground=ground))
        return replace(made, backfill=unfilled(snapshot, "heads that stay leave no holes to it"))
    in_vain: frozenset[str] = frozenset()
    while True:
        made = _with_room_made(snapshot, ground, frozenset(explain), in_vain)
        more = gave_way_in_vain(snapshot, made)
        if not more:
            return made
        in_vain |= more


def _with_room_made(snapshot: Snapshot, ground: Ground, explain: frozenset[str], in_vain: frozenset[str]) -> Plan:
    """The plan, with others giving way to whom they should, but for those to whom it would be ``in_vain``."""
    preemptions: list[Preemption] = []
    for last in (False,) * ROUNDS + (True,):
        planner = _Planner(snapshot, ground, explain, in_vain, preempts=not last)
        made, found = planner.plan(), planner.preempted
        if not found:
            break
        preemptions += found
        snapshot = giving_way(snapshot, found, planner.reserving.gains if planner.reserving is not None else {})
    if snapshot.fillers:
        made = replace(made, backfill=fill_holes(planner.federation, snapshot, planner.began, made.reservations))
    return replace(made, preemptions=tuple(preemptions)) if preemptions else made


@dataclass(slots=True)
class _Answer:
    """What has been decided so far."""

    placements: list[Column] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    full_tiers: set[tuple[str, str, str]] = field(default_factory=set)
    explanations: dict[str, Explanation] = field(default_factory=dict)


class _Planner:
    def __init__(
        self,
        snapshot: Snapshot,
        ground: Ground,
        explain: frozenset[str],
        in_vain: frozenset[str] = frozenset(),
        *,
        preempts: bool = True,
    ) -> None:
        """Nobody gives way to those to whom it would be ``in_vain``."""
        self.snapshot, self.in_vain = snapshot, in_vain
        self.planning = snapshot.planning
        self.explain = explain
        self.federation, self.kinds, self.families = ground.stand(snapshot)
        self.began = self.federation.nodes.sums[0].copy()
        """What is free before anything is placed, by cluster and resource, on nodes that exist."""
        self.queue = in_order(snapshot)
        self.firsts = waiting(snapshot, self._at_once)
        self.clocks: Clocks = {(clock.policy, clock.tier, clock.shape): clock.since_s for clock in snapshot.clocks}
        self.answer = _Answer()
        self.shortcuts = Shortcuts(self.federation)
        self.allowance = Allowance(snapshot, self.federation)
        self.placing = Placing(self.federation, self.kinds, self.allowance, self.clocks, self.planning.outage_grace_s)
        self.resting = Resting(self.federation, self.kinds, self.allowance)
        self.by_turns = self._service()
        self.contests = Contests(snapshot, self.federation, self.allowance, self.placing.in_one_cluster)
        self.placing.hints = self.contests.hints
        backfills = self.planning.backfilling != "none"
        self.reserving = (
            Reserving(snapshot, self.federation, self.clocks, self.placing.then, self.firsts, self._claim)
            if backfills or self.firsts
            else None
        )
        self.preempts = preempts and may_preempt(snapshot)
        self.preempting: Preempting | None = None
        self.waits = self.planning.blocked_head == "wait" and not backfills
        """Whether what is behind a blocked head waits whatever it is; else reservations say who may pass it."""

    def plan(self) -> Plan:
        """1 bind what is on its way, 2 look ahead, 3 ask every workload in order, 4 sort the answers."""
        bind_what_is_on_its_way(self.snapshot, self.federation, self.queue)
        if self.preempts:
            self.preempting = Preempting(
                self.snapshot,
                self.federation,
                self.allowance,
                self.clocks,
                self.placing.then,
                self.queue,
                self.firsts,
                self.in_vain,
            )
        if self.planning.order != FIT:
            self.placing.outlook = outlook(self.snapshot, self.federation, self.kinds, self.queue)
        if self.by_turns is not None:
            self.by_turns.run(self)
        else:
            self._serve_in_order()
        answer = self.answer
        queues, cohorts = when_read(self.snapshot)
        return Plan(
            placements=Placements(answer.placements),
            refusals=tuple(sorted_by(answer.refusals, attrgetter("workload"), attrgetter("role"))),
            moves=tuple(sorted(answer.moves, key=lambda m: (m.workload, m.role, m.source, m.target))),
            reservations=tuple(sorted(self.reserving.made, key=lambda r: (r.workload, r.cluster)))
            if self.reserving is not None
            else (),
            full_tiers=frozenset(answer.full_tiers),
            explanations=with_queues(answer.explanations, self.queue, queues, turns=self.by_turns is not None),
            queues=queues,
            cohorts=cohorts,
        )

    def _service(self) -> FairService | OpenService | None:
        """Who serves where the order is found as work is admitted."""
        if self.planning.order == FAIR:
            return FairService(self.snapshot, self.federation, self.allowance, self.queue)
        return OpenService(self.snapshot, self.queue) if self.planning.order == FIT else None

    @property
    def preempted(self) -> Sequence[Preemption]:
        """What was found to have to give way."""
        return self.preempting.found if self.preempting is not None else ()

    def _claim(self, outcome: Outcome, placed: Array) -> None:
        """Take of the queue's allowance what is kept for a role, which will have so many replicas on each cluster."""
        self.allowance.take(outcome.turn, placed)

    def _serve_in_order(self) -> None:
        """Ask every workload in the order of service, plain neighbours together where nobody makes others wait."""
        begun = self.serve_first()
        queue = [one for one in self.queue if begun.get(one.name) is not None or one.name not in begun]
        if self.waits or self.placing.outlook is not None:
            stretches: Iterable[tuple[Sequence[Workload], Sequence[Entry]]] = [(queue, ())]
        else:
            found = Found(self.answer.placements, self.answer.refusals, self.answer.full_tiers)
            grace_s = self.planning.outage_grace_s
            apart = self.explain | begun.keys()
            plain = Plain(self.federation, self.families, self.allowance, self.clocks, grace_s, apart, found, self)
            rest = self._rests_anyway
            moving = (one for one in queue if one.name in begun or not rest(one)) if self.snapshot.holdings else queue
            stretches = plain.stretches(moving)
        for workloads, entries in stretches:
            if entries:
                plain.serve(entries)
            else:
                for workload in self.contests.in_turn(workloads, self.placing.blocked_heads):
                    first = begun.get(workload.name)
                    if first is None:
                        self.serve(workload)
                    else:
                        self.go_on(workload, first)

    def asks_of_refusals(self) -> bool:
        """Whether more may come of a refusal now: others give way, or something is reserved."""
        return self.preempting is not None or (self.reserving is not None and self.reserving.asks)

    def serve(self, workload: Workload) -> None:
        """Place all of a workload that finds a place, and record the answer."""
        if self._rests(workload):
            return
        outcomes = self._place(workload)
        if outcomes:  # else it was refused like one before it
            self._record(workload, outcomes)
        if self.placing.outlook is not None:
            self.placing.outlook.draw(workload.name)

    def go_on(self, workload: Workload, begun: Outcome) -> None:
        """Place all that one lacks who has had a part already, and record the answer."""
        self.portion(workload, begun, self.wanted(workload) - begun.filling.total)

    def match(self, workloads: Sequence[Workload]) -> Mapping[str, Share]:
        """Match those of these that wait and are divided by foresight with what is free now; they aim at that."""
        matching = self.placing.outlook = Matching.over(self.federation, self.kinds, workloads)
        return matching.shares

    def has_room(self, workload: Workload) -> int:
        """How many of the replicas that it was matched with have room where they aim at, as things stand."""
        outlook = self.placing.outlook
        return outlook.room(self.federation, workload.name) if isinstance(outlook, Matching) else 0

    def serve_first(self) -> Mapping[str, Outcome | None]:
        """Serve those for which others have given way, up to what that gives them; None for one that is recorded."""
        served: dict[str, Outcome | None] = {}
        known = {workload.name: workload for workload in self.queue} if self.firsts else {}
        for name, gains in self.firsts.items():
            workload = known[name]
            if workload.gang is not None or len(workload.roles) > 1:
                self.serve(workload)
                served[name] = None
            else:
                held = total(self.federation.held(name, workload.roles[0].name))
                served[name] = self.portion(workload, None, gains - held)
        return served

    def _rests_anyway(self, workload: Workload) -> bool:
        """The same, whatever the others do: then it parts no neighbours."""
        rest = self.resting.of(workload) if workload.name not in self.explain else None
        if rest is None or rest.last > 0:
            return False
        self.answer.placements.append(rest.column)
        return True

    def _rests(self, workload: Workload) -> bool:
        """Whether it runs as it should and nobody asks why; then that is recorded."""
        rest = self.resting.of(workload) if workload.name not in self.explain else None
        if rest is None:
            return False
        if rest.last > 0 and workload.queue in self.placing.blocked_heads:
            return False
        full = self.resting.full(workload, rest)
        if full is None:
            outcome = self.placing.alone(self.placing.turn(workload, workload.roles[0]))
            full = tuple(outcome.filling.full)
            self.resting.remember(workload, rest, full)
        self.answer.placements.append(rest.column)
        self.answer.full_tiers.update(rest.rule.clocks(workload, full))
        return True

    def holds(self, workload: Workload) -> bool:
        """Whether any cluster holds some of it."""
        return any(self.federation.holdings(workload.name, role.name) for role in workload.roles)

    def wanted(self, workload: Workload) -> int:
        """How many replicas there should be of a workload of one role."""
        replaced = self.federation.governing.rule(workload).policy.replicas
        return workload.roles[0].replicas if replaced is None else replaced

    def _at_once(self, workload: Workload) -> int:
        """How many replicas it must have, where it has any."""
        wanted = self.wanted(workload) if len(workload.roles) == 1 else workload.replicas
        together = workload.gang is not None or len(workload.roles) > 1
        return wanted if together else 1 if self.holds(workload) else min(workload.min_replicas, wanted)

    def keep(self, workload: Workload) -> Outcome | None:
        """Place what a workload holds and no more; None where that was all, or it starts together: it is recorded.

        While it still grows it is not rebalanced: it only leaves clusters that are drained.
        """
        if workload.gang is not None or len(workload.roles) > 1:
            self.serve(workload)
            return None
        if self._rests(workload):
            return None
        turn = self.placing.turn(workload, workload.roles[0])
        held = total(turn.held)
        if held >= turn.wanted:
            self._record(workload, self._place_or_repeat(turn, held))
            return None
        turn.admit(held)
        drained = np.where(self.federation.draining & ~self.federation.silent, turn.held, 0)
        outcome = self.placing.beside(turn, turn.held - drained)
        self._take(outcome)
        return outcome

    def portion(self, workload: Workload, begun: Outcome | None, replicas: int) -> Outcome | None:
        """Place so many more; None where that was the last of it, or not all found a place: it is recorded."""
        turn = self.placing.turn(workload, workload.roles[0], held=begun.filling.placed if begun else None)
        asked = total(turn.held) + replicas
        turn.admit(asked)
        if workload.queue in self.placing.blocked_heads:
            outcomes = [self.placing.wait_behind(turn)]
        elif begun is None:
            outcomes = self._place_or_repeat(turn, asked)
        else:
            outcomes = [self.placing.beside(turn, turn.held)]
        if outcomes and asked < turn.wanted and outcomes[0].filling.total == asked:
            self._take(outcomes[0])
            if self.placing.outlook is not None:
                self.placing.outlook.draw(workload.name, replicas)
            return outcomes[0]
        if outcomes:
            self._record(workload, outcomes)
        if self.placing.outlook is not None:
            self.placing.outlook.draw(workload.name)
        return None

    def _place(self, workload: Workload) -> list[Outcome]:
        """The outcome for every role; none where it is recorded already."""
        if workload.gang is not None or len(workload.roles) > 1 or workload.queue in self.placing.blocked_heads:
            return self.placing.place(workload)
        turn = self.placing.turn(workload, workload.roles[0])
        return self._place_or_repeat(turn, turn.wanted)

    def _place_or_repeat(self, turn: Turn, asked: int) -> list[Outcome]:
        """The outcome of the only role, of which so many are asked for now; none where its refusal is that of one
        before it, and is recorded already."""
        if turn.workload.name not in self.explain:
            alike = not self.waits and (self.reserving is None or not self.reserving.asks)
            refusal = self.shortcuts.refusal(turn) if alike else None
            if refusal is not None:
                self.answer.refusals.append(refusal)
                return []
            turn.unasked = turn.admitted == asked
        return [self.placing.alone(turn)]

    def _record(self, workload: Workload, outcomes: Sequence[Outcome]) -> None:
        """Write the outcomes down and take their room."""
        answer, explained = self.answer, workload.name in self.explain
        reasons = [ReasonsNow(o.scene()) if o.refused > 0 or explained else None for o in outcomes]
        if explained:
            position = 1 + next(at for at, one in enumerate(self.queue) if one.name == workload.name)
            answer.explanations[workload.name] = explanation(self.federation, workload, outcomes, reasons, position)
        for outcome, why in zip(outcomes, reasons, strict=True):
            turn, policy = outcome.turn, outcome.turn.rule.policy
            if outcome.refused > 0 and why is not None:
                answer.refusals.append(Refusal(workload.name, turn.role.name, outcome.refused, why, policy.name))
                if workload.gang is None and len(outcomes) == 1:
                    self.shortcuts.remember(outcome, why)
            answer.placements.append(outcome.placements())
            answer.moves.extend(outcome.moves(self.federation))
            answer.full_tiers.update(turn.rule.clocks(workload, outcome.filling.full))
            self._take(outcome)
        behind = workload.queue in self.placing.blocked_heads
        makes_way = self.preempting is not None and not behind and self.preempting.consider(outcomes)
        if self.reserving is not None and not makes_way:
            expected = self.reserving.consider(outcomes, self.queue)
            if explained:
                told = answer.explanations[workload.name]
                answer.explanations[workload.name] = replace(told, expected_start_s=told.expected_start_s or expected)
        if self.waits and any(outcome.blocked for outcome in outcomes):
            self.placing.blocked_heads.setdefault(workload.queue, workload.name)

    def _take(self, outcome: Outcome) -> None:
        """Take the room, and of the queue's allowance, what the outcome adds."""
        turn = outcome.turn
        self.allowance.take(turn, outcome.filling.placed)
        if not outcome.bound and outcome.grown.any():
            self.federation.take(turn.eligibility.shape, outcome.grown, turn.until)
