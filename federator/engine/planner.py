"""Decides where work should run: one snapshot in, one plan out.

No clock, no network, no randomness: the daemon, the simulator and ``federator plan`` all call ``plan``, so what was
simulated is what runs. Workloads are asked in the order of service; each takes its room at once, so the next one sees
the clusters as they will be. Room that a move or a withdrawal will free is given away only once it is free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array, total
from federator.engine.contest import Contests, is_whole
from federator.engine.explain import explanation
from federator.engine.fair_service import FairService
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.fillers import fill_holes, unfilled
from federator.engine.filling import UNWEIGHED
from federator.engine.gangs import InOneCluster, believed, by_heft
from federator.engine.giving_way import giving_way, waiting
from federator.engine.governing import Rule
from federator.engine.heads import heads_stay, plan_with_heads
from federator.engine.kinds import Kinds
from federator.engine.opening import Clocks
from federator.engine.order import FAIR, in_order
from federator.engine.outcome import Outcome
from federator.engine.outlook import Outlook, outlook
from federator.engine.plain import Entry, Found, Plain
from federator.engine.preempting import Preempting, may_preempt
from federator.engine.queue_shares import when_read, with_queues
from federator.engine.reserving import Reserving
from federator.engine.resting import Resting
from federator.engine.shortcuts import Shortcuts
from federator.engine.stay import settle
from federator.engine.tiers import Filling, fill, unweighed
from federator.engine.together import label_groups, place_together
from federator.engine.turn import Turn, nowhere
from federator.engine.verdicts import ReasonsNow
from federator.engine.wanted import Column, Placements
from federator.model.plan import Explanation, Move, Plan, Preemption, Refusal, Snapshot, shape_key
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Role, Workload

ROUNDS = 3
"""So often a plan is made anew because something gives way; what would have to after that is found by the next plan."""


def plan(snapshot: Snapshot, *, explain: Collection[str] = ()) -> Plan:
    """Give every replica of every workload a place, or a reason for every cluster.

    ``explain`` names workloads whose explanation the plan should carry; it changes nothing else. What is left idle goes
    to fillers, once all else is decided. Where something has to
    give way the plan is made anew with that on its way out, which is what the next snapshot will show.
    """
    if heads_stay(snapshot.planning):
        made = plan_with_heads(replace(snapshot, fillers=()), partial(plan, explain=explain))
        return replace(made, backfill=unfilled(snapshot, "heads that stay leave no holes to it"))
    preemptions: list[Preemption] = []
    for last in (False,) * ROUNDS + (True,):
        planner = _Planner(snapshot, frozenset(explain), preempts=not last)
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
    def __init__(self, snapshot: Snapshot, explain: frozenset[str], *, preempts: bool = True) -> None:
        self.snapshot = snapshot
        self.planning = snapshot.planning
        self.explain = explain
        self.federation = Federation(snapshot)
        self.began = self.federation.nodes.sums[0].copy()
        """What is free before anything is placed, by cluster and resource, on nodes that exist."""
        self.kinds = Kinds(self.federation)
        self.queue = in_order(snapshot)
        self.firsts = waiting(snapshot, self._at_once)
        self.clocks: Clocks = {(clock.policy, clock.tier, clock.shape): clock.since_s for clock in snapshot.clocks}
        self.blocked_heads: dict[str, str] = {}
        self.answer = _Answer()
        self.shortcuts = Shortcuts(self.federation)
        self.allowance = Allowance(snapshot, self.federation)
        self.resting = Resting(self.federation, self.kinds, self.allowance)
        self.fair = (
            FairService(snapshot, self.federation, self.allowance, self.queue) if self.planning.order == FAIR else None
        )
        self.contests = Contests(snapshot, self.federation, self.allowance, self._in_one_cluster)
        backfills = self.planning.backfilling != "none"
        self.reserving = (
            Reserving(snapshot, self.federation, self.clocks, self._place_then, self.firsts, self._claim)
            if backfills or self.firsts
            else None
        )
        self.preempts = preempts and may_preempt(snapshot)
        self.preempting: Preempting | None = None
        self.outlook: Outlook | None = None
        self.waits = self.planning.blocked_head == "wait" and not backfills
        """Whether what is behind a blocked head waits whatever it is; else reservations say who may pass it."""

    def plan(self) -> Plan:
        """1 bind what is on its way, 2 look ahead, 3 ask every workload in order, 4 sort the answers."""
        self._bind_what_is_on_its_way()
        if self.preempts:
            self.preempting = Preempting(
                self.snapshot, self.federation, self.allowance, self.clocks, self._place_then, self.queue, self.firsts
            )
        self.outlook = outlook(self.snapshot, self.federation, self.kinds, self.queue)
        if self.fair is not None:
            self.fair.run(self)
        else:
            self._serve_in_order()
        answer = self.answer
        queues, cohorts = when_read(self.snapshot)
        return Plan(
            placements=Placements(answer.placements),
            refusals=tuple(sorted(answer.refusals, key=lambda r: (r.workload, r.role))),
            moves=tuple(sorted(answer.moves, key=lambda m: (m.workload, m.role, m.source, m.target))),
            reservations=tuple(sorted(self.reserving.made, key=lambda r: (r.workload, r.cluster)))
            if self.reserving is not None
            else (),
            full_tiers=frozenset(answer.full_tiers),
            explanations=with_queues(answer.explanations, self.queue, queues, turns=self.fair is not None),
            queues=queues,
            cohorts=cohorts,
        )

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
        if self.waits or self.reserving is not None or self.outlook is not None:
            stretches: Iterable[tuple[Sequence[Workload], Sequence[Entry]]] = [(queue, ())]
        else:
            found = Found(self.answer.placements, self.answer.refusals, self.answer.full_tiers)
            grace_s = self.planning.outage_grace_s
            ask = self.serve if self.preempting is not None else None
            plain = Plain(self.federation, self.kinds, self.allowance, self.clocks, grace_s, self.explain, found, ask)
            stretches = plain.stretches(one for one in queue if not self._rests_anyway(one))
        for workloads, entries in stretches:
            if entries:
                plain.serve(entries)
            else:
                for workload in self.contests.in_turn(workloads, self.blocked_heads):
                    first = begun.get(workload.name)
                    if first is None:
                        self.serve(workload)
                    else:
                        self.portion(workload, first, self.wanted(workload) - first.filling.total)

    def serve(self, workload: Workload) -> None:
        """Place all of a workload that finds a place, and record the answer."""
        if self._rests(workload):
            return
        outcomes = self._place(workload)
        if outcomes:  # else it was refused like one before it
            self._record(workload, outcomes)
        if self.outlook is not None:
            self.outlook.draw(workload.name)

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
        if rest.last > 0 and workload.queue in self.blocked_heads:
            return False
        full = self.resting.full(workload, rest)
        if full is None:
            outcome = self._place_alone(self._turn(workload, workload.roles[0], rest.rule))
            full = tuple(outcome.filling.full)
            self.resting.remember(workload, rest, full)
        self.answer.placements.append(rest.column)
        for place in full:
            policy = rest.rule.policy
            self.answer.full_tiers.add((policy.name, policy.tiers[place].name, shape_key(workload)))
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
        turn = self._turn(workload, workload.roles[0], self.federation.governing.rule(workload))
        held = total(turn.held)
        if held >= turn.wanted:
            self._record(workload, self._place_or_repeat(turn))
            return None
        turn.admit(held)
        drained = np.where(self.federation.draining & ~self.federation.silent, turn.held, 0)
        outcome = Outcome(turn, self._fill(turn, turn.held - drained, False))
        self._take(outcome)
        return outcome

    def portion(self, workload: Workload, begun: Outcome | None, replicas: int) -> Outcome | None:
        """Place so many more; None where that was the last of it, or not all found a place: it is recorded."""
        rule = self.federation.governing.rule(workload)
        turn = self._turn(workload, workload.roles[0], rule, held=begun.filling.placed if begun else None)
        asked = total(turn.held) + replicas
        turn.admit(asked)
        if workload.queue in self.blocked_heads:
            outcomes = [self._wait_behind(turn)]
        elif begun is None:
            outcomes = self._place_or_repeat(turn)
        else:
            outcomes = [Outcome(turn, self._fill(turn, turn.held, False))]
        if outcomes and asked < turn.wanted and outcomes[0].filling.total == asked:
            self._take(outcomes[0])
            if self.outlook is not None:
                self.outlook.draw(workload.name, replicas)
            return outcomes[0]
        if outcomes:
            self._record(workload, outcomes)
        if self.outlook is not None:
            self.outlook.draw(workload.name)
        return None

    def _bind_what_is_on_its_way(self) -> None:
        """Kind by kind, in the order in which the kinds first stand in the queue."""
        federation = self.federation
        unbound: dict[tuple[int, int], tuple[Eligibility, Array]] = {}
        concerned = {
            holding.workload for holding in self.snapshot.holdings if holding.unbound or holding.leaving_unbound
        }
        for workload in self.queue if concerned else ():
            if workload.name not in concerned:
                continue
            for role in workload.roles:
                holdings = [h for h in federation.holdings(workload.name, role.name) if h.unbound or h.leaving_unbound]
                if not holdings:
                    continue
                eligibility = federation.feasibility.of(workload, role, federation.governing.rule(workload), ())
                for holding in holdings:
                    for until, replicas in federation.on_its_way(workload, holding):
                        key = id(eligibility), until
                        if key not in unbound:
                            unbound[key] = eligibility, np.zeros(len(federation.names), dtype=np.int64)
                        unbound[key][1][federation.index[holding.cluster]] += replicas
        for (_, until), (eligibility, counts) in unbound.items():
            if counts.any():
                federation.hold_unbound(eligibility, counts, until)

    def _place(self, workload: Workload) -> list[Outcome]:
        """The outcome for every role of a workload."""
        rule = self.federation.governing.rule(workload)
        turns = [self._turn(workload, role, rule) for role in workload.roles]
        if workload.queue in self.blocked_heads:
            return [self._wait_behind(turn) for turn in turns]
        if workload.gang is None and len(turns) == 1:
            return self._place_or_repeat(turns[0])
        turns = by_heft(self.federation, [turn.look_everywhere() for turn in turns])
        refused = self.allowance.refuses(turns)
        if refused is not None:
            return [Outcome(turn, self._absent(turn), refused, bound=True) for turn in turns]
        self.allowance.keep_out(turns)
        if is_whole(workload):
            return self._place_in_one_cluster(self._search(turns, self.contests.hints.get(workload.name)))
        return self._place_gang(turns, workload.gang.label if workload.gang and workload.gang.scope == "label" else "")

    def _place_or_repeat(self, turn: Turn) -> list[Outcome]:
        """The outcome of the only role; none where its refusal is that of one before it, and is recorded already."""
        if turn.workload.name not in self.explain:
            alike = not self.waits and (self.reserving is None or not self.reserving.asks)
            refusal = self.shortcuts.refusal(turn) if alike else None
            if refusal is not None:
                self.answer.refusals.append(refusal)
                return []
        return [self._place_alone(turn)]

    def _turn(
        self, workload: Workload, role: Role, rule: Rule, spent: Array | None = None, held: Array | None = None
    ) -> Turn:
        """The turn of a role after so many replicas of its workload's other roles on each cluster (``spent``).

        ``held`` replaces what the clusters hold of it, where a part of it has been placed already.
        """
        federation = self.federation
        eligibility = federation.feasibility.of(workload, role, rule, federation.excluded(workload.name))
        replaced = rule.policy.replicas if len(workload.roles) == 1 else None
        wanted = role.replicas if replaced is None else replaced
        held = federation.held(workload.name, role.name) if held is None else held
        kind, aims = self.kinds.of(workload, rule, eligibility), None
        if self.outlook is not None and kind.by_foresight:
            aims = self.outlook.aim(federation, workload.name, rule.maxima, held, wanted - total(held))
        turn = Turn(
            federation=federation,
            workload=workload,
            role=role,
            rule=rule,
            wanted=wanted,
            eligibility=eligibility,
            kind=kind,
            held=held,
            minima=rule.minima if spent is None else np.maximum(rule.minima - spent, 0),
            maxima=rule.maxima if spent is None else np.maximum(rule.maxima - spent, 0),
            aims=aims,
        )
        self.allowance.admit(turn)
        return turn

    def _fill(self, turn: Turn, firm: Array, afresh: bool) -> Filling:
        clocks, grace_s = self.clocks, self.planning.outage_grace_s
        return self.allowance.within(turn, lambda: fill(self.federation, turn, firm, afresh, clocks, grace_s))

    def _settle(self, turn: Turn) -> Filling:
        return settle(self.federation, turn, lambda firm, afresh: self._fill(turn, firm, afresh))

    def _place_alone(self, turn: Turn) -> Outcome:
        """Replicas that start one by one; but a workload that holds nothing starts with its minReplicas at least."""
        filling = self._settle(turn)
        needed, found = min(turn.workload.min_replicas, turn.wanted), filling.total
        if found >= needed or turn.holds:
            return Outcome(turn, filling)
        filling.placed[:] = 0
        below = Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": needed, "room": found})
        return Outcome(turn, filling, turn.held_back if turn.admitted < needed else below)

    def _wait_behind(self, turn: Turn) -> Outcome:
        """What it holds stays, nothing new starts, because the head of its queue waits."""
        closed = replace(turn)
        closed.keep_to(nowhere(self.federation))
        filling = replace(self._fill(closed, turn.held, False), full=())
        filling.weights[:] = UNWEIGHED
        queue = turn.workload.queue
        head = {"head": self.blocked_heads[queue], "queue": queue}
        return Outcome(turn, filling, Verdict(Reason.BEHIND_BLOCKED_HEAD, head))

    def _in_one_cluster(self, workload: Workload, hint: int | None) -> InOneCluster | None:
        """The search for the one cluster of a whole workload as things stand now; None where it may not start."""
        rule = self.federation.governing.rule(workload)
        turns = [self._turn(workload, role, rule).look_everywhere() for role in workload.roles]
        if self.allowance.refuses(turns) is not None:
            return None
        self.allowance.keep_out(turns)
        return self._search(by_heft(self.federation, turns), hint)

    def _search(self, turns: list[Turn], hint: int | None) -> InOneCluster:
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
                federation,
                self.allowance,
                roles,
                lambda role, spent: self._turn(workload, role, rule, spent),
                self._settle,
                only,
            )
            if fillings is not None:
                break
        fits = sum(np.minimum(turn.wanted, turn.held + turn.room.more + turn.room.extra) for turn in turns)
        verdict = Verdict(Reason.GANG_DOES_NOT_FIT, {"needed": sum(turn.wanted for turn in turns)})
        absent = [self._absent(turn) for turn in turns]
        return [
            Outcome(turn, filling, verdict, fits, bound=True)
            for turn, filling in zip(turns, fillings or absent, strict=True)
        ]

    def _absent(self, turn: Turn) -> Filling:
        """No replica of a gang; but what a silent cluster holds is believed to run there."""
        held = believed(turn.held * self.federation.silent, turn.wanted)
        return unweighed(held)

    def _place_then(
        self, workload: Workload, federation: Federation, clocks: Clocks, begun: Array | None, ended: Array | None
    ) -> Sequence[Outcome]:
        """What would be done with a workload in the federation as it will be (see ``searching.Place``); nothing of it
        is recorded."""
        then = copy(self)
        then.federation, then.clocks, then.reserving, then.outlook = federation, clocks, None, None
        then.explain, then.blocked_heads = frozenset((workload.name,)), {}
        if begun is None or ended is None:
            return then._place(workload)
        turn = then._turn(workload, workload.roles[0], federation.governing.rule(workload), held=begun - ended)
        turn.wanted -= total(ended)
        turn.admit(turn.wanted)
        return [Outcome(turn, then._fill(turn, turn.held, False))]

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
            for place in outcome.filling.full:
                answer.full_tiers.add((policy.name, turn.rule.tiers[place].name, shape_key(workload)))
            self._take(outcome)
        behind = workload.queue in self.blocked_heads
        makes_way = self.preempting is not None and not behind and self.preempting.consider(outcomes)
        if self.reserving is not None and not makes_way:
            expected = self.reserving.consider(outcomes, self.queue)
            if explained:
                told = answer.explanations[workload.name]
                answer.explanations[workload.name] = replace(told, expected_start_s=told.expected_start_s or expected)
        if self.waits and any(outcome.blocked for outcome in outcomes):
            self.blocked_heads.setdefault(workload.queue, workload.name)

    def _take(self, outcome: Outcome) -> None:
        """Take the room, and of the queue's allowance, what the outcome adds."""
        turn = outcome.turn
        self.allowance.take(turn, outcome.filling.placed)
        if not outcome.bound and outcome.grown.any():
            self.federation.take(turn.eligibility.shape, outcome.grown, turn.until)
