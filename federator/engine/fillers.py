"""Fills last and yields first: what production leaves idle is given to fillers, node by node. Pure.

The plan of production is made first, as if there were no fillers: what they use counts as free. What is free after it,
less what each filler keeps free and up to its share, is laid out anew: what runs stays as far as it fits, then each
filler grows to its share by weight, then what is left goes to the heavier first.

What is on a node and finds no room on paper stays, and nothing starts beside it: production has come, or is on its way,
and the cluster by itself ends as much as that needs. To choose here as well would end others, beside those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from federator.engine.arrays import Array, Mask, total
from federator.engine.division import WEIGHT_MAX, divide
from federator.engine.feasibility import Eligibility
from federator.engine.federation import Federation
from federator.engine.holes import Holes, at_share, kept_free
from federator.engine.rows import FREE
from federator.engine.shapes import Shape
from federator.engine.verdicts import Amounts
from federator.engine.whole_cores import CORES, taken
from federator.engine.worth import Hole, worth
from federator.model.backfill import Filled, Filler, Kept
from federator.model.plan import Reservation, Snapshot
from federator.model.policy import FULL_PPM
from federator.model.reasons import Reason, Verdict
from federator.model.resources import CPU
from federator.model.workload import Role


@dataclass(slots=True, eq=False)
class _Turn:
    """One filler: what it holds of each cluster, what it is to have, and how much it may have at most."""

    filler: Filler
    role: Role
    eligibility: Eligibility
    shape: Shape
    held: Array
    bound: Array
    """How many of these are on a node."""
    stays: Mask
    """Where what runs may go on."""
    open: Mask
    """Where more may start."""
    most: Array
    """What its share of each cluster lets it have."""
    head_room: Array
    """By resource that it asks for and cluster, the three amounts of ``Kept``."""
    why: list[Verdict | None]
    placed: Array
    left_s: int | None
    """How long it is until quiet hours; None: there are none."""
    too_risky: dict[int, Verdict] = field(default_factory=dict)
    """Where no more of it is worth its start, and why."""
    alone: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """How many more would fit if it were the only filler."""
    kept_free: Array = field(init=False)
    """By resource that it asks for and cluster, what it leaves free."""

    def __post_init__(self) -> None:
        fixed, lately, at_most = (self.head_room[:, of] for of in range(3))
        self.kept_free = np.maximum(fixed, np.minimum(lately, at_most))

    @property
    def wanted(self) -> int:
        """How many may run at once."""
        limit = self.filler.workload.parallelism
        return self.role.replicas if limit is None else min(self.role.replicas, limit)


def fill_holes(
    federation: Federation, snapshot: Snapshot, began: Array, reservations: Sequence[Reservation]
) -> tuple[Filled, ...]:
    """What each filler should run, by name. ``federation``: after the plan of production, and as it was then it stays.

    ``began`` is what was free before it, by cluster and resource, on nodes that exist.
    """
    holes = Holes(federation, snapshot, reservations)
    dense, lots = federation.nodes.dense()
    now = dense[:, : FREE + began.shape[1]]  # reservations keep what will be free beside what is
    idle = federation.later(0, federation.nodes.with_rows(np.ascontiguousarray(now), lots), None, None)
    settling = (idle.nodes.sums[0] < began).any(axis=1)
    turns = [_turn(federation, idle, holes, filler) for filler in snapshot.fillers]
    turns.sort(key=lambda turn: (-turn.filler.weight, turn.filler.name))
    weights = sum((turn.filler.weight * turn.open for turn in turns), np.zeros(len(federation.names), dtype=np.int64))
    for turn in turns:
        turn.alone = _room(idle, turn)
    crowded = np.zeros(len(federation.names), dtype=bool)
    for turn in turns:
        crowded |= _keep(idle, turn, settling)
    for turn in turns:
        turn.open = turn.open & ~crowded
    for turn in sorted(turns, key=lambda turn: -turn.filler.loses_s):  # what is free longest for who loses most
        share = turn.alone * turn.filler.weight // np.maximum(weights, 1)
        _grow(idle, turn, share - turn.placed, turns)
    for turn in turns:
        _grow(idle, turn, turn.alone, turns)
    found = (
        Filled(turn.filler.name, _by_name(federation, turn.placed), _why(idle, turn), _kept(federation, turn))
        for turn in turns
    )
    return tuple(sorted(found, key=lambda one: one.workload))


def unfilled(snapshot: Snapshot, detail: str) -> tuple[Filled, ...]:
    """No filler runs anywhere, for this reason."""
    why = {cluster.name: Verdict(Reason.NOT_FILLED, {"detail": detail}) for cluster in snapshot.clusters}
    return tuple(Filled(filler.name, {}, why) for filler in sorted(snapshot.fillers, key=lambda one: one.name))


def _turn(federation: Federation, idle: Federation, holes: Holes, filler: Filler) -> _Turn:
    workload = filler.workload
    role = workload.roles[0]
    rule = federation.governing.ungoverned(workload)
    eligibility = federation.feasibility.of(workload, role, rule, federation.excluded(workload.name))
    shape = federation.nodes.only_existing(eligibility.shape)
    bars, waits = holes.bars(filler, shape), holes.waits(filler, role)
    barred = np.array([bar is not None for bar in bars], dtype=bool)
    passing = np.array([wait is not None for wait in waits], dtype=bool)
    offered = federation.once("backfill: offered", lambda: federation.nodes.offered(potential=False))
    asked = shape.asked.tolist()
    most = [_share(offered[:, at], filler.max_share) // amount for at, amount in asked]
    head_room = [
        np.array(
            [
                _share(offered[:, at], _shares_kept(federation, filler, at)),
                _used_lately(idle, filler, at),
                _share(offered[:, at], filler.idle_at_most),
            ]
        )
        * _is_kept(federation, at)
        for at, _ in asked
    ]
    held = federation.held(workload.name, role.name)
    return _Turn(
        filler=filler,
        role=role,
        eligibility=eligibility,
        shape=shape,
        held=held,
        bound=held - federation.held_unbound(workload.name, role.name),
        stays=eligibility.suits & ~barred & ~federation.draining,
        open=eligibility.open & ~barred & ~passing,
        most=np.minimum.reduce(most),
        head_room=np.array(head_room),
        why=[eligibility.verdict(at) or bars[at] or waits[at] for at in range(len(bars))],
        placed=held * (federation.silent & ~federation.lost),
        left_s=holes.left_s(filler),
    )


def _name(federation: Federation, resource: int) -> str:
    """What people call a resource of the tables."""
    name = federation.nodes.resources[resource]
    return CPU if name == CORES else name


def _is_kept(federation: Federation, resource: int) -> Mask:
    """By cluster, whether anything of a resource of the tables is kept free."""
    everywhere = np.ones(len(federation.names), dtype=bool)
    return federation.nodes.gives_whole_cores if federation.nodes.resources[resource] == CORES else everywhere


def _shares_kept(federation: Federation, filler: Filler, resource: int) -> Array:
    name = _name(federation, resource)
    return np.array([filler.kept_free(cluster, name) for cluster in federation.names], dtype=np.int64)


def _used_lately(idle: Federation, filler: Filler, resource: int) -> Array:
    """What others used of a resource not long ago, and do not use now nor are about to."""
    name, free = _name(idle, resource), idle.nodes.sums[0, :, resource]
    least = [cluster.idle.get(filler.idle_for_s) for cluster in idle.clusters]
    return np.array(
        [0 if one is None else max(0, now - one[name]) for now, one in zip(free.tolist(), least, strict=True)]
    )


def _share(amounts: Array, ppm: Array | int) -> Array:
    """A share in millionths of amounts, rounded down, without going beyond 64 bits."""
    found: Array = amounts // FULL_PPM * ppm + amounts % FULL_PPM * ppm // FULL_PPM
    return found


def _room(idle: Federation, turn: _Turn) -> Array:
    """How many more of it fit on each cluster that lets it start or go on."""
    room = idle.nodes.room(turn.shape)
    for kept, (at, amount) in zip(turn.kept_free, turn.shape.asked.tolist(), strict=True):
        room = np.minimum(room, np.maximum(idle.nodes.sums[0, :, at] - kept, 0) // amount)
    room = np.minimum(room, np.maximum(turn.most - turn.placed, 0))
    usable: Array = room * (turn.stays | turn.open)
    return usable


def _keep(idle: Federation, turn: _Turn, settling: Mask) -> Mask:
    """What runs stays where there is room, and what is on a node where that is short; where production is coming, the
    cluster says how much of it does. Returns where more stays than there is room for."""
    fits = np.minimum(turn.held, _room(idle, turn)) * turn.stays
    on_nodes = np.maximum(fits, _kept_on_nodes(idle, turn)) * turn.stays
    stays = np.where(idle.silent, turn.placed, np.where(settling, turn.held * turn.stays, on_nodes))
    if total(stays) > turn.wanted:
        none = np.zeros(len(stays), dtype=np.int64)
        stays = divide(turn.wanted, stays, none, none, stays)
    turn.placed = stays
    idle.take(turn.shape, np.minimum(stays, fits))
    crowded: Mask = (stays > fits) & ~settling & ~idle.silent
    return crowded


def _kept_on_nodes(idle: Federation, turn: _Turn) -> Array:
    """How many are on a node and stay there whatever room is left on paper: all, where even the sum of what is free is
    too little; else as many as share and head room let it have."""
    asked = turn.shape.asked.tolist()
    free = [np.maximum(idle.nodes.sums[0, :, at], 0) for at, _ in asked]
    in_all = np.minimum.reduce([have // amount for have, (_, amount) in zip(free, asked, strict=True)])
    beside = [np.maximum(have - kept, 0) for have, kept in zip(free, turn.kept_free, strict=True)]
    may = np.minimum.reduce([have // amount for have, (_, amount) in zip(beside, asked, strict=True)])
    room = idle.nodes.room(turn.shape)
    may = np.where(in_all < turn.bound, turn.bound, np.minimum(may, turn.most))
    found: Array = np.where(room < turn.bound, np.minimum(turn.bound, may), 0)
    return found


def _grow(idle: Federation, turn: _Turn, up_to: Array, turns: Sequence[_Turn]) -> None:
    """Let it start up to so many more on each cluster; where there are not so many tasks, by room."""
    more = np.minimum(_room(idle, turn), np.maximum(up_to, 0)) * turn.open
    more = np.array([_worth(idle, turn, at, count, turns) for at, count in enumerate(more.tolist())], dtype=np.int64)
    if total(more) > turn.wanted - total(turn.placed):
        none = np.zeros(len(more), dtype=np.int64)
        weights = np.minimum(more, WEIGHT_MAX)
        more = divide(turn.wanted - total(turn.placed), weights, none, none, more)
    if more.any():
        idle.take(turn.shape, more)
        turn.placed = turn.placed + more


def _worth(idle: Federation, turn: _Turn, at: int, more: int, turns: Sequence[_Turn]) -> int:
    """How many of so many more on a cluster are worth their start. Who loses less is driven out before it."""
    rises = idle.clusters[at].rises
    if not more or not rises:
        return more
    held = int(turn.placed[at])
    free = idle.nodes.sums[0, at].copy()
    for other in turns:
        if other is turn or other.filler.loses_s < turn.filler.loses_s:
            for resource, amount in other.shape.asked.tolist():
                free[resource] += amount * int(other.placed[at])
    resources, asked = turn.shape.asked[:, 0], turn.shape.asked[:, 1]
    names = tuple(_name(idle, resource) for resource in resources.tolist())
    found = worth(turn.filler, rises, Hole(names, free[resources], asked, turn.left_s), held + more)
    if found.replicas < held + more:
        turn.too_risky[at] = found.verdict(turn.filler)
    return max(0, found.replicas - held)


def _by_name(federation: Federation, placed: Array) -> Mapping[str, int]:
    return {federation.names[at]: int(placed[at]) for at in placed.nonzero()[0].tolist()}


def _kept(federation: Federation, turn: _Turn) -> Mapping[str, tuple[Kept, ...]]:
    """What it leaves free, of the clusters and resources where that is anything."""
    names = [federation.nodes.resources[at] for at in turn.shape.asked[:, 0].tolist()]
    kept, amounts = turn.kept_free, turn.head_room.tolist()
    return {
        federation.names[at]: tuple(
            Kept(name, *(amounts[row][of][at] for of in range(3)))
            for row, name in enumerate(names)
            if kept[row, at] and name != CORES
        )
        for at in kept.max(axis=0).nonzero()[0].tolist()
    }


def _why(idle: Federation, turn: _Turn) -> Mapping[str, Verdict]:
    """Why there is no more of it, for each cluster."""
    enough = total(turn.placed) >= turn.wanted
    found = {}
    for at, name in enumerate(idle.names):
        verdict = turn.why[at]
        if verdict is None and enough:
            verdict = Verdict(Reason.ALL_PLACED, {"wanted": turn.wanted})
        found[name] = verdict or _full(idle, turn, at)
    return found


def _full(idle: Federation, turn: _Turn, at: int) -> Verdict:
    """Which of its share, what it keeps free, and room is used up."""
    if turn.filler.max_share < FULL_PPM and turn.placed[at] >= turn.most[at]:
        return at_share(turn.filler)
    for kept, (resource, amount) in zip(turn.kept_free[:, at].tolist(), turn.shape.asked.tolist(), strict=True):
        free = int(idle.nodes.sums[0, at, resource])
        if kept and free - kept < amount:
            return kept_free(_name(idle, resource), free, kept)
    if at in turn.too_risky:
        return turn.too_risky[at]
    free_of_each = ((name, int(idle.nodes.free_of(name)[at])) for name in turn.role.requests)
    needed = taken(turn.role.requests, idle.clusters[at])
    facts = {"needed": Amounts(needed.items_), "free": Amounts(tuple(free_of_each))}
    return Verdict(Reason.NO_ROOM, {**facts, "holds": int(turn.placed[at])})
