"""Plain turns: those of workloads of one role that hold nothing and that nothing but room, bounds and quotas limits.

A large federation's queue is mostly of them, so runs of neighbours are taken by compiled code in one go, also those
that are refused some (see ``engine/plain_refusals.py``). ``tests/properties`` equates plans with and without.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.division import REPLICAS_MAX, WEIGHT_MAX
from federator.engine.families import NONE, Families
from federator.engine.federation import Federation
from federator.engine.filling import OPEN, Times
from federator.engine.governing import Rule
from federator.engine.opening import Clocks
from federator.engine.plain_refusals import PlainReasons, Refused, Setting, standing
from federator.engine.plain_turns import (
    AMOUNTS,
    CLUSTER,
    DONE,
    END,
    FAMILY,
    GO_ON,
    ILLEGAL,
    LEAST,
    LIKE,
    MOMENT,
    NO_LIKE,
    NO_MOMENT,
    REPEATS,
    REPLICAS,
    SHORT,
    STOP_AFTER,
    STOP_BEFORE,
    TIGHT,
    WANTED,
    Marks,
    take_turns,
)
from federator.engine.rows import NO_JOURNAL
from federator.engine.tiers import full_for
from federator.engine.wanted import Column
from federator.model.plan import Refusal, shape_key
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Workload

_AT_ONCE = 1024
"""So many turns are handed to compiled code together at most."""
_AT_FIRST = 32
"""With quotas, which are counted beforehand, so many at first."""


class Entry(NamedTuple):
    """A plain workload: its family, its rule, how many replicas it wants, and what one asks for (in amounts, as a line
    of turns has them)."""

    workload: Workload
    family: int
    rule: Rule
    wanted: int
    requests: Resources
    amounts: tuple[int, ...]
    clocked: bool
    """Whether clocks of tiers run for such."""

    @property
    def least(self) -> int:
        """With how many replicas it starts at least."""
        return min(self.workload.min_replicas, self.wanted)

    @property
    def likeness(self) -> Hashable:
        """What its answer depends on, beside the federation."""
        return self.family, self.workload.queue, self.requests, self.wanted, self.least


class Found(NamedTuple):
    """What came of plain turns."""

    placements: list[Column]
    refusals: list[Refusal]
    full_tiers: set[tuple[str, str, str]]


class Plain:
    """Takes the plain turns of one plan, and writes what comes of them into ``found``."""

    def __init__(
        self,
        federation: Federation,
        families: Families,
        allowance: Allowance,
        clocks: Clocks,
        grace_s: float,
        apart: Collection[str],
        found: Found,
        ask: Callable[[Workload], None] | None,
    ) -> None:
        """``grace_s`` is the outage grace; workloads ``apart`` take their own turns, and so (``ask``) do those that are
        refused some, where others might give way to them."""
        self._federation, self._allowance, self._grace_s = federation, allowance, grace_s
        self._families, self._setting = families, Setting(federation, grace_s)
        self._clocks, self._clocked = clocks, {(policy, shape) for policy, _, shape in clocks}
        self._apart, self._found, self._ask = apart, found, ask
        self._at_refusal = STOP_BEFORE if ask is not None else STOP_AFTER if allowance.counts else GO_ON
        self._likes: dict[Hashable, int] = {}
        self._stamps = np.full(_AT_ONCE, -1, dtype=np.int64)
        self._told: dict[int, PlainReasons] = {}
        """By likeness, after which change of the federation one was refused whole, and for which reasons."""
        self._busy = False
        """Whether any was refused of late: then alike ones are sought."""
        self._none = federation.limits is not None or federation.any_silent

    def stretches(self, queue: Iterable[Workload]) -> Iterator[tuple[Sequence[Workload], Sequence[Entry]]]:
        """The queue in stretches of which either all are plain (then their entries) or none is (then themselves)."""
        entries: list[Entry] = []
        others: list[Workload] = []
        for workload in queue:
            entry = self._entry(workload)
            if entry is not None:
                if others:
                    yield others, ()
                    others = []
                entries.append(entry)
            else:
                if entries:
                    yield (), entries
                    entries = []
                others.append(workload)
        yield others, entries

    def _entry(self, workload: Workload) -> Entry | None:
        """None where it is not plain."""
        role, name, federation = workload.roles[0], workload.name, self._federation
        if (
            self._none
            or workload.gang is not None
            or len(workload.roles) > 1
            or role.limits.items_
            or not role.requests.items_
            or name in self._apart
            or federation.holdings(name, role.name)
            or federation.excluded(name)
            or federation.reported(role.requests)
            or not self._allowance.only_quotas(workload)
        ):
            return None
        rule = federation.governing.rule(workload)
        policy = rule.policy
        names, amounts = zip(*role.requests.items_, strict=True)
        if min(amounts) <= 0 or (workload.inputs and policy.half_weight_bytes is not None):
            return None
        clocked = bool(self._clocked) and (policy.name, shape_key(workload)) in self._clocked
        family = self._families.of(workload, role, rule, names)
        wanted = role.replicas if policy.replicas is None else policy.replicas
        return None if family == NONE else Entry(workload, family, rule, wanted, role.requests, amounts, clocked)

    def serve(self, entries: Sequence[Entry]) -> None:
        """Take the turns of neighbours."""
        counts = self._allowance.counts
        most = _AT_ONCE if self._at_refusal == GO_ON else _AT_FIRST
        at = 0
        while at < len(entries):
            some = entries[at : at + most]
            turns, why = self._turns(some)
            taken, stopped = self._take(some, turns, why)
            if counts:
                for entry, turn in zip(some[taken:], turns[taken:].tolist(), strict=True):
                    self._allowance.count(entry.workload.queue, entry.requests, -max(0, turn[WANTED]))
            at += taken
            if stopped and self._ask is not None:
                self._ask(some[taken].workload)
                at += 1
            most = max(_AT_FIRST, most // 2) if stopped else min(_AT_ONCE, 2 * most)

    def _turns(self, entries: Sequence[Entry]) -> tuple[Array, dict[int, Verdict | None]]:
        """Their lines, and by place why one may not have all that it wants. What they may have is counted."""
        width = self._families.tables.resources.shape[1]
        turns = np.zeros((len(entries), AMOUNTS + width), dtype=np.int64)
        turns[:, FAMILY] = [entry.family for entry in entries]
        turns[:, WANTED] = [entry.wanted for entry in entries]
        turns[:, LEAST] = [entry.least for entry in entries]
        turns[:, LIKE] = [self._like(entry) for entry in entries] if self._busy else NO_LIKE
        padding = (0,) * width
        turns[:, AMOUNTS:] = [(*entry.amounts, *padding[len(entry.amounts) :]) for entry in entries]
        why: dict[int, Verdict | None] = {}
        for at, entry in enumerate(entries) if self._allowance.counts else ():
            queue = entry.workload.queue
            most, short = self._allowance.most(queue, entry.requests, entry.wanted)
            if most < entry.wanted:
                turns[at, WANTED], turns[at, SHORT], why[at] = most, 1, short
            self._allowance.count(queue, entry.requests, max(0, most))
        return turns, why

    def _like(self, entry: Entry) -> int:
        number = self._likes.setdefault(entry.likeness, len(self._likes))
        if number >= len(self._stamps):
            self._stamps = np.concatenate([self._stamps, np.full_like(self._stamps, -1)])
        return number

    def _take(self, entries: Sequence[Entry], turns: Array, why: dict[int, Verdict | None]) -> tuple[int, bool]:
        """Take turns; returns how many, and whether a refusal stopped them."""
        federation, tables, done = self._federation, self._families.tables, 0
        nodes, clusters, places = federation.nodes, len(federation.names), tables.tiers.shape[1]
        full_s = self._full_s(entries, places)
        while done < len(entries):
            left = turns[done:]
            size = len(left)
            lines = np.empty((int(np.clip(left[:, WANTED], 0, clusters).sum()), 2), dtype=np.int64)
            answers, full = np.zeros((size, 4), dtype=np.int64), np.zeros((size, places), dtype=np.int64)
            marks, waits = np.zeros((size, clusters), dtype=np.int8), np.full((size, places), OPEN)
            stopped, frees = np.zeros_like(full), np.empty((size, *nodes.sums.shape[1:]), dtype=np.int64)
            taken, end, federation.changes = take_turns(
                nodes.rows, nodes.blocks, nodes.sums, nodes.first_lots, nodes.population, nodes.sizes,
                federation.habits, NO_JOURNAL,
                tables.lot_classes, tables.classes, tables.scaled,
                tables.sizes, tables.resources, tables.lots, tables.members, tables.desks, tables.tiers, tables.times,
                tables.offers, tables.closed, left, full_s[done:], self._grace_s, self._at_refusal, self._stamps,
                federation.changes, lines, answers, full, marks, waits, stopped, frees,
            )  # fmt: skip
            if end == ILLEGAL:
                raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
            short = {at - done: verdict for at, verdict in why.items() if at >= done}
            self._write(entries[done : done + taken], left, short, lines, answers, full, marks, waits, stopped, frees)
            done += taken
            if end == TIGHT:
                nodes.tidy()
            elif end != DONE:
                return done, True
        return done, False

    def _full_s(self, entries: Sequence[Entry], places: int) -> Times:
        """By turn and place of a tier for how long that has been full for such."""
        full_s = np.zeros((len(entries), places))
        for at, entry in enumerate(entries) if self._clocked else ():
            if entry.clocked:
                known = full_for(self._clocks, self._federation, entry.workload, entry.rule)
                full_s[at, : len(known)] = known
        return full_s

    def _write(
        self, entries: Sequence[Entry], turns: Array, why: Mapping[int, Verdict | None], lines: Array, answers: Array,
        full: Array, marks: Marks, waits: Times, stopped: Array, frees: Array,
    ) -> None:  # fmt: skip
        """Record what came of turns."""
        names, ends = self._federation.names, answers[: len(entries), END].tolist()
        written = ends[-1] if ends else 0
        at, counts, first = lines[:written, CLUSTER].copy(), lines[:written, REPLICAS].copy(), 0
        for entry, end in zip(entries, ends, strict=True):
            if end > first:
                one = entry.workload
                self._found.placements.append(
                    Column(one.name, one.roles[0].name, entry.rule, names, at[first:end], counts[first:end])
                )
                first = end
        turned_away = full[: len(entries)]
        for turn in np.flatnonzero(turned_away.any(axis=1)).tolist():
            policy, key = entries[turn].rule.policy, shape_key(entries[turn].workload)
            tiers = (policy.tiers[place].name for place in np.flatnonzero(turned_away[turn]).tolist())
            self._found.full_tiers.update((policy.name, tier, key) for tier in tiers)
        told = answers[: len(entries), MOMENT].max(initial=NO_MOMENT) + 1
        moments = [self._setting.past.add(seen) for seen in frees[:told]]
        refused = ((answers[: len(entries), MOMENT] != NO_MOMENT) | (answers[: len(entries), REPEATS] > 0)).nonzero()[0]
        self._busy = len(refused) > 0
        kept = marks[refused]
        for turn, mark in zip(refused.tolist(), kept, strict=True):
            entry, (_, wanted, least, _, like, *_), (end, found, moment, repeats) = (
                entries[turn], turns[turn].tolist(), answers[turn].tolist(),
            )  # fmt: skip
            begin = ends[turn - 1] if turn else 0
            placed = int(counts[begin:end].sum())
            self._allowance.count(entry.workload.queue, entry.requests, placed - max(0, wanted))
            if repeats:
                reasons = self._told[like]
            else:
                short = why.get(turn)
                below = Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": least, "room": found})
                reasons = PlainReasons(
                    self._setting,
                    Refused(
                        entry.workload,
                        entry.rule,
                        self._families.hard(entry.family),
                        mark,
                        at[begin:end],
                        counts[begin:end],
                        moments[moment],
                        *standing(waits[turn], stopped[turn]),
                        held_back=short if placed >= wanted else None,
                        whole=None if found >= least else short if wanted < least else below,
                    ),
                )
                if like != NO_LIKE and not placed:
                    self._told[like] = reasons
            self._found.refusals.append(self._refusal(entry, entry.wanted - placed, reasons))

    @staticmethod
    def _refusal(entry: Entry, replicas: int, reasons: PlainReasons) -> Refusal:
        name, role = entry.workload.name, entry.workload.roles[0].name
        return Refusal(name, role, replicas, reasons, entry.rule.policy.name)
