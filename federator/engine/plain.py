"""Plain turns: those of workloads of one role that hold nothing and that nothing but room, bounds and quotas limits.

A large federation's queue is mostly of them, so runs of neighbours are taken by compiled code in one go, for as long
as each finds a place for all that it wants. One that does not takes its turn as every other does, for its reasons, and
the run goes on behind it. ``tests/properties`` equates plans with and without.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.families import NONE, Families
from federator.engine.federation import Federation
from federator.engine.governing import Rule
from federator.engine.kinds import Kinds
from federator.engine.opening import Clocks
from federator.engine.plain_turns import AMOUNTS, CLUSTER, FAMILY, REPLICAS, WANTED, take_turns
from federator.engine.rows import NO_JOURNAL
from federator.engine.wanted import Column
from federator.model.plan import Refusal, shape_key
from federator.model.reasons import Verdict
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
    alone: bool
    """Whether it takes its turn by itself unless one alike was just refused: clocks of tiers run for such."""

    @property
    def likeness(self) -> Hashable:
        """What its answer depends on, beside the federation."""
        least = min(self.workload.min_replicas, self.wanted)
        return self.family, self.workload.queue, self.requests, self.wanted, least


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
        kinds: Kinds,
        allowance: Allowance,
        clocks: Clocks,
        grace_s: float,
        apart: Collection[str],
        found: Found,
    ) -> None:
        """``grace_s`` is the outage grace; workloads ``apart`` take their own turns."""
        self._federation, self._allowance, self._grace_s = federation, allowance, grace_s
        self._families = Families(federation, kinds)
        self._clocked = {(policy, shape) for policy, _, shape in clocks}
        self._apart, self._found = apart, found
        self._refused: dict[Hashable, Mapping[str, Verdict]] = {}
        self._changes = -1
        """How the federation stood when those were refused."""
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
        alone = bool(self._clocked) and (policy.name, shape_key(workload)) in self._clocked
        family = self._families.of(workload, role, rule, names)
        wanted = role.replicas if policy.replicas is None else policy.replicas
        return None if family == NONE else Entry(workload, family, rule, wanted, role.requests, amounts, alone)

    def serve(self, entries: Sequence[Entry], serve: Callable[[Workload], None]) -> None:
        """Take the turns of neighbours. ``serve`` takes a single turn as any other, for one that is refused some."""
        for first in range(0, len(entries), _AT_ONCE):
            some = entries[first : first + _AT_ONCE]
            turns, at, most = self._turns(some), 0, _AT_ONCE if not self._allowance.counts else _AT_FIRST
            while at < len(some):
                if self._repeat(some[at]):
                    at += 1
                    continue
                end = self._counted(some, at, min(len(some), at + most))
                taken, stopped = self._take(some[at:end], turns[at:end]) if end > at else (0, True)
                self._uncount(some[at + taken : end])
                at += taken
                most = max(_AT_FIRST, most // 2) if stopped else min(_AT_ONCE, 2 * most)
                if stopped:
                    self._apart_from_others(some[at], serve)
                    at += 1

    def _turns(self, entries: Sequence[Entry]) -> Array:
        width = self._families.tables.resources.shape[1]
        turns = np.zeros((len(entries), AMOUNTS + width), dtype=np.int64)
        turns[:, FAMILY] = [entry.family for entry in entries]
        turns[:, WANTED] = [entry.wanted for entry in entries]
        padding = (0,) * width
        turns[:, AMOUNTS:] = [(*entry.amounts, *padding[len(entry.amounts) :]) for entry in entries]
        return turns

    def _counted(self, entries: Sequence[Entry], first: int, last: int) -> int:
        """Count against quotas what neighbours want, up to the first that may not have it all or takes its turn by
        itself; returns its place."""
        alone = next((at for at in range(first, last) if entries[at].alone), last) if self._clocked else last
        if not self._allowance.counts:
            return alone
        for at in range(first, alone):
            queue, requests, wanted = entries[at].workload.queue, entries[at].requests, entries[at].wanted
            if not self._allowance.lets(queue, requests, wanted):
                return at
            self._allowance.count(queue, requests, wanted)
        return alone

    def _uncount(self, entries: Sequence[Entry]) -> None:
        for entry in entries if self._allowance.counts else ():
            self._allowance.count(entry.workload.queue, entry.requests, -entry.wanted)

    def _take(self, entries: Sequence[Entry], turns: Array) -> tuple[int, bool]:
        """Take turns until one is refused some; returns how many were taken, and whether one was refused."""
        federation, tables, done = self._federation, self._families.tables, 0
        nodes, clusters = federation.nodes, len(federation.names)
        while done < len(entries):
            left = turns[done:]
            lines = np.empty((int(np.minimum(left[:, WANTED], clusters).sum()), 3), dtype=np.int64)
            ends, full = (
                np.zeros(len(left), dtype=np.int64),
                np.zeros((len(left), tables.tiers.shape[1]), dtype=np.int64),
            )
            taken, stopped = take_turns(
                nodes.rows, nodes.blocks, nodes.sums, nodes.first_lots, nodes.population, nodes.sizes,
                federation.habits, NO_JOURNAL,
                tables.lot_classes, tables.classes, tables.scaled,
                tables.sizes, tables.resources, tables.lots, tables.members, tables.desks, tables.tiers, tables.times,
                tables.offers, left, self._grace_s, lines, ends, full,
            )  # fmt: skip
            self._write(entries[done : done + taken], lines, ends[:taken], full)
            federation.changes += taken
            done += taken
            if stopped:
                return done, True
            nodes.tidy()
        return done, False

    def _write(self, entries: Sequence[Entry], lines: Array, ends: Array, full: Array) -> None:
        names, written = self._federation.names, int(ends[-1]) if len(ends) else 0
        at, counts, first = lines[:written, CLUSTER].copy(), lines[:written, REPLICAS].copy(), 0
        for entry, end in zip(entries, ends.tolist(), strict=True):
            one = entry.workload
            self._found.placements.append(
                Column(one.name, one.roles[0].name, entry.rule, names, at[first:end], counts[first:end])
            )
            first = end
        for turn, place in zip(*(where.tolist() for where in full[: len(entries)].nonzero()), strict=True):
            policy = entries[turn].rule.policy
            self._found.full_tiers.add((policy.name, policy.tiers[place].name, shape_key(entries[turn].workload)))

    def _repeat(self, entry: Entry) -> bool:
        """Whether one alike was refused whole since anybody took room: then this one is, for the same reasons."""
        if self._changes != self._federation.changes or not self._refused:
            return False
        reasons = self._refused.get(entry.likeness)
        if reasons is not None:
            self._found.refusals.append(self._refusal(entry, reasons))
        return reasons is not None

    def _apart_from_others(self, entry: Entry, serve: Callable[[Workload], None]) -> None:
        """Take one turn by itself, and remember the reasons if all of it was refused."""
        if self._changes != self._federation.changes:
            self._changes = self._federation.changes
            self._refused.clear()
        before = len(self._found.refusals)
        serve(entry.workload)
        if len(self._found.refusals) > before and self._found.refusals[-1].replicas == entry.wanted:
            self._refused[entry.likeness] = self._found.refusals[-1].reasons

    @staticmethod
    def _refusal(entry: Entry, reasons: Mapping[str, Verdict]) -> Refusal:
        name, role = entry.workload.name, entry.workload.roles[0].name
        return Refusal(name, role, entry.wanted, reasons, entry.rule.policy.name)
