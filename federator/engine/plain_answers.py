"""What came of plain turns, as compiled code writes it, and what the plan keeps of that."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.families import Families
from federator.engine.federation import Federation
from federator.engine.filling import OPEN, Times
from federator.engine.governing import Rule
from federator.engine.plain_refusals import PlainReasons, Refused, Setting, standing
from federator.engine.plain_turns import (
    CLUSTER,
    END,
    FOUND,
    LEAST,
    LIKE,
    MOMENT,
    NO_LIKE,
    NO_MOMENT,
    REPEATS,
    REPLICAS,
    WANTED,
    Marks,
)
from federator.engine.wanted import Column
from federator.model.plan import Refusal, shape_key
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Workload


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


class Answers(NamedTuple):
    """What compiled code writes (see ``plain_turns.take_turns``, which takes them in this order): a line for each
    cluster that gets replicas; all else by turn, but for ``frees``, which is by moment."""

    lines: Array
    turns: Array
    full: Array
    marks: Marks
    waits: Times
    stopped: Array
    frees: Array


def blank(turns: Array, clusters: int, places: int, sums: Array) -> Answers:
    """Place for what may come of so many turns, of which none looks at more tiers than ``places``."""
    size = len(turns)
    return Answers(
        lines=np.empty((sum(min(max(0, wanted), clusters) for wanted in turns[:, WANTED].tolist()), 2), dtype=np.int64),
        turns=np.zeros((size, 4), dtype=np.int64),
        full=np.zeros((size, places), dtype=np.int64),
        marks=np.zeros((size, clusters), dtype=np.int8),
        waits=np.full((size, places), OPEN),
        stopped=np.zeros((size, places), dtype=np.int64),
        frees=np.empty((size, *sums.shape[1:]), dtype=np.int64),
    )


class Writer:
    """Writes what came of the plain turns of one plan into ``found``."""

    def __init__(
        self, federation: Federation, families: Families, allowance: Allowance, grace_s: float, found: Found
    ) -> None:
        """``grace_s`` is the outage grace."""
        self._names, self._families, self._allowance = federation.names, families, allowance
        self._setting, self._found = Setting(federation, grace_s), found
        self._told: dict[int, PlainReasons] = {}
        """By likeness, why one was refused whole last."""

    def write(
        self, entries: Sequence[Entry], turns: Array, why: Mapping[int, Verdict | None], answers: Answers
    ) -> bool:
        """Write down the first turns, those of these entries; whether any of them was refused some.

        ``why`` is by turn what keeps it from having all that it wants. What turns may have was counted beforehand, and
        is given back here where they did not get it.
        """
        told, begin = answers.turns[: len(entries)].tolist(), 0
        got: list[tuple[Array, Array]] = []
        for entry, line in zip(entries, told, strict=True):
            lines = answers.lines[begin : line[END]]
            at, counts = lines[:, CLUSTER].copy(), lines[:, REPLICAS].copy()
            got.append((at, counts))
            if len(lines):
                name, role = entry.workload.name, entry.workload.roles[0].name
                self._found.placements.append(Column(name, role, entry.rule, self._names, at, counts))
            begin = line[END]
        self._write_full(entries, answers.full)
        refused = [turn for turn, line in enumerate(told) if line[MOMENT] != NO_MOMENT or line[REPEATS] > 0]
        if not refused:
            return False
        last = max(line[MOMENT] for line in told)
        moments = [self._setting.past.add(seen) for seen in answers.frees[: last + 1]]
        for turn, marks in zip(refused, answers.marks[refused], strict=True):
            entry, like, wanted = entries[turn], int(turns[turn, LIKE]), int(turns[turn, WANTED])
            placed = int(got[turn][1].sum())
            self._allowance.count(entry.workload.queue, entry.requests, placed - max(0, wanted))
            if answers.turns[turn, REPEATS]:
                reasons = self._told[like]
            else:
                moment = moments[answers.turns[turn, MOMENT]]
                reasons = self._reasons(entry, turn, turns[turn], marks, got[turn], moment, why.get(turn), answers)
                if like != NO_LIKE and not placed:
                    self._told[like] = reasons
            self._found.refusals.append(_refusal(entry, entry.wanted - placed, reasons))
        return True

    def _write_full(self, entries: Sequence[Entry], full: Array) -> None:
        """The tiers that turned replicas away."""
        turned_away = full[: len(entries)]
        for turn in np.flatnonzero(turned_away.any(axis=1)).tolist():
            policy, key = entries[turn].rule.policy, shape_key(entries[turn].workload)
            tiers = (policy.tiers[place].name for place in np.flatnonzero(turned_away[turn]).tolist())
            self._found.full_tiers.update((policy.name, tier, key) for tier in tiers)

    def _reasons(
        self,
        entry: Entry,
        turn: int,
        asked: Array,
        marks: Marks,
        got: tuple[Array, Array],
        moment: int,
        short: Verdict | None,
        answers: Answers,
    ) -> PlainReasons:
        wanted, least, found = int(asked[WANTED]), int(asked[LEAST]), int(answers.turns[turn, FOUND])
        below = Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": least, "room": found})
        refused = Refused(
            entry.workload,
            entry.rule,
            self._families.hard(entry.family),
            marks,
            *got,
            moment,
            *standing(answers.waits[turn], answers.stopped[turn]),
            held_back=short if got[1].sum() >= wanted else None,
            whole=None if found >= least else short if wanted < least else below,
        )
        return PlainReasons(self._setting, refused)


def _refusal(entry: Entry, replicas: int, reasons: PlainReasons) -> Refusal:
    name, role = entry.workload.name, entry.workload.roles[0].name
    return Refusal(name, role, replicas, reasons, entry.rule.policy.name)
