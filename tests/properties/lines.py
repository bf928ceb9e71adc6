"""Queues in trees of cohorts, drawn at random, and what can be said of them slowly, straight from the definitions.

Nothing here uses the engine: limits are judged by adding everything up again from the queues.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from federator.model.policy import Cohort, Queue
from federator.model.resources import Resources

RESOURCES = ("cpu", "gpu")
Use = Mapping[str, Mapping[str, int]]
"""By queue, by resource."""
MANY = 25
"""As far as the slow count goes."""


@dataclass(frozen=True)
class Lines:
    """Queues and cohorts together."""

    queues: tuple[Queue, ...]
    cohorts: tuple[Cohort, ...]

    def children(self, name: str) -> list[Queue | Cohort]:
        """Those right below a cohort."""
        inner: list[Queue | Cohort] = [c for c in self.cohorts if c.parent == name]
        return inner + [q for q in self.queues if q.cohort == name]

    def path(self, queue: str) -> list[Queue | Cohort]:
        """From a queue to its top."""
        found: list[Queue | Cohort] = [next(q for q in self.queues if q.name == queue)]
        while parent := self.parent(found[-1]):
            found.append(next((c for c in self.cohorts if c.name == parent), Cohort(parent)))
        return found

    @staticmethod
    def parent(one: Queue | Cohort) -> str:
        """The cohort above."""
        return one.cohort if isinstance(one, Queue) else one.parent

    def claim(self, one: Queue | Cohort, resource: str) -> int:
        """Its quota and what those below lend it."""
        own = limit(one.quota, resource) or 0
        if isinstance(one, Queue):
            return own
        return own + sum(self.lent(child, resource) for child in self.children(one.name))

    def lent(self, one: Queue | Cohort, resource: str) -> int:
        """What of its claim others may use."""
        claim, most = self.claim(one, resource), limit(one.lending_limit, resource)
        return claim if most is None else min(claim, most)

    def used(self, one: Queue | Cohort, resource: str, use: Use) -> int:
        """What a queue uses; what those below a cohort take out of it."""
        if isinstance(one, Queue):
            return use.get(one.name, {}).get(resource, 0)
        return sum(self.taken(child, resource, use) for child in self.children(one.name))

    def taken(self, one: Queue | Cohort, resource: str, use: Use) -> int:
        """What it takes from the cohort above: what goes beyond the part that it lends to nobody."""
        return max(0, self.used(one, resource, use) - (self.claim(one, resource) - self.lent(one, resource)))

    def governed(self, top: Queue | Cohort, resource: str) -> bool:
        """Whether anybody in the tree below has a quota of it."""
        if limit(top.quota, resource) is not None:
            return True
        return not isinstance(top, Queue) and any(self.governed(child, resource) for child in self.children(top.name))

    def excess(self, one: Queue | Cohort, resource: str, use: Use) -> int:
        """How far it is beyond what it may use: its claim, and below a cohort what its borrowing limit adds."""
        if not self.parent(one):
            return self.used(one, resource, use) - self.claim(one, resource) if self.governed(one, resource) else -MANY
        most = limit(one.borrowing_limit, resource)
        return -MANY if most is None else self.used(one, resource, use) - self.claim(one, resource) - most

    def allowed(self, queue: str, resource: str, use: Use) -> int:
        """The most (up to MANY) that the queue may take more, so that nobody whose use grows ends beyond a limit."""
        best = 0
        for more in range(1, MANY + 1):
            after = added(use, queue, {resource: more})
            grown = [one for one in self.path(queue) if self.used(one, resource, after) > self.used(one, resource, use)]
            if any(self.excess(one, resource, after) > 0 for one in grown):
                break
            best = more
        return best


def limit(limits: Resources | None, resource: str) -> int | None:
    """A limit; None where there is none."""
    return dict(limits.items_).get(resource) if limits is not None else None


def added(use: Use, queue: str, amounts: Mapping[str, int], sign: int = 1) -> dict[str, dict[str, int]]:
    """The use with so much more."""
    after = {name: dict(here) for name, here in use.items()}
    line = after.setdefault(queue, {})
    for resource, amount in amounts.items():
        line[resource] = line.get(resource, 0) + sign * amount
    return after


def amounts(most: int, names: Iterable[str] = RESOURCES) -> st.SearchStrategy[Resources]:
    """Amounts of some resources, zeros kept."""
    some = st.dictionaries(st.sampled_from(sorted(names)), st.integers(0, most), max_size=2)
    return some.map(lambda found: Resources(tuple(sorted(found.items()))))


@st.composite
def lines(draw: st.DrawFn, contended: bool = False) -> Lines:
    """Up to four cohorts, each below one before it or none, and up to five queues.

    ``contended``: all in one tree, with a quota of cpu each and few other limits, so that most of it borrows.
    """
    limits = st.none() | amounts(9)
    quotas = st.builds(lambda n: Resources((("cpu", n),)), st.integers(0, 5)) if contended else limits
    others = st.sampled_from([None] * 7 + [Resources((("cpu", 2),))]) if contended else limits
    weights = st.integers(0, 3)
    cohorts: list[Cohort] = []
    for number in range(draw(st.integers(1 if contended else 0, 4))):
        parents = [c.name for c in cohorts]
        parent = draw(st.sampled_from(parents if contended and parents else ["", *parents]))
        cohorts.append(
            Cohort(f"c{number}", parent, draw(weights), draw(st.none() | quotas), draw(others), draw(others))
        )
    names = [c.name for c in cohorts] if contended else ["", "c9", *(c.name for c in cohorts)]
    queues = [
        Queue(
            f"q{number}",
            weight=draw(weights),
            cohort=draw(st.sampled_from(names)),
            quota=draw(quotas),
            borrowing_limit=draw(others),
            lending_limit=draw(others),
        )
        for number in range(draw(st.integers(2 if contended else 1, 5)))
    ]
    return Lines(tuple(queues), tuple(cohorts))


@st.composite
def lines_in_use(draw: st.DrawFn) -> tuple[Lines, dict[str, dict[str, int]]]:
    """With what each queue uses already, within its limits or not."""
    drawn = draw(lines())
    use = {queue.name: dict(draw(amounts(12)).items_) for queue in drawn.queues}
    return drawn, use
