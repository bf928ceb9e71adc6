"""What came of plain turns, as compiled code writes it, and what the plan keeps of that."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array
from federator.engine.families import Families
from federator.engine.federation import Federation
from federator.engine.filling import OPEN, Times
from federator.engine.governing import Rule
from federator.engine.plain_refusals import PlainReasons, Refused, Setting
from federator.engine.plain_tables import (
    CLUSTER,
    END,
    LEAST,
    LIKE,
    MOMENT,
    NO_LIKE,
    NO_MOMENT,
    NOTED,
    REPEATS,
    REPLICAS,
    WANTED,
    Marks,
)
from federator.engine.wanted import Column
from federator.model.plan import Refusal
from federator.model.reasons import Reason, Verdict
from federator.model.resources import Resources
from federator.model.workload import Workload


class Entry(NamedTuple):
    """A plain workload: its family, its rule, how many replicas it wants and with how many it starts at least, and what
    one asks for (in amounts, as a line of turns has them)."""

    workload: Workload
    family: int
    rule: Rule
    wanted: int
    least: int
    requests: Resources
    amounts: tuple[int, ...]
    clocked: bool
    """Whether clocks of tiers run for such."""

    @property
    def likeness(self) -> Hashable:
        """What its answer depends on, beside the federation."""
        return self.family, self.workload.queue, self.amounts, self.wanted, self.least


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
        turns=np.zeros((size, NOTED + 1), dtype=np.int64),
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
        if not entries:
            return False
        told = answers.turns[: len(entries)]
        ends = told[:, END]
        lines = answers.lines[: ends[-1]]
        at, counts, begin = lines[:, CLUSTER].copy(), lines[:, REPLICAS].copy(), 0
        for entry, end in zip(entries, ends.tolist(), strict=True):
            if end > begin:
                name, role = entry.workload.name, entry.workload.roles[0].name
                places = at[begin:end], counts[begin:end]
                self._found.placements.append(Column(name, role, entry.rule, self._names, *places))
                begin = end
        for turn in np.flatnonzero(answers.full[: len(entries)].any(axis=1)).tolist():
            full = answers.full[turn].nonzero()[0].tolist() if entries[turn].rule.awaited else ()
            self._found.full_tiers.update(entries[turn].rule.clocks(entries[turn].workload, full))
        refused = np.flatnonzero((told[:, MOMENT] != NO_MOMENT) | (told[:, REPEATS] > 0))
        if not len(refused):
            return False
        resources = len(
            self._setting.federation.nodes.resources
        )  # behind them lies what is free when reserved work begins
        seen = answers.frees[: told[:, MOMENT].max() + 1, :, :resources]
        moments = [self._setting.past.add(free) for free in seen]
        waits, stopped = answers.waits[refused], answers.stopped[refused]
        run = _Run(
            families=self._families,
            entries=[entries[turn] for turn in refused.tolist()],
            turns=turns[refused],
            why={line: why.get(turn) for line, turn in enumerate(refused.tolist())} if why else {},
            at=at,
            counts=counts,
            begins=np.concatenate([[0], ends])[refused],
            told=told[refused, :NOTED],
            moments=moments,
            marks=answers.marks[refused],
            waits=waits if (waits != OPEN).any() else None,
            stopped=stopped if stopped.any() else None,
        )
        self._write_refusals(run)
        return True

    def _write_refusals(self, run: _Run) -> None:
        refusals, counts, tell = self._found.refusals, self._allowance.counts, run.tell
        columns = zip(run.entries, run.turns.tolist(), run.told[:, REPEATS].tolist(), run.placed(), strict=True)
        for line, (entry, turn, repeats, placed) in enumerate(columns):
            workload, like = entry.workload, turn[LIKE]
            if counts:
                self._allowance.count(workload.queue, entry.requests, placed - max(0, turn[WANTED]))
            if repeats:
                reasons = self._told[like]
            else:
                reasons = PlainReasons(self._setting, tell, line)
                if like != NO_LIKE and not placed:
                    self._told[like] = reasons
            wanting, policy = entry.wanted - placed, entry.rule.policy.name
            refusals.append(Refusal(workload.name, workload.roles[0].name, wanting, reasons, policy))


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Those of a run of turns that were refused some, a line each, and what their reasons are made of.

    ``turns`` and ``told`` are their lines of what was asked and answered, ``why`` what kept them from having all that
    they want. Of the replicas placed in the run (``at`` which clusters, ``counts``) theirs are from where each
    ``begins``. ``moments`` are the numbers of those of the run, in ``Past``.
    """

    families: Families
    entries: Sequence[Entry]
    turns: Array
    why: Mapping[int, Verdict | None]
    at: Array
    counts: Array
    begins: Array
    told: Array
    moments: Sequence[int]
    marks: Marks
    waits: Times | None
    stopped: Array | None

    def placed(self) -> list[int]:
        """How many replicas each got."""
        sums = np.concatenate([[0], np.cumsum(self.counts)])
        placed: list[int] = (sums[self.told[:, END]] - sums[self.begins]).tolist()
        return placed

    def tell(self, line: int) -> Refused:
        """What one of them was refused."""
        entry, short, (end, found, moment, _) = self.entries[line], self.why.get(line), self.told[line].tolist()
        wanted, least = int(self.turns[line, WANTED]), int(self.turns[line, LEAST])
        own = slice(self.begins[line], end)
        below = Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": least, "room": found})
        return Refused(
            entry.workload,
            entry.rule,
            self.families.hard(entry.family),
            self.marks[line],
            self.at[own],
            self.counts[own],
            self.moments[moment],
            None if self.waits is None or (self.waits[line] == OPEN).all() else self.waits[line],
            None if self.stopped is None or not self.stopped[line].any() else self.stopped[line],
            held_back=short if self.counts[own].sum() >= wanted else None,
            whole=None if found >= least else short if wanted < least else below,
        )
