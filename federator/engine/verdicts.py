"""Why a refused replica is not on a cluster: found, numbered and worded only when somebody looks.

A plan for a full federation refuses hundreds of thousands of (replica, cluster) pairs, of which people read a few.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from federator.documents.quantities import format_amount
from federator.engine.arrays import Array
from federator.engine.feasibility import Eligibility
from federator.engine.governing import Rule
from federator.engine.limit_left import LimitLeft
from federator.engine.opening import Wait
from federator.engine.purse import Purse
from federator.engine.turn import CapLeft, Room
from federator.engine.weights import why_none
from federator.engine.whole_cores import taken
from federator.model.reasons import ByReason, Reason, Verdict, reasons_of
from federator.model.resources import Resources
from federator.model.workload import Workload


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts of resources that become words when they are read: ``2 cpu, 4Gi memory``."""

    amounts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        words = (f"{format_amount(name, amount)} {name}" for name, amount in self.amounts)
        return ", ".join(words) or "nothing"


@dataclass(frozen=True, slots=True)
class TierLimit:
    """A tier that stopped at its fillTo."""

    tier: str
    fill_to: str
    fill: str


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What stood when replicas were refused. Arrays by cluster; ``grown`` is what was added to what is held there.

    ``free`` is by resource. ``waits`` and ``at_fill`` are by the place of a tier. ``whole`` is why nothing is placed
    even where there is room (a gang or a minimum that does not fit, a blocked head), ``whole_room`` its number for
    each cluster, ``together`` how many replicas must be in one cluster. ``held_back`` is why no more was asked for
    though more is wanted, ``caps`` what the queue's limits on some clusters left, ``limits`` what limits by
    name did, ``purses`` what its budget did.
    """

    index: Mapping[str, int]
    workload: Workload
    rule: Rule
    requests: Resources
    eligibility: Eligibility
    room: Room
    placed: Array
    grown: Array
    minima: Array
    maxima: Array
    weights: Array
    free: Mapping[str, Array]
    tier: Array
    waits: Mapping[int, Wait] = field(default_factory=dict)
    at_fill: Mapping[int, TierLimit] = field(default_factory=dict)
    whole: Verdict | None = None
    whole_room: Array | None = None
    together: int = 0
    held_back: Verdict | None = None
    caps: Sequence[CapLeft] = ()
    limits: Sequence[LimitLeft] = ()
    purses: Sequence[Purse] = ()


def _hard(scene: Scene, at: int) -> Verdict | None:
    return scene.eligibility.verdict(at)


def _reported(scene: Scene, at: int) -> Verdict | None:
    detail = scene.room.reported.get(at)
    return Verdict(Reason.UNSCHEDULABLE, {"detail": detail}) if detail is not None else None


def _at_maximum(scene: Scene, at: int) -> Verdict | None:
    if max(int(scene.placed[at]) + 1, scene.together) <= scene.maxima[at]:
        return None
    return Verdict(Reason.AT_MAXIMUM, {"policy": scene.rule.policy.name, "maximum": int(scene.maxima[at])})


def _over_limit(scene: Scene, at: int) -> Verdict | None:
    limits = scene.room.limits
    if scene.room.limited is None or scene.room.limited[at] > scene.grown[at]:
        return None
    grown = int(scene.grown[at])
    left = {name: int(limits[name][at]) - grown * asked for name, asked in scene.requests.items_ if asked > 0}
    name = min(left, key=lambda name: (left[name] // scene.requests[name], name))
    needed = format_amount(name, scene.requests[name])
    return Verdict(Reason.OVER_LIMIT, {"resource": name, "left": format_amount(name, left[name]), "needed": needed})


def _kept(scene: Scene, at: int) -> Verdict | None:
    kept, needed = scene.room.kept.get(at), max(int(scene.grown[at]) + 1, scene.together)
    if kept is None or kept.passing >= needed:
        return None
    facts = {
        "workload": kept.reserved.workload,
        "at_s": kept.reserved.at // 1000,
        "cluster": scene.eligibility.clusters[at].name,
        "passing": kept.passing,
        "room": kept.room,
    }
    return Verdict(Reason.RESERVED_FOR_ANOTHER, facts)


def _coming(scene: Scene, at: int) -> Verdict | None:
    coming = scene.room.coming.get(at, 0)
    return Verdict(Reason.ROOM_IS_COMING, {"replicas": coming}) if coming else None


def _no_room(scene: Scene, at: int) -> Verdict | None:
    if scene.room.more[at] + scene.room.extra[at] > scene.grown[at]:
        return None
    needed = taken(scene.requests, scene.eligibility.clusters[at])
    free = tuple((name, int(amounts[at])) for name, amounts in scene.free.items() if name in needed)
    facts = {"needed": Amounts(needed.items_), "free": Amounts(free), "holds": int(scene.placed[at])}
    return Verdict(Reason.NO_ROOM, facts)


def _no_weight(scene: Scene, at: int) -> Verdict | None:
    if scene.weights[at] != 0:
        return None
    why = why_none(scene.rule, scene.workload, scene.eligibility.clusters[at], at)
    return Verdict(Reason.NO_WEIGHT, {"policy": scene.rule.policy.name, "minimum": int(scene.minima[at]), "why": why})


def _over_cap(scene: Scene, at: int) -> Verdict | None:
    for cap in scene.caps:
        left = cap.left - int(scene.grown[cap.members].sum())
        if at in cap.members and left < max(1, scene.together):
            return Verdict(
                Reason.OVER_CLUSTER_QUOTA, {"queue": scene.workload.queue, "left": left, "clusters": cap.pattern}
            )
    return None


def _limit_reached(scene: Scene, at: int) -> Verdict | None:
    verdicts = (one.reached(at, int(scene.grown[at])) for one in scene.limits)
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _over_budget(scene: Scene, at: int) -> Verdict | None:
    verdicts = (purse.over(at, scene.grown) for purse in scene.purses)
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _held_back(scene: Scene, at: int) -> Verdict | None:
    return scene.held_back


def _not_open(scene: Scene, at: int) -> Verdict | None:
    wait = scene.waits.get(int(scene.tier[at]))
    if wait is None:
        return None
    facts = {"tier": wait.tier, "open_after_s": int(wait.open_after_s), "for_s": int(wait.for_s)}
    return Verdict(Reason.TIER_NOT_OPEN, facts)


def _at_fill(scene: Scene, at: int) -> Verdict | None:
    limit = scene.at_fill.get(int(scene.tier[at]))
    if limit is None:
        return None
    return Verdict(Reason.TIER_FULL, {"tier": limit.tier, "fill_to": limit.fill_to, "fill": limit.fill})


def _whole(scene: Scene, at: int) -> Verdict | None:
    if scene.whole is None or scene.whole_room is None:
        return scene.whole
    return Verdict(scene.whole.reason, {**scene.whole.facts, "room": int(scene.whole_room[at])})


CHECKS: tuple[Callable[[Scene, int], Verdict | None], ...] = (
    _hard,
    _reported,
    _at_maximum,
    _over_limit,
    _over_cap,
    _kept,
    _limit_reached,
    _over_budget,
    _coming,
    _no_room,
    _no_weight,
    _held_back,
    _not_open,
    _at_fill,
    _whole,
)
"""In this order; the first that speaks is the reason."""


class Reasons(ByReason):
    """A verdict for every cluster of the federation, made when it is looked up."""

    __slots__ = ("_index", "_made")

    def __init__(self, index: Mapping[str, int]) -> None:
        """``index`` is by name the place of a cluster."""
        self._index = index
        self._made: dict[str, Verdict] = {}

    @abstractmethod
    def scene(self) -> Scene:
        """What stood."""

    def __getitem__(self, name: str) -> Verdict:
        if name not in self._made:
            self._made[name] = self.find(name) or Verdict(Reason.STAYS_ELSEWHERE, {"detail": "none may move now"})
        return self._made[name]

    def find(self, name: str) -> Verdict | None:
        """What keeps a replica off the cluster; None where nothing does (it got a place elsewhere)."""
        at, scene = self._index[name], self.scene()
        verdicts = (check(scene, at) for check in CHECKS)
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def by_reason(self) -> Mapping[Reason, Sequence[str]]:
        return reasons_of(self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    def __hash__(self) -> int:
        return hash(tuple(self._index))


class ReasonsNow(Reasons):
    """Those of a turn whose scene was kept."""

    __slots__ = ("_scene",)

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.index)
        self._scene = scene

    def scene(self) -> Scene:
        return self._scene
