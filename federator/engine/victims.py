"""Who gives way when a queue that has a claim finds no room: Kueue's preemption by fair shares, in trees of cohorts.

Again and again the queue that borrows most (by ``shares.borrowed``) gives up one of its workloads, if a rule allows:

1. **by right**: the taker stays within its claim with what it wants;
2. else the **final** rule: the taker's share with it is no more than the giver's without the workload;
3. and if all that is not enough, the **initial** rule: it is less than the giver's before, once for each queue.

In its own queue the taker displaces only what has a lower priority. At last everything is given back that turned out
not to be needed. Nothing happens unless all that is wanted can be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from federator.engine.quotas import Quotas
from federator.engine.shares import Share, borrowed


class Rule(StrEnum):
    """Tests of shares, in the order in which they are tried; each lets what is taken by right be taken."""

    RIGHT = "right"
    FINAL = "final"
    INITIAL = "initial"


class Cause(StrEnum):
    """Why a workload has to give way."""

    BACKFILL = "Backfill"
    """It only fills what others leave idle."""
    RECLAIM = "Reclaim"
    """It borrowed what the taker has a claim to."""
    FAIR_SHARE = "FairShare"
    """Its queue has more than the taker's."""
    LOWER_PRIORITY = "LowerPriority"
    """The taker, of the same queue, is more urgent."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What could give way, all of it or nothing: a gang is one candidate, wherever its replicas are.

    ``amounts``: all that it frees. ``lost_s``: the work that would be lost, in seconds since its last checkpoint, or
    since it began. ``ran_s`` below ``min_run_s``: it is protected. ``displaced``: the workloads that it displaced not
    long ago; they do not displace it in their turn.
    """

    name: str
    queue: str
    amounts: Mapping[str, int]
    priority: int = 0
    ran_s: float = 0.0
    min_run_s: float = 0.0
    lost_s: float = 0.0
    displaced: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Taker:
    """What wants room: a whole gang, or so many replicas as are to start together."""

    name: str
    queue: str
    amounts: Mapping[str, int]
    priority: int = 0


class Victim(NamedTuple):
    """A candidate that gives way, and why."""

    candidate: Candidate
    cause: Cause


Fits = Callable[[tuple[Candidate, ...]], bool]
"""Whether the taker would find room (nodes, clusters) once these are gone; more gone must never make it worse."""


def victims(
    quotas: Quotas,
    taker: Taker,
    candidates: Iterable[Candidate],
    rules: tuple[Rule, ...] = (Rule.FINAL, Rule.INITIAL),
    fits: Fits = lambda gone: True,
) -> tuple[Victim, ...] | None:
    """The least set that lets the taker in, in the order it was found; empty if none is needed, None if there is none.

    ``quotas`` holds what all candidates use, not what the taker wants; it is left as it was.
    """
    lacking = _lacking(quotas, taker)
    room = fits(())
    if not lacking and room:
        return ()
    contested = lacking if room else {r for r, amount in taker.amounts.items() if amount > 0}
    chosen = [one for one in candidates if _may_give(one, taker, contested)]
    return _Search(quotas.copy(), taker, sorted(chosen, key=_order(taker)), contested, fits).run(rules)


def _lacking(quotas: Quotas, taker: Taker) -> set[str]:
    """The resources of which the taker's queue may not have what it wants."""
    left = {resource: quotas.available(taker.queue, resource) for resource in taker.amounts}
    return {r for r, amount in taker.amounts.items() if (most := left[r]) is not None and amount > most}


def _may_give(one: Candidate, taker: Taker, contested: set[str]) -> bool:
    """Whether it has any of what is contested, is not protected, and, in the taker's own queue, is less urgent."""
    return (
        one.name != taker.name
        and one.ran_s >= one.min_run_s
        and taker.name not in one.displaced
        and any(one.amounts.get(resource, 0) > 0 for resource in contested)
        and (one.queue != taker.queue or one.priority < taker.priority)
    )


def _order(taker: Taker) -> Callable[[Candidate], tuple[bool, int, float, float, str]]:
    """Other queues before the taker's own, least urgent, least work lost, most recently begun, by name."""
    return lambda one: (one.queue == taker.queue, one.priority, one.lost_s, one.ran_s, one.name)


class _Search:
    """One search. ``quotas`` is its own copy, where what the taker wants is counted as taken."""

    def __init__(self, quotas: Quotas, taker: Taker, candidates: list[Candidate], contested: set[str], fits: Fits):
        self.quotas = quotas
        self.tree = quotas.forest
        self.taker = taker
        self.own = self.tree.queues[taker.queue]
        self.candidates = candidates
        self.contested = contested
        self.fits = fits
        self.found: list[Victim] = []
        self.lines: dict[int, list[Candidate]] = {}
        """What may still be asked of each queue."""
        self.places = {id(one): place for place, one in enumerate(candidates)}
        self.shares: dict[int, Share] = {}
        quotas.take(taker.queue, taker.amounts)

    def run(self, rules: tuple[Rule, ...]) -> tuple[Victim, ...] | None:
        """The first rule on every workload; the next ones on what was passed over, once for each queue."""
        if not self._possible():
            return None
        left, once = self.candidates, False
        for rule in rules:
            left, once = self._ask(left, rule, once), True
            if self._enough():
                return self._needed()
        return None

    def _possible(self) -> bool:
        """Whether it would be enough if all gave way: most searches end here."""
        for one in self.candidates:
            self.quotas.give_back(one.queue, one.amounts)
        possible = self._has_quota() and self.fits(tuple(self.candidates))
        for one in self.candidates:
            self.quotas.take(one.queue, one.amounts)
        return possible

    def _enough(self) -> bool:
        """Whether the taker may have what it wants, and finds room, with what was found gone."""
        return self._has_quota() and self.fits(tuple(victim.candidate for victim in self.found))

    def _has_quota(self) -> bool:
        self.quotas.give_back(self.taker.queue, self.taker.amounts)
        enough = not _lacking(self.quotas, self.taker)
        self.quotas.take(self.taker.queue, self.taker.amounts)
        return enough

    def _ask(self, candidates: list[Candidate], rule: Rule, once: bool) -> list[Candidate]:
        """Find victims until it is enough; the answer is what the rule passed over."""
        passed_over: list[Candidate] = []
        self.lines = {}
        for one in candidates:
            self.lines.setdefault(self.tree.queues[one.queue], []).append(one)
        while (queue := self._most()) is not None:
            line = self.lines[queue]
            while line:
                one = line.pop(0)
                cause = self._cause(queue, one, rule)
                if cause is not None:
                    self._remove(one, cause)
                    if self._enough():
                        return passed_over
                    break
                passed_over.append(one)
            if once:
                del self.lines[queue]
        return passed_over

    def _cause(self, queue: int, one: Candidate, rule: Rule) -> Cause | None:
        """Why this workload may be taken; None if it may not."""
        if queue == self.own:
            return Cause.LOWER_PRIORITY
        mine, theirs = self.tree.sides(self.own, queue)
        if not any(self._borrows(node) for node in mine):
            return Cause.RECLAIM
        if rule is Rule.RIGHT:
            return None
        share = self._share(mine[0])
        if rule is Rule.INITIAL:
            return Cause.FAIR_SHARE if share < self._share(theirs[0]) else None
        self.quotas.give_back(one.queue, one.amounts)
        without = borrowed(self.quotas, theirs[0])[0]
        self.quotas.take(one.queue, one.amounts)
        return Cause.FAIR_SHARE if share <= without else None

    def _most(self) -> int | None:
        """The queue to take from: down from the top of the taker's tree, always the child that borrows most."""
        mine = self.tree.paths[self.own]
        able = {node for queue, line in self.lines.items() if line for node in self._able_path(queue, mine)}
        node = mine[0]
        while children := [child for child in self.tree.children[node] if child in able]:
            node = max(children, key=lambda child: (self._share(child), child not in self.lines, -self._place(child)))
        return node if node in self.lines and node in able else None

    def _able_path(self, queue: int, mine: tuple[int, ...]) -> tuple[int, ...]:
        """The path of a queue that can give; nothing where a part of it, apart from the taker's, does not borrow."""
        path = self.tree.paths[queue]
        able = path[0] == mine[0] and all(node in mine or self._borrows(node) for node in path)
        return path if able else ()

    def _place(self, node: int) -> int:
        """Which of the candidates is a queue's next, so that equals are taken in the order of candidates."""
        line = self.lines.get(node)
        return self.places[id(line[0])] if line else node

    def _borrows(self, node: int) -> bool:
        ledgers = self.quotas.ledgers
        return any(r in ledgers and ledgers[r].borrows(node) > 0 for r in self.contested)

    def _share(self, node: int) -> Share:
        if node not in self.shares:
            self.shares[node] = borrowed(self.quotas, node)[0]
        return self.shares[node]

    def _remove(self, one: Candidate, cause: Cause) -> None:
        self.quotas.give_back(one.queue, one.amounts)
        self.found.append(Victim(one, cause))
        for node in self.tree.paths[self.tree.queues[one.queue]]:
            self.shares.pop(node, None)

    def _needed(self) -> tuple[Victim, ...]:
        """From the last found to the first, whatever need not give way after all stays; the rest as it was found."""
        needed = self.found
        for victim in reversed(self.found[:-1]):
            one = victim.candidate
            self.found = [other for other in needed if other is not victim]
            self.quotas.take(one.queue, one.amounts)
            if self._enough():
                needed = self.found
            else:
                self.quotas.give_back(one.queue, one.amounts)
        return tuple(needed)
