"""The order of service by shares, against a slow count from the definitions."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.engine.fair_order import FairOrder, Head
from federator.engine.quotas import Quotas
from federator.engine.shares import Shares
from federator.model.policy import Cohort, Queue, lately_per_unit
from tests.properties.lines import RESOURCES, Lines, Use, added, lines

pytestmark = pytest.mark.thorough

CAPACITY = {"cpu": 40, "gpu": 12}
EMPHASIS = 8
Scene = tuple[Lines, dict[str, dict[str, int]], dict[str, dict[str, int]], list[Head]]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Queues in trees, what they use and had lately (in the units of use), and their heads."""
    drawn = draw(lines() | lines(contended=True))
    some = st.fixed_dictionaries({"cpu": st.integers(0, 12), "gpu": st.integers(0, 4)})
    use = {queue.name: draw(some) for queue in drawn.queues}
    had = {queue.name: draw(some) for queue in drawn.queues}
    heads = [
        Head(queue.name, draw(some), draw(st.integers(0, 1)), draw(st.sampled_from([0.0, 1.0])), f"w-{queue.name}")
        for queue in drawn.queues
        if draw(st.integers(0, 4))
    ]
    return drawn, use, had, heads


class Slow:
    """The order of service, counted from the definitions."""

    def __init__(self, drawn: Lines, use: Use, had: Use) -> None:
        self.drawn, self.use, self.had = drawn, use, had
        named = {drawn.parent(one) for one in (*drawn.queues, *drawn.cohorts)} - {""}
        self.cohorts = {name: Cohort(name) for name in named} | {c.name: c for c in drawn.cohorts}

    def members(self, parent: str) -> list[Queue | Cohort]:
        inner = [c for c in self.cohorts.values() if c.parent == parent]
        return sorted(inner, key=lambda c: c.name) + sorted(
            (q for q in self.drawn.queues if q.cohort == parent), key=lambda q: q.name
        )

    def below(self, one: Queue | Cohort) -> list[str]:
        """The queues of a queue or cohort."""
        if isinstance(one, Queue):
            return [one.name]
        return [name for member in self.members(one.name) for name in self.below(member)]

    def reach(self, cohort: Cohort, resource: str) -> int:
        """The most that a cohort could ever use."""
        claim = self.drawn.claim(cohort, resource)
        if not cohort.parent:
            return claim
        most = claim - self.drawn.lent(cohort, resource) + self.reach(self.cohorts[cohort.parent], resource)
        limits = dict(cohort.borrowing_limit.items_) if cohort.borrowing_limit is not None else {}
        return min(most, claim + limits[resource]) if resource in limits else most

    def governed(self, one: Queue | Cohort, resource: str) -> bool:
        """Whether anybody in its tree has a quota of the resource."""
        while parent := self.drawn.parent(one):
            one = self.cohorts[parent]
        return self.drawn.governed(one, resource)

    def totals(self, parent: str) -> dict[str, int]:
        """What those below ``parent`` compete for."""
        found = dict(CAPACITY)
        if parent:
            cohort = self.cohorts[parent]
            found |= {r: self.reach(cohort, r) for r in RESOURCES if self.governed(cohort, r)}
        return {resource: amount for resource, amount in found.items() if amount}

    def part(self, one: Queue | Cohort, table: Use, totals: dict[str, int]) -> Fraction:
        """The largest part of any resource."""
        sums = {r: sum(table.get(name, {}).get(r, 0) for name in self.below(one)) for r in totals}
        return max((Fraction(sums[r], totals[r]) for r in totals), default=Fraction(0))

    def standing(self, one: Queue | Cohort, head: Head) -> tuple[bool, Fraction]:
        parent = self.drawn.parent(one)
        totals, rivals = self.totals(parent), self.members(parent)
        used = self.part(one, added(self.use, head.queue, head.amounts), totals)
        if not one.weight:
            return True, used
        weights = {rival.name: Fraction(rival.weight) for rival in rivals}
        all_had = sum((self.part(rival, self.had, totals) for rival in rivals), Fraction(0))
        due = all_had * weights[one.name] / sum(weights.values())
        step = max((Fraction(head.amounts[r], totals[r]) for r in totals), default=Fraction(0))
        most = max(due / 2, step)
        owed = EMPHASIS * (due - self.part(one, self.had, totals))
        return False, (used - max(-most, min(most, owed))) / one.weight

    def first(self, parent: str, heads: dict[str, Head]) -> tuple[Head, int] | None:
        """The head that is served first below ``parent``, and its queue's priority."""
        ranked = []
        for place, one in enumerate(self.members(parent)):
            if isinstance(one, Queue):
                best = (heads[one.name], one.priority) if one.name in heads else None
            else:
                best = self.first(one.name, heads)
            if best is not None:
                head, priority = best
                standing = self.standing(one, head)
                borrows = bool(parent) and self.borrows(one, head)
                rank = (-priority, borrows, standing, -head.priority, head.submitted_at_s, head.name, place)
                ranked.append((rank, best))
        return min(ranked)[1] if ranked else None

    def borrows(self, one: Queue | Cohort, head: Head) -> bool:
        """Whether it would use more than its claim of what the head asks for."""
        after = added(self.use, head.queue, head.amounts)
        return any(
            head.amounts[r] and self.governed(one, r) and self.drawn.used(one, r, after) > self.drawn.claim(one, r)
            for r in RESOURCES
        )


def order_of(quotas: Quotas, had: Use, heads: list[Head]) -> FairOrder:
    fine = {name: {r: n * lately_per_unit(r) for r, n in amounts.items()} for name, amounts in had.items()}
    return FairOrder(Shares(quotas, CAPACITY, fine), heads)


@given(scenes(), st.randoms(use_true_random=False))
def test_the_head_that_the_slow_count_says_is_served_each_time(scene: Scene, random: Random) -> None:
    drawn, use, had, heads = scene
    queues, cohorts, mixed = list(drawn.queues), list(drawn.cohorts), list(heads)
    for one in (queues, cohorts, mixed):
        random.shuffle(one)
    quotas = Quotas.of(queues, cohorts, use)
    order, waiting = order_of(quotas, had, mixed), {head.queue: head for head in heads}
    for _ in range(6):
        expected = Slow(drawn, use, had).first("", waiting)
        head = order.first()
        assert head == (expected[0] if expected else None)
        if head is None:
            break
        quotas.take(head.queue, head.amounts)
        use = added(use, head.queue, head.amounts)
        if random.random() < 0.2:
            del waiting[head.queue]
        order.put(head.queue, waiting.get(head.queue))
