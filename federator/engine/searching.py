"""When a workload that waits could start: the planner is asked what it would do with it at later moments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from federator.engine.arrays import Array, total
from federator.engine.ends import NEVER, milliseconds
from federator.engine.federation import Federation
from federator.engine.future import Future
from federator.engine.opening import Clocks
from federator.engine.outcome import Outcome
from federator.engine.promises import Promises
from federator.engine.shapes import Shape
from federator.model.plan import shape_key
from federator.model.workload import Workload

_TRIED = 32
"""Beside other reservations, so many moments before the one found by halving are tried one by one."""

Place = Callable[[Workload, Federation, Clocks, Array | None, Array | None], Sequence[Outcome]]
"""What the planner would do with a workload in such a federation, with such clocks of the tiers. Where some of it has a
place already: how many replicas on each cluster, and how many of those have ended by then."""

Found = tuple[int, Sequence[Outcome]]
"""A moment, and what the planner would do then."""


class Search:
    """The search for the earliest start of one workload, or, if some of it has a place, of one more replica."""

    def __init__(
        self,
        promises: Promises,
        federation: Federation,
        future: Future,
        outcomes: Sequence[Outcome],
        clocks: Clocks,
        place: Place,
    ) -> None:
        """``outcomes`` are what the planner did with it now."""
        self._promises, self._federation, self._place = promises, federation, place
        self.future = future
        """The nodes as they will be; once the moment is found, with no more gone by then than it takes."""
        self._workload = outcomes[0].turn.workload
        self._begun = outcomes[0].filling.placed if any(one.filling.total for one in outcomes) else None
        self._least = least(outcomes, begun=self._begun is not None)
        self._clocks = _running(clocks, outcomes, federation)
        openings = [1 + milliseconds(at_s - federation.at_s) for at_s in self._openings(outcomes)]
        moments = {*future.ends.tolist(), *openings, *(t for one in promises.reserved for t in (one.at, one.until))}
        self._moments = sorted(moment for moment in moments if 0 < moment < NEVER)

    def _openings(self, outcomes: Sequence[Outcome]) -> Iterable[float]:
        """When tiers may open, as far as they wait for a clock."""
        tiers = outcomes[0].turn.rule.tiers
        return [since_s + tier.open_after_s for since_s in self._clocks.values() for tier in tiers if tier.open_after_s]

    def earliest(self) -> Found | None:
        """The moment, and what the planner does then; None where it never starts.

        Room only grows with time where nothing is reserved, so the moments are halved. Beside reservations that finds
        one moment, and those before it are tried from the earliest on at which it could start alone.

        Running jobs are counted as gone one by one, the first to end first, until there is room, as in A. Mu'alem and
        D. Feitelson, "Utilization, Predictability, Workloads, and User Runtime Estimates in Scheduling the IBM SP2 with
        Backfilling" (2001): others that are expected to end at that very moment are not counted on. Beside other
        reservations, which count on some of them, all are.
        """
        found = self._earliest()
        return found if found is None or self._promises.reserved else self._counting_few(*found)

    def _earliest(self) -> Found | None:
        found = self._halve(self._promises)
        if not self._promises.reserved or found is None:
            return found
        alone = self._halve(Promises(self._promises.ends, self._promises.habits))
        first = self._moments.index(alone[0]) if alone is not None else 0
        for moment in self._moments[first : self._moments.index(found[0])][:_TRIED]:
            then = self.starts(moment, self._promises)
            if then is not None:
                return moment, then
        return found

    def _counting_few(self, at: int, then: Sequence[Outcome]) -> Found:
        """The same moment, with as few gone at it as it takes."""
        whole = few = self.future
        steps = whole.steps(at)
        low, high = -1, len(steps) - 1
        while high - low > 1:
            middle = (low + high) // 2
            self.future = whole.counting(at, steps[middle])
            sooner = self.starts(at)
            if sooner is None:
                low = middle
            else:
                high, then, few = middle, sooner, self.future
        self.future = few
        return at, then

    def _halve(self, promises: Promises) -> Found | None:
        low, high = -1, len(self._moments) - 1
        then = self.starts(self._moments[-1], promises) if self._moments else None
        if then is None:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            sooner = self.starts(self._moments[middle], promises)
            if sooner is None:
                low = middle
            else:
                high, then = middle, sooner
        return self._moments[high], then

    def starts(self, moment: int, beside: Promises | None = None) -> Sequence[Outcome] | None:
        """What the planner does at a moment, beside these promises (or all there are); None if it does not start."""
        promises = self._promises if beside is None else beside
        nodes, to_come = promises.at(moment, self.future)
        federation = self._federation.later(moment, nodes, self.limits(moment), to_come)
        ended = self._ended(moment)
        outcomes = self._place(self._workload, federation, self._clocks, self._begun, ended)
        placed = sum(one.filling.total for one in outcomes)
        before = total(self._begun - ended) if self._begun is not None and ended is not None else 0
        return outcomes if placed - before >= self._least else None

    def _ended(self, moment: int) -> Array | None:
        """How many of its own replicas on each cluster have ended by then."""
        if self._begun is None:
            return None
        federation, ends, role = self._federation, self._promises.ends, self._workload.roles[0]
        ended = np.zeros_like(self._begun)
        staying = (
            replace(one, leaving=0, leaving_unbound=0) for one in federation.holdings(self._workload.name, role.name)
        )
        held = tuple(staying)
        for line in ends.bound(self._workload, held, federation.index).tolist():
            ended[line[0]] += line[2] * (line[1] <= moment)
        for one in held:
            on_its_way = ends.unbound(self._workload, one)
            ended[federation.index[one.cluster]] += sum(n for end, n in on_its_way if end <= moment)
        if ends.lasts(self._workload) <= moment:
            ended += np.maximum(0, self._begun - federation.held(self._workload.name, role.name))
        return np.minimum(ended, self._begun)

    def limits(self, moment: int) -> Array | None:
        """What the quotas of the clusters leave then."""
        if self._federation.limits is None:
            return None
        limits = self._federation.limits + self.future.freed(moment)
        for one in self._promises.reserved:
            if one.at <= moment < one.until:
                spend(limits, one.parts)
        return limits

    def needed(self, outcomes: Sequence[Outcome], most: int | None = None) -> tuple[tuple[Shape, Array], ...]:
        """Of what the planner would do then, what must start at once (or so many): in the first tiers, then by name."""
        parts, left = list[tuple[Shape, Array]](), self._least if most is None else most
        for outcome in outcomes:
            tier = outcome.turn.rule.tier
            order = np.argsort(np.where(tier < 0, len(tier), tier), kind="stable")
            placed = outcome.grown[order]
            kept = np.zeros_like(placed)
            kept[order] = np.clip(left - (np.cumsum(placed) - placed), 0, placed)
            left -= total(kept)
            parts.append((outcome.turn.eligibility.shape, kept))
        return tuple(parts)


def least(outcomes: Sequence[Outcome], *, begun: bool) -> int:
    """How many replicas must start at once: all of what starts together, else what the workload says, or one more."""
    workload, wanted = outcomes[0].turn.workload, sum(one.turn.wanted for one in outcomes)
    if workload.gang is not None or len(outcomes) > 1:
        return wanted
    return 1 if begun else max(1, min(workload.min_replicas, wanted))


def spend(limits: Array, parts: Iterable[tuple[Shape, Array]]) -> None:
    """Take what these replicas ask for from what quotas leave."""
    for shape, replicas in parts:
        for name, asked in shape.asked.tolist():
            limits[name] -= asked * replicas


def _running(clocks: Clocks, outcomes: Sequence[Outcome], federation: Federation) -> Clocks:
    """The clocks of the workload's tiers; one that does not run yet begins now."""
    policy, shape = outcomes[0].turn.rule.policy, shape_key(outcomes[0].turn.workload)
    keys = [(policy.name, tier.name, shape) for tier in policy.tiers]
    return {key: clocks.get(key, federation.at_s) for key in keys}
