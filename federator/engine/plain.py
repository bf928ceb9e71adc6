"""Plain turns: those of workloads of one role that hold nothing and that nothing but room, bounds and quotas limits.

A large federation's queue is mostly of them, so runs of neighbours are taken by compiled code in one go, also those
that are refused some (see ``engine/plain_refusals.py``). ``tests/properties`` equates plans with and without.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Protocol

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.binding import begun, journal_lines, lines_at_most
from federator.engine.division import REPLICAS_MAX, WEIGHT_MAX
from federator.engine.families import NONE, Families, Tables
from federator.engine.federation import Federation
from federator.engine.filling import TAKES, Times
from federator.engine.opening import Clocks
from federator.engine.plain_answers import Answers, Entry, Found, Writer, blank
from federator.engine.plain_tables import (
    AMOUNTS,
    DONE,
    FAMILY,
    GO_ON,
    ILLEGAL,
    LEAST,
    LIKE,
    NO_LIKE,
    NOTED,
    ORDER,
    SHORT,
    STOP_AFTER,
    STOP_BEFORE,
    TIGHT,
    WANTED,
)
from federator.engine.plain_turns import take_turns
from federator.engine.rows import NO_JOURNAL
from federator.engine.tiers import full_for
from federator.model.plan import shape_key
from federator.model.reasons import Verdict
from federator.model.whole_cores import takes_more
from federator.model.workload import Workload

_AT_ONCE = 1024
"""So many turns are handed to compiled code together at most."""
_AT_FIRST = 32
"""Where a refusal ends a run, so many at first."""
_AT_LEAST = 4
"""So many at least, however soon the runs before have ended."""
_NOTED = 8
"""A journal of them has place for as many lines as so many may need; most need far fewer."""


class Alone(Protocol):
    """Who takes turns one by one."""

    def serve(self, workload: Workload) -> None:
        """Take one."""

    def asks_of_refusals(self) -> bool:
        """Whether more may come of a refusal now: others give way, or something is reserved."""


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
        alone: Alone | None = None,
    ) -> None:
        """``grace_s`` is the outage grace. Workloads ``apart`` take their own turns, and so (``alone``) do those in
        whose way something is reserved, and those that are refused some, as long as more may come of that."""
        self._federation, self._allowance, self._grace_s = federation, allowance, grace_s
        self._families = families
        self._clocks, self._clocked = clocks, {(policy, shape) for policy, _, shape in clocks}
        self._apart, self._alone = apart, alone
        self._writer = Writer(federation, families, allowance, grace_s, found)
        self._likes: dict[Hashable, int] = {}
        self._stamps = np.full(_AT_ONCE, -1, dtype=np.int64)
        """By likeness, after which change of the federation one was refused whole."""
        self._busy = False
        """Whether any was refused of late: then alike ones are sought."""
        self._none = federation.limits is not None or federation.any_silent
        self._journal = NO_JOURNAL

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
        role, federation = workload.roles[0], self._federation
        items = federation.nodes.asked(role.requests).items_
        if (
            self._none
            or workload.gang is not None
            or len(workload.roles) > 1
            or role.limits.items_
            or not items
            or (federation.nodes.counts_cores and takes_more(role.requests))  # it raises the use of nodes by cluster
            or workload.name in self._apart
            or federation.spoken_of(workload)
            or not self._allowance.only_quotas(workload)
        ):
            return None
        rule = federation.governing.rule(workload)
        policy = rule.policy
        names, amounts = tuple([name for name, _ in items]), tuple([amount for _, amount in items])
        if min(amounts) <= 0 or (workload.inputs and policy.half_weight_bytes is not None):
            return None
        clocked = bool(self._clocked) and (policy.name, shape_key(workload)) in self._clocked
        family = self._families.of(workload, role, rule, names)
        wanted = role.replicas if policy.replicas is None else policy.replicas
        least = min(workload.min_replicas, wanted)
        return None if family == NONE else Entry(workload, family, rule, wanted, least, role.requests, amounts, clocked)

    def serve(self, entries: Sequence[Entry]) -> None:
        """Take the turns of neighbours."""
        counts = self._allowance.counts
        most = _AT_ONCE if self._at_refusal == GO_ON else _AT_FIRST
        at = 0
        while at < len(entries):
            some = self._until_in_the_way(entries[at : at + most])
            if not some and self._alone is not None:
                self._alone.serve(entries[at].workload)
                at += 1
                continue
            at_refusal = self._at_refusal
            turns, why = self._turns(some)
            taken, stopped = self._take(some, turns, why, at_refusal)
            if counts:
                for entry, turn in zip(some[taken:], turns[taken:].tolist(), strict=True):
                    self._allowance.count(entry.workload.queue, entry.requests, -max(0, turn[WANTED]))
            at += taken
            if stopped and at_refusal == STOP_BEFORE and self._alone is not None:
                self._alone.serve(some[taken].workload)
                at += 1
            most = max(_AT_LEAST, most // 2) if stopped else min(_AT_ONCE, 2 * most)

    @property
    def _at_refusal(self) -> int:
        """What happens at a turn that is refused some."""
        if self._alone is not None and self._alone.asks_of_refusals():
            return STOP_BEFORE
        return STOP_AFTER if self._allowance.counts else GO_ON

    def _until_in_the_way(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those before the first that would run beyond the beginning of something reserved where it may run, too."""
        promises = self._federation.promises
        if promises is None or not promises.reserved:
            return entries
        desks = self._families.tables.desks
        for at, entry in enumerate(entries):
            for one in promises.crossed(promises.until(entry.workload)):
                if desks[entry.family, list(promises.reserved[one].clusters), TAKES].any():
                    return entries[:at]
        return entries

    def _turns(self, entries: Sequence[Entry]) -> tuple[Array, dict[int, Verdict | None]]:
        """Their lines, and by place why one may not have all that it wants. What they may have is counted."""
        turns = np.zeros((len(entries), AMOUNTS + self._families.tables.resources.shape[1]), dtype=np.int64)
        turns[:, FAMILY] = [entry.family for entry in entries]
        turns[:, WANTED] = [entry.wanted for entry in entries]
        turns[:, LEAST] = [entry.least for entry in entries]
        turns[:, LIKE] = [self._like(entry) for entry in entries] if self._busy else NO_LIKE
        columns = zip_longest(*[entry.amounts for entry in entries], fillvalue=0)
        for column, amounts in enumerate(columns, start=AMOUNTS):
            turns[:, column] = amounts
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

    def _take(
        self, entries: Sequence[Entry], turns: Array, why: dict[int, Verdict | None], at_refusal: int
    ) -> tuple[int, bool]:
        """Take turns; returns how many, and whether a refusal stopped them."""
        federation, tables, done = self._federation, self._families.tables, 0
        nodes, places = federation.nodes, tables.tiers.shape[1]
        full_s = self._full_s(entries, places)
        while done < len(entries):
            left = turns[done:]
            answers, journal = blank(left, len(federation.names), places, nodes.sums), self._blank_journal(tables)
            taken, end = taken_of(
                federation, tables, left, full_s[done:], self._grace_s, at_refusal, self._stamps, answers, journal
            )
            if len(journal):
                self._note(entries[done : done + taken], tables, left, answers.turns[:taken, NOTED])
            short = {at - done: verdict for at, verdict in why.items() if at >= done}
            self._busy = self._writer.write(entries[done : done + taken], left, short, answers)
            done += taken
            if end == TIGHT:
                nodes.tidy()
            elif end != DONE:
                return done, True
        return done, False

    def _blank_journal(self, tables: Tables) -> Array:
        """Where it is written who is on which nodes, while anybody may ask for that."""
        federation, nodes = self._federation, self._federation.nodes
        if federation.promises is None or federation.promises.occupancy is None:
            return NO_JOURNAL
        ranks = 1 + int(tables.lots[:, :, ORDER].max(initial=0))
        most = lines_at_most(len(nodes.rows), ranks, len(federation.names))
        if len(self._journal) <= most:
            self._journal = np.empty((1 + _NOTED * most, NO_JOURNAL.shape[1]), dtype=np.int64)
        return begun(self._journal, most)

    def _note(self, entries: Sequence[Entry], tables: Tables, turns: Array, ends: Array) -> None:
        """Write down who is on which nodes after these turns, whose lines of the journal end there."""
        promises, some = self._federation.promises, np.arange(len(entries))
        each = np.zeros((len(entries), len(self._federation.nodes.resources)), dtype=np.int64)
        asked = tables.resources[turns[: len(entries), FAMILY]]
        np.add.at(each, (some[:, None], asked), turns[: len(entries), AMOUNTS:])
        of = np.repeat(some, np.diff(ends, prepend=0))
        if promises is not None and len(of):
            promises.note([entry.workload for entry in entries], journal_lines(self._journal), of, each)

    def _full_s(self, entries: Sequence[Entry], places: int) -> Times:
        """By turn and place of a tier for how long that has been full for such."""
        full_s = np.zeros((len(entries), places))
        for at, entry in enumerate(entries) if self._clocked else ():
            if entry.clocked:
                known = full_for(self._clocks, self._federation, entry.workload, entry.rule)
                full_s[at, : len(known)] = known
        return full_s


def taken_of(
    federation: Federation, tables: Tables, turns: Array, full_s: Times, grace_s: float, at_refusal: int,
    stamps: Array, answers: Answers, journal: Array = NO_JOURNAL,
) -> tuple[int, int]:  # fmt: skip
    """Take turns as ``take_turns`` does, in the federation; returns how many were taken, and why no more. Into the
    ``journal`` is written on which nodes that is."""
    nodes = federation.nodes
    taken, end, federation.changes = take_turns(
        nodes.rows, nodes.blocks, nodes.sums, nodes.first_lots, nodes.population, nodes.sizes,
        federation.habits, journal,
        tables.lot_classes, tables.classes, tables.scaled,
        tables.sizes, tables.resources, tables.lots, tables.members, tables.desks, tables.tiers, tables.times,
        tables.offers, tables.closed, turns, full_s, grace_s, at_refusal, stamps,
        federation.changes, *answers,
    )  # fmt: skip
    if end == ILLEGAL:
        raise ValueError(f"weights go up to {WEIGHT_MAX}, replicas up to {REPLICAS_MAX}")
    return taken, end
