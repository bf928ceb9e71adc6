"""Finds what has to give way to a workload that finds no room, where its policy lets it.

There is no second way of placing: the planner itself is asked what it would do with the workload once some of what runs
is gone. Backfill goes first, then what queues have borrowed that this one has a claim to (see ``victims``), then what
is less urgent; of equals that which loses least work. From all that might go, taken in this order, the first that are
enough are found by halving, and then, from the last on, all that need not go after all is given back.

What is found is not done here: the plan is made anew with it on its way out (``giving_way``), as the next one will be.
Until this one is at its end it goes on as if that had happened already, so that the next to ask sees what is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.ends import LEAVES
from federator.engine.federation import Federation
from federator.engine.future import Future
from federator.engine.occupancy import AMOUNTS
from federator.engine.opening import Clocks
from federator.engine.order import FAIR
from federator.engine.outcome import Outcome
from federator.engine.pieces import Pieces, Unit, gone
from federator.engine.quotas import Quotas
from federator.engine.searching import Place
from federator.engine.victims import Candidate, Cause, Rule, Taker, victims
from federator.model.plan import Preemption, Snapshot
from federator.model.reasons import Reason
from federator.model.resources import Resources
from federator.model.workload import Workload

NEVER, LOWER_PRIORITY = "never", "lowerPriority"
"""Values of a policy's ``preempt``."""
_TRIALS = 400
"""So often the planner is asked for one plan; what is left unanswered is asked by the next."""

Chosen = dict[Unit, int]
"""What gives way, and how many steps of each."""
Part = tuple[Unit, int, Cause]
"""What may give way, how many steps of it, and why."""


class Preempting:
    """The search of one plan. To be made before any room is taken, but after what is on its way has its own."""

    def __init__(
        self,
        snapshot: Snapshot,
        federation: Federation,
        allowance: Allowance,
        clocks: Clocks,
        place: Place,
        workloads: Sequence[Workload],
        firsts: Collection[str],
        in_vain: Collection[str],
    ) -> None:
        """``firsts`` wait for room that others have given up for them; to those ``in_vain`` it would be of no use."""
        self._in_vain = in_vain
        self._federation, self._allowance = federation, allowance
        self._clocks, self._place = clocks, place
        self._fair = snapshot.planning.order == FAIR
        self._priorities = {queue.name: queue.priority for queue in snapshot.queues}
        self._spared = _spared(snapshot, firsts)
        self._running = _alike(snapshot, federation, workloads)
        self._pieces = Pieces(snapshot, federation, workloads)
        self._ran = allowance.quotas.copy()
        """What all use that run already, and those for which others give way; not what this plan lets start."""
        self._used: Chosen = {}
        """What gives way so far; the nodes are as if it had gone."""
        self._left_already = not any(holding.leaving for holding in snapshot.holdings)
        self._trials = 0
        self.found: list[Preemption] = []

    def consider(self, outcomes: Sequence[Outcome]) -> bool:
        """Find what gives way to a workload with these outcomes, whose room is taken; if anything does, see to it that
        the next one finds the federation as it will be then."""
        turn = outcomes[0].turn
        workload, allows = turn.workload, turn.rule.policy.preempt
        if allows == NEVER or workload.backfill or workload.name in self._in_vain:
            return False
        if not any(one.blocked for one in outcomes):
            return False
        may_go = self._may_go(workload, allows)
        if not may_go:
            return False
        trial = _Trial(self, outcomes)
        before = trial.placed({})
        if before >= trial.wanted:  # what is leaving already is enough
            return False
        units = list(self._in_order(trial, may_go))
        chosen = trial.least(units, before)
        if chosen:
            self._carry_out(trial, chosen, {unit: cause for unit, _, cause in units})
        return bool(chosen)

    def _may_go(self, workload: Workload, allows: str) -> Mapping[Cause, list[Workload]]:
        """The workloads of which replicas might have to give way to this one, by why."""
        found: dict[Cause, list[Workload]] = {}
        for alike in self._running:
            cause = self._why(workload, allows, alike[0])
            if cause is not None:
                pairs = ((one, (one.name, workload.name)) for one in alike if one.name != workload.name)
                found.setdefault(cause, []).extend(one for one, pair in pairs if pair not in self._spared)
        return {cause: these for cause, these in found.items() if these}

    def _why(self, workload: Workload, allows: str, one: Workload) -> Cause | None:
        if one.backfill:
            return Cause.BACKFILL
        if one.queue != workload.queue and self._allowance.related(workload.queue, one.queue):
            return Cause.RECLAIM if self._borrows(one.queue) else None
        if allows != LOWER_PRIORITY:
            return None
        if one.queue == workload.queue:
            return Cause.LOWER_PRIORITY if one.priority < workload.priority else None
        if self._fair or self._allowance.governed(one.queue):
            return None  # by turns, or within its quota: other queues' priority does not touch it
        mine, theirs = ((self._priorities.get(w.queue, 0), w.priority) for w in (workload, one))
        return Cause.LOWER_PRIORITY if theirs < mine else None

    def _borrows(self, queue: str) -> bool:
        """Whether a queue uses more than its claim of anything."""
        node = self._ran.forest.queues[queue]
        return any(ledger.borrows(node) > 0 for ledger in self._ran.ledgers.values())

    def _in_order(self, trial: _Trial, may_go: Mapping[Cause, list[Workload]]) -> Iterable[Part]:
        """What may go, in the order in which it should."""
        backfill = self._units(trial, may_go.get(Cause.BACKFILL, ()))
        for unit in backfill:
            yield unit, self.left(unit), Cause.BACKFILL
        if Cause.RECLAIM in may_go:
            yield from self._claimed(trial, backfill, self._units(trial, may_go[Cause.RECLAIM]))
        for unit in self._units(trial, may_go.get(Cause.LOWER_PRIORITY, ())):
            yield unit, self.left(unit), Cause.LOWER_PRIORITY

    def _units(self, trial: _Trial, workloads: Iterable[Workload]) -> list[Unit]:
        """What of these may go and is of use: the least urgent first, then by work lost, the youngest, and name."""
        priorities = self._priorities
        found = [
            unit
            for workload in workloads
            for unit in self._pieces.units(workload)
            if unit.ran_s >= self._federation.governing.rule(workload).policy.stay.min_run_s
            and self.left(unit)
            and trial.helps(unit)
        ]
        return sorted(
            found,
            key=lambda unit: (
                priorities.get(unit.workload.queue, 0),
                unit.workload.priority,
                unit.lost_s,
                unit.ran_s,
                unit.workload.name,
                unit.pieces[0].cluster,
            ),
        )

    def left(self, unit: Unit) -> int:
        """How many steps of it have not given way yet."""
        return unit.steps - self._used.get(unit, 0)

    def _claimed(self, trial: _Trial, backfill: Sequence[Unit], units: Sequence[Unit]) -> list[Part]:
        """What borrowers give up for as many replicas as the rules of shares let in, once all backfill is gone."""
        before = {unit: self.left(unit) for unit in backfill}
        if trial.whole:
            return self._given_up(trial, before, units, trial.wanted) or []
        best: list[Part] = []
        low, high = trial.placed(before), trial.wanted
        while low < high:
            middle = (low + high + 1) // 2
            found = self._given_up(trial, before, units, middle)
            if found is None:
                high = middle - 1
            else:
                low, best = middle, found
        return best

    def _given_up(self, trial: _Trial, before: Chosen, units: Sequence[Unit], placed: int) -> list[Part] | None:
        """What borrowers give up so that so many replicas have a place; None if the rules do not let them in."""
        amounts = trial.amounts(placed)
        owners: dict[str, Unit] = {}
        candidates = []
        for number, unit in enumerate(units):
            workload, each = unit.workload, unit.amounts(1)
            for step in range(min(self.left(unit), _needed(amounts, each))):
                name = f"{workload.name}\n{number:06d}\n{step:06d}"
                owners[name] = unit
                candidates.append(
                    Candidate(name, workload.queue, each, workload.priority, unit.ran_s, lost_s=unit.lost_s)
                )

        def fits(these: tuple[Candidate, ...]) -> bool:
            return trial.placed(before | Counter(owners[one.name] for one in these)) >= placed

        rules = (Rule.FINAL, Rule.INITIAL) if self._fair else (Rule.RIGHT,)
        taker = Taker(trial.workload.name, trial.workload.queue, amounts, trial.workload.priority)
        found = victims(self._quotas(trial.workload.queue, before), taker, candidates, rules, fits)
        if found is None:
            return None
        causes = {owners[victim.candidate.name]: victim.cause for victim in found}
        counts = Counter(owners[victim.candidate.name] for victim in found)
        return [(unit, steps, causes[unit]) for unit, steps in counts.items()]

    def _quotas(self, queue: str, before: Chosen) -> Quotas:
        """What is used once these are gone: by what runs, and of the queue itself by what has just been let start."""
        now, quotas = self._allowance.quotas, self._ran.copy()
        for resource in now.ledgers:
            quotas.take(queue, {resource: now.used(queue, resource) - quotas.used(queue, resource)})
        for unit, steps in before.items():
            quotas.give_back(unit.workload.queue, unit.amounts(steps))
        return quotas

    def _carry_out(self, trial: _Trial, chosen: Chosen, causes: Mapping[Unit, Cause]) -> None:
        """Note it, and go on as if it had happened."""
        federation, gains = self._federation, trial.placed(chosen)
        for unit, steps in chosen.items():
            for piece, count in unit.parts(steps):
                self.found.append(
                    Preemption(
                        unit.workload.name,
                        piece.role.name,
                        federation.names[piece.cluster],
                        count,
                        trial.workload.name,
                        str(causes[unit]),
                        gains,
                    )
                )
            if self._allowance.counts:
                self._ran.give_back(unit.workload.queue, unit.amounts(steps))
        gone(self._allowance, federation, chosen, 1)
        then, outcomes = trial.then(chosen)
        federation.nodes, federation.limits = then.nodes, then.limits
        federation.changes += 1
        self._left_already = True
        for unit, steps in chosen.items():
            self._used[unit] = self._used.get(unit, 0) + steps
        for one in outcomes:
            self._allowance.take(one.turn, one.filling.placed)
            self._ran.take(one.turn.workload.queue, one.turn.role.requests * int(one.grown.sum()))
            if not one.bound:
                federation.take(one.turn.eligibility.shape, one.grown, one.turn.until)

    def ask(self, outcomes: Sequence[Outcome], chosen: Mapping[Unit, int]) -> tuple[Federation, Sequence[Outcome]]:
        """The federation once these are gone, and what is leaving already; and what the planner would do in it."""
        self._trials += 1
        federation, workload = self._federation, outcomes[0].turn.workload
        freed = [entries for unit, steps in chosen.items() for entries in self._freed(unit, steps)]
        coming = self._pieces.leaving[: 0 if self._left_already else None]
        future = Future(federation.nodes, np.concatenate([coming, *freed]))
        promises = federation.promises
        nodes, to_come = promises.at(LEAVES, future) if promises is not None else (future.nodes(LEAVES), None)
        limits = None if federation.limits is None else federation.limits + future.freed(LEAVES)
        then = federation.later(LEAVES, nodes, limits, to_come)
        begun = outcomes[0].filling.placed if any(one.filling.total for one in outcomes) else None
        ended = None if begun is None else np.zeros_like(begun)
        return then, self._place(workload, then, self._clocks, begun, ended)

    def _freed(self, unit: Unit, steps: int) -> Iterator[Array]:
        """What these steps of a unit free, beyond what has given way of it before."""
        resources, before = len(self._federation.nodes.resources), self._used.get(unit, 0)
        for piece, count in unit.parts(before + steps):
            yield piece.freed(count, resources)
        for piece, count in unit.parts(before) if before else ():
            entries = piece.freed(count, resources)
            entries[:, AMOUNTS:] *= -1
            yield entries

    def may_ask(self) -> bool:
        """Whether there is time for more."""
        return self._trials < _TRIALS

    def without(self, chosen: Mapping[Unit, int], then: Callable[[], int]) -> int:
        """What is found while the quotas are as if these had gone."""
        gone(self._allowance, self._federation, chosen, 1)
        found = then()
        gone(self._allowance, self._federation, chosen, -1)
        return found


class _Trial:
    """The search for one workload: how many of its replicas would have a place if this and that gave way."""

    def __init__(self, owner: Preempting, outcomes: Sequence[Outcome]) -> None:
        self._owner, self._outcomes = owner, outcomes
        turns = [one.turn for one in outcomes]
        self.workload = turns[0].workload
        self.wanted = sum(turn.wanted for turn in turns)
        self.whole = self.workload.gang is not None or len(turns) > 1
        self._placed = sum(one.filling.total for one in outcomes)
        self._known: dict[tuple[tuple[int, int], ...], int] = {}
        working = turns[0].federation.working
        self._useful = np.any([turn.eligibility.suits & working & (turn.maxima > 0) for turn in turns], axis=0)
        verdicts = (verdict for one in outcomes for verdict in (one.whole, one.turn.held_back) if verdict is not None)
        self._by_quota = any(verdict.reason is Reason.OVER_QUOTA for verdict in verdicts)

    def helps(self, unit: Unit) -> bool:
        """Whether the workload could be where it is, or needs its quota wherever that is."""
        return self._by_quota or any(self._useful[piece.cluster] for piece in unit.pieces)

    def amounts(self, placed: int) -> Resources:
        """What it asks for beyond what it has if so many of its replicas have a place."""
        if self.whole:
            turns = [one.turn for one in self._outcomes]
            return sum((t.role.requests * max(0, t.wanted - int(t.held.sum())) for t in turns), Resources())
        return self._outcomes[0].turn.role.requests * (placed - self._placed)

    def placed(self, chosen: Mapping[Unit, int]) -> int:
        """How many of its replicas have a place then."""
        key = tuple(sorted((id(unit), steps) for unit, steps in chosen.items() if steps))
        if key not in self._known:
            if not self._owner.may_ask():
                return self._placed
            self._known[key] = self._owner.without(
                chosen, lambda: sum(one.filling.total for one in self._owner.ask(self._outcomes, chosen)[1])
            )
        return self._known[key]

    def then(self, chosen: Mapping[Unit, int]) -> tuple[Federation, Sequence[Outcome]]:
        """The federation then, and what the planner would do."""
        return self._owner.ask(self._outcomes, chosen)

    def least(self, parts: Sequence[Part], before: int) -> Chosen:
        """The first of the parts that give it as much as all of them do; nothing where they give it nothing."""
        left = [(unit, steps) for unit, steps, _ in parts]
        target = self.placed(dict(left))
        if target <= before:
            return {}
        low, high = 0, len(left)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.placed(dict(left[:middle])) >= target else (middle, high)
        return self._spared(dict(left[:high]), target)

    def _spared(self, chosen: Chosen, target: int) -> Chosen:
        """From the last on, what need not go after all stays: many at once where that may be, else some of one."""
        spans = [list(chosen)]
        while spans:
            span = spans.pop()
            rest = {unit: steps for unit, steps in chosen.items() if unit not in span}
            if self.placed(rest) >= target:
                chosen = rest
            elif len(span) > 1:
                spans += [span[: len(span) // 2], span[len(span) // 2 :]]
            else:
                chosen = {**chosen, span[0]: self._fewest(chosen, span[0], target)}
        return chosen

    def _fewest(self, chosen: Chosen, unit: Unit, target: int) -> int:
        low, high = 0, chosen[unit]
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.placed({**chosen, unit: middle}) >= target else (middle, high)
        return high


def may_preempt(snapshot: Snapshot) -> bool:
    """Whether anything might have to give way at all: in most federations nothing runs that could."""
    return bool(snapshot.holdings) and (
        any(workload.backfill for workload in snapshot.workloads)
        or any(policy.preempt == LOWER_PRIORITY for policy in snapshot.policies)
        or any(queue.quota is not None for queue in snapshot.queues)
        or any(cohort.quota is not None for cohort in snapshot.cohorts)
    )


def _spared(snapshot: Snapshot, firsts: Collection[str]) -> set[tuple[str, str]]:
    """Pairs (victim, taker) of which the one need not give way to the other.

    Who displaced somebody does not give way to him in his turn. And who has given way, and is gone, does not again
    while the other still waits for what that was to give him: clusters do not tell on which nodes replicas run, so the
    hole that was left may be in pieces, and so may be the next.
    """
    on_the_way_out = {holding.workload for holding in snapshot.holdings if holding.leaving}
    found = {(one.workload, one.victim) for one in snapshot.displacements}
    in_vain = (one for one in snapshot.displacements if one.gains and one.workload in firsts)
    return found | {(one.victim, one.workload) for one in in_vain if one.victim not in on_the_way_out}


def _alike(snapshot: Snapshot, federation: Federation, workloads: Sequence[Workload]) -> list[list[Workload]]:
    """What runs, in groups of those that may have to give way for the same reason."""
    running = {holding.workload for holding in snapshot.holdings if holding.cluster in federation.index}
    found: dict[tuple[str, int, bool], list[Workload]] = {}
    for one in workloads:
        if one.name in running:
            found.setdefault((one.queue, one.priority, one.backfill), []).append(one)
    return list(found.values())


def _needed(wanted: Resources, each: Resources) -> int:
    """How many of these would be enough by themselves."""
    return max((-(-amount // each[name]) for name, amount in wanted.items_ if each[name]), default=0)
