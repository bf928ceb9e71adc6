"""Decides where work should run: one snapshot in, one plan out.

No clock, no network, no randomness: the daemon, the simulator and ``federator plan`` all call ``plan``, so what was
simulated is what runs. Workloads are asked in the order of service; each takes its room at once, so the next one sees
the clusters as they will be. Room that a move or a withdrawal will free is given away only once it is free.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from federator.engine.federation import Federation
from federator.engine.governing import NO_MAXIMUM, Rule
from federator.engine.nodes import Array
from federator.engine.opening import Clocks
from federator.engine.order import in_order
from federator.engine.stay import settle
from federator.engine.tiers import Filler, Filling
from federator.engine.turn import Turn, measure
from federator.engine.verdicts import Reasons, Scene, TierLimit
from federator.model.plan import Move, Placement, Plan, Refusal, Snapshot, shape_key
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Role, Workload


def plan(snapshot: Snapshot, *, explain: Collection[str] = ()) -> Plan:
    """Give every replica of every workload a place, or a reason for every cluster.

    ``explain`` names workloads whose explanation the plan should carry; it changes nothing else.
    """
    return _Planner(snapshot).plan()


@dataclass(slots=True)
class _Answer:
    """What has been decided so far."""

    placements: list[Placement] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    full_tiers: set[tuple[str, str, str]] = field(default_factory=set)


class _Planner:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.federation = Federation(snapshot)
        self.queue = in_order(snapshot)
        self.clocks: Clocks = {(clock.policy, clock.tier, clock.shape): clock.since_s for clock in snapshot.clocks}
        self.answer = _Answer()

    def plan(self) -> Plan:
        self._bind_what_is_on_its_way()
        for workload in self.queue:
            self._place(workload)
        answer = self.answer
        return Plan(
            placements=tuple(sorted(answer.placements, key=lambda p: (p.workload, p.role, p.cluster))),
            refusals=tuple(sorted(answer.refusals, key=lambda r: (r.workload, r.role))),
            moves=tuple(sorted(answer.moves, key=lambda m: (m.workload, m.role, m.source, m.target))),
            full_tiers=frozenset(answer.full_tiers),
        )

    def _bind_what_is_on_its_way(self) -> None:
        federation = self.federation
        for workload in self.queue:
            for role in workload.roles:
                unbound = np.zeros(len(federation.names), dtype=np.int64)
                for holding in federation.holdings(workload.name, role.name):
                    unbound[federation.index[holding.cluster]] += min(holding.unbound, holding.replicas)
                if unbound.any():
                    rule = federation.governing.rule(workload)
                    federation.hold_unbound(federation.feasibility.of(workload, role, rule, ()), unbound)

    def _place(self, workload: Workload) -> None:
        rule = self.federation.governing.rule(workload)
        for role in workload.roles:
            turn = self._turn(workload, role, rule)
            filling = settle(self.federation, turn, self._filling(turn))
            whole = self._below_minimum(turn, filling)
            if whole is not None:
                filling.placed[:] = 0
            self._record(turn, filling, whole)

    def _turn(self, workload: Workload, role: Role, rule: Rule) -> Turn:
        federation = self.federation
        eligibility = federation.feasibility.of(workload, role, rule, federation.excluded(workload.name))
        replaced = rule.policy.replicas is not None and len(workload.roles) == 1
        return Turn(
            workload=workload,
            role=role,
            rule=rule,
            wanted=rule.policy.replicas if replaced and rule.policy.replicas is not None else role.replicas,
            eligibility=eligibility,
            room=measure(federation, eligibility),
            held=federation.held(workload.name, role.name),
            minima=rule.minima,
            maxima=rule.maxima,
        )

    def _filling(self, turn: Turn):  # type: ignore[no-untyped-def]
        def fill(firm: Array, afresh: bool) -> Filling:
            grace_s = self.snapshot.planning.outage_grace_s
            return Filler(self.federation, turn, firm, afresh, self.clocks, grace_s).fill()

        return fill

    def _below_minimum(self, turn: Turn, filling: Filling) -> Verdict | None:
        needed = min(turn.workload.min_replicas, turn.wanted)
        if turn.held.any() or filling.total >= needed:
            return None
        return Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": needed, "room": filling.total})

    def _record(self, turn: Turn, filling: Filling, whole: Verdict | None) -> None:
        placed, federation, policy = filling.placed, self.federation, turn.rule.policy
        workload, role = turn.workload.name, turn.role.name
        grown = np.maximum(placed - turn.held, 0)
        refused = turn.wanted - filling.total
        if refused > 0:
            scene = self._scene(turn, filling, grown, whole)
            self.answer.refusals.append(Refusal(workload, role, refused, Reasons(scene), policy.name))
        if grown.any():
            federation.take(turn.eligibility.shape, grown)
        tiers = [tier.name for tier in policy.tiers]
        for at in np.flatnonzero(placed):
            place = int(turn.rule.tier[at])
            tier = tiers[place] if place >= 0 else ""
            self.answer.placements.append(
                Placement(workload, role, federation.names[at], int(placed[at]), tier, policy.name)
            )
        self.answer.moves.extend(self._moves(turn, placed, grown))
        shape = shape_key(turn.workload)
        self.answer.full_tiers.update((policy.name, tiers[place], shape) for place in filling.full)

    def _moves(self, turn: Turn, placed: Array, grown: Array) -> list[Move]:
        """Pair the clusters that lose replicas with those that gain some, both by name."""
        lost = np.maximum(turn.held - placed, 0)
        if not lost.any() or not grown.any():
            return []
        names, moves = self.federation.names, []
        targets = [[int(at), int(grown[at])] for at in np.flatnonzero(grown)]
        for source in np.flatnonzero(lost):
            left = int(lost[source])
            while left > 0 and targets:
                target, room = targets[0]
                count = min(left, room)
                moves.append(Move(turn.workload.name, turn.role.name, names[source], names[target], count))
                left -= count
                targets[0][1] -= count
                if targets[0][1] == 0:
                    targets.pop(0)
        return moves

    def _scene(self, turn: Turn, filling: Filling, grown: Array, whole: Verdict | None) -> Scene:
        return Scene(
            index=self.federation.index,
            policy=turn.rule.policy.name,
            requests=turn.role.requests,
            eligibility=turn.eligibility,
            room=turn.room,
            placed=filling.placed,
            grown=grown,
            minima=turn.minima,
            maxima=turn.maxima,
            weights=filling.weights,
            free={name: self.federation.nodes.free_of(name) for name in turn.role.requests},
            tier=turn.rule.tier,
            waits=filling.waits,
            at_fill={
                place: TierLimit(turn.rule.tiers[place].name, "", "") for place in filling.at_fill
            },
            whole=whole,
        )


__all__ = ["NO_MAXIMUM", "plan"]
