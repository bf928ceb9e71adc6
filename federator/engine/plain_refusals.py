"""Why plain turns were refused some: kept in a few bytes for each, put into words only when somebody looks.

A full federation with many kinds of work refuses most of them anew in every plan, and people read a few.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array
from federator.engine.federation import Federation
from federator.engine.filling import Times
from federator.engine.governing import Rule
from federator.engine.outcome import tier_limit
from federator.engine.past import Past
from federator.engine.plain_tables import (
    AT_MAXIMUM,
    CODE,
    HARD,
    NO_ROOM,
    NO_WEIGHT,
    NOT_OPEN,
    ROOM,
    SHORTAGE,
    STAYS,
    TIER_FULL,
    TOO_BIG,
    TOO_FEW,
    WEIGHTLESS,
    Marks,
)
from federator.engine.tiers import waits_of
from federator.engine.turn import Room
from federator.engine.verdicts import Reasons, Scene
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Workload

_MEANING: Mapping[int, Reason] = {
    STAYS: Reason.STAYS_ELSEWHERE,
    TOO_BIG: Reason.TOO_BIG,
    AT_MAXIMUM: Reason.AT_MAXIMUM,
    NO_ROOM: Reason.NO_ROOM,
    NO_WEIGHT: Reason.NO_WEIGHT,
    NOT_OPEN: Reason.TIER_NOT_OPEN,
    TIER_FULL: Reason.TIER_FULL,
}
"""Of a mark, where it means the same for every workload."""


@dataclass(slots=True, eq=False)
class Setting:
    """What all plain turns of one plan have in common, and the scene that was looked at last."""

    federation: Federation
    grace_s: float
    past: Past = field(default_factory=Past)
    scene: tuple[PlainReasons, Scene] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """A plain turn that was refused some. ``marks`` is by cluster (see ``plain_turns``), ``waits`` and ``stopped`` by
    tier (None: all were open, and none stopped at its fillTo), ``hard`` by cluster what keeps any such replica off.

    It got replicas ``at`` some clusters, so many (``counts``) on each. ``moment`` tells what was free. ``held_back``
    is why it may not have all that it wants, ``whole`` why nothing of it starts.
    """

    workload: Workload
    rule: Rule
    hard: Sequence[Reason | None]
    marks: Marks
    at: Array
    counts: Array
    moment: int
    waits: Times | None
    stopped: Array | None
    held_back: Verdict | None
    whole: Verdict | None


class PlainReasons(Reasons):
    """The reasons of one turn of a run, which tells by its number what it was refused."""

    __slots__ = ("_setting", "_tell", "_turn")

    def __init__(self, setting: Setting, tell: Callable[[int], Refused], turn: int) -> None:
        super().__init__(setting.federation.index)
        self._setting, self._tell, self._turn = setting, tell, turn

    def by_reason(self) -> Mapping[Reason, Sequence[str]]:
        one, names = self._tell(self._turn), self._setting.federation.names
        short = one.held_back or one.whole
        meaning: dict[int, Reason | None] = {**_MEANING, TOO_FEW: Reason.BELOW_MIN_REPLICAS}
        meaning[SHORTAGE] = short.reason if short is not None else None
        found: dict[Reason, list[str]] = {}
        for at, code in enumerate((one.marks & CODE).tolist()):
            reason = meaning[code] if code != HARD else one.hard[at]
            if reason is not None:
                found.setdefault(reason, []).append(names[at])
        return found

    def scene(self) -> Scene:
        known = self._setting.scene
        if known is None or known[0] is not self:
            known = self._setting.scene = self, self._scene()
        return known[1]

    def _scene(self) -> Scene:
        federation, one = self._setting.federation, self._tell(self._turn)
        role, rule = one.workload.roles[0], one.rule
        seen, placed = self._setting.past.at(one.moment), np.zeros(len(one.marks), dtype=np.int64)
        placed[one.at] = one.counts
        room = placed + (one.marks & ROOM != 0)
        nodes = federation.nodes
        free = {
            name: nodes.counted(seen, name, nodes.first_lots[:-1]) - placed * asked
            for name, asked in role.requests.items_
        }
        nothing, stopped = np.zeros_like(placed), () if one.stopped is None else one.stopped.nonzero()[0].tolist()
        return Scene(
            index=federation.index,
            workload=one.workload,
            rule=rule,
            requests=role.requests,
            eligibility=federation.feasibility.lay_out(one.workload, role, rule, ()),
            room=Room(room, nothing, None, {}, {}),
            placed=placed,
            grown=placed,
            minima=rule.minima,
            maxima=rule.maxima,
            weights=np.where(one.marks & WEIGHTLESS, nothing, 1),
            free={name: np.maximum(left, 0) for name, left in free.items()},
            tier=rule.tier,
            waits={} if one.waits is None else waits_of(rule, one.waits, self._setting.grace_s),
            at_fill={place: tier_limit(federation, rule, place, role.requests, seen) for place in stopped},
            whole=one.whole,
            held_back=one.held_back,
        )
