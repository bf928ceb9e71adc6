"""What comes of a workload's turn in the federation as it stands: decided here, recorded by the planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from federator.engine.allowance import Allowance
from federator.engine.arrays import Array, total
from federator.engine.contest import is_whole
from federator.engine.federation import Federation
from federator.engine.filling import UNWEIGHED
from federator.engine.gangs import InOneCluster, believed, by_heft
from federator.engine.kinds import Kinds
from federator.engine.matching import Matching
from federator.engine.opening import Clocks
from federator.engine.outcome import Outcome
from federator.engine.outlook import Outlook
from federator.engine.stay import settle
from federator.engine.tiers import Filling, fill, unweighed
from federator.engine.together import label_groups, place_together
from federator.engine.turn import Turn, nowhere
from federator.model.reasons import Reason, Verdict
from federator.model.workload import Role, Workload


class Placing:
    """Places workloads as far as there is room now. Takes none of it."""

    def __init__(
        self,
        federation: Federation,
        kinds: Kinds,
        allowance: Allowance,
        clocks: Clocks,
        grace_s: float,
    ) -> None:
        """``grace_s`` is the outage grace."""
        self._federation, self._kinds, self._allowance = federation, kinds, allowance
        self._clocks, self._grace_s = clocks, grace_s
        self.outlook: Outlook | Matching | None = None
        self.blocked_heads: dict[str, str] = {}
        """By queue the head that everybody behind it waits for."""
        self.hints: Mapping[str, int] = {}
        """By gang, the cluster that the search over all of them has found for it."""

    def place(self, workload: Workload) -> list[Outcome]:
        """The outcome for every role of a workload."""
        turns = [self.turn(workload, role) for role in workload.roles]
        if workload.queue in self.blocked_heads:
            return [self.wait_behind(turn) for turn in turns]
        if workload.gang is None and len(turns) == 1:
            return [self.alone(turns[0])]
        turns = by_heft(self._federation, [turn.look_everywhere() for turn in turns])
        refused = self._allowance.refuses(turns)
        if refused is not None:
            return [Outcome(turn, self._absent(turn), refused, bound=True) for turn in turns]
        self._allowance.keep_out(turns)
        if is_whole(workload):
            return self._in_one(self._search(turns, self.hints.get(workload.name)))
        label = workload.gang.label if workload.gang is not None and workload.gang.scope == "label" else ""
        return self._over_several(turns, label)

    def turn(self, workload: Workload, role: Role, *, spent: Array | None = None, held: Array | None = None) -> Turn:
        """The turn of a role after so many replicas of its workload's other roles on each cluster (``spent``).

        ``held`` replaces what the clusters hold of it, where a part of it has been placed already.
        """
        federation = self._federation
        rule = federation.governing.rule(workload)
        known = self.outlook.crowd.known.get(workload.name) if self.outlook is not None else None
        if known is not None:
            eligibility, kind = known.eligibility, known.kind
        else:
            eligibility = federation.feasibility.of(workload, role, rule, federation.excluded(workload.name))
            kind = self._kinds.of(workload, rule, eligibility)
        replaced = rule.policy.replicas if len(workload.roles) == 1 else None
        wanted = role.replicas if replaced is None else replaced
        held = federation.held(workload.name, role.name) if held is None else held
        aims = None
        if self.outlook is not None and kind.by_foresight:
            aims = self.outlook.aim(federation, workload.name, rule.maxima, held, wanted - total(held))
        turn = Turn(
            federation=federation,
            workload=workload,
            role=role,
            rule=rule,
            wanted=wanted,
            eligibility=eligibility,
            kind=kind,
            held=held,
            minima=rule.minima if spent is None else np.maximum(rule.minima - spent, 0),
            maxima=rule.maxima if spent is None else np.maximum(rule.maxima - spent, 0),
            aims=aims,
        )
        self._allowance.admit(turn)
        return turn

    def alone(self, turn: Turn) -> Outcome:
        """Replicas that start one by one; but a workload that holds nothing starts with its minReplicas at least."""
        filling = self._settle(turn)
        needed, found = min(turn.workload.min_replicas, turn.wanted), filling.total
        if found >= needed or turn.holds:
            return Outcome(turn, filling)
        filling.placed[:] = 0
        below = Verdict(Reason.BELOW_MIN_REPLICAS, {"needed": needed, "room": found})
        return Outcome(turn, filling, turn.held_back if turn.admitted < needed else below)

    def beside(self, turn: Turn, firm: Array) -> Outcome:
        """So much of what it holds stays where it is (``firm``, by cluster), and more starts beside it."""
        return Outcome(turn, self._fill(turn, firm, False))

    def wait_behind(self, turn: Turn) -> Outcome:
        """What it holds stays, nothing new starts, because the head of its queue waits."""
        closed = replace(turn)
        closed.keep_to(nowhere(self._federation))
        filling = replace(self._fill(closed, turn.held, False), full=())
        filling.weights[:] = UNWEIGHED
        queue = turn.workload.queue
        head = {"head": self.blocked_heads[queue], "queue": queue}
        return Outcome(turn, filling, Verdict(Reason.BEHIND_BLOCKED_HEAD, head))

    def in_one_cluster(self, workload: Workload, hint: int | None) -> InOneCluster | None:
        """The search for the one cluster of a whole workload as things stand now; None where it may not start."""
        turns = [self.turn(workload, role).look_everywhere() for role in workload.roles]
        if self._allowance.refuses(turns) is not None:
            return None
        self._allowance.keep_out(turns)
        return self._search(by_heft(self._federation, turns), hint)

    def then(
        self, workload: Workload, federation: Federation, clocks: Clocks, begun: Array | None, ended: Array | None
    ) -> Sequence[Outcome]:
        """What would be done with a workload in the federation as it will be (see ``searching.Place``)."""
        later = copy(self)
        later._federation, later._clocks, later.outlook, later.blocked_heads = federation, clocks, None, {}
        if begun is None or ended is None:
            return later.place(workload)
        turn = later.turn(workload, workload.roles[0], held=begun - ended)
        turn.wanted -= total(ended)
        turn.admit(turn.wanted)
        return [later.beside(turn, turn.held)]

    def _fill(self, turn: Turn, firm: Array, afresh: bool) -> Filling:
        federation, clocks, grace_s = self._federation, self._clocks, self._grace_s
        return self._allowance.within(turn, lambda: fill(federation, turn, firm, afresh, clocks, grace_s))

    def _settle(self, turn: Turn) -> Filling:
        return settle(self._federation, turn, lambda firm, afresh: self._fill(turn, firm, afresh))

    def _search(self, turns: list[Turn], hint: int | None) -> InOneCluster:
        return InOneCluster(self._federation, turns, self._clocks, self._grace_s, hint)

    def _in_one(self, search: InOneCluster) -> list[Outcome]:
        fillings = search.place()
        verdict = Verdict(Reason.GANG_DOES_NOT_FIT, {"needed": search.total})
        return [
            Outcome(turn, filling, verdict, search.fits, together=search.total, bound=True)
            for turn, filling in zip(search.turns, fillings, strict=True)
        ]

    def _over_several(self, turns: list[Turn], label: str) -> list[Outcome]:
        """A gang over several clusters: all of it by the usual division, or nothing new at all."""
        federation, workload = self._federation, turns[0].workload
        roles = [turn.role for turn in turns]
        fillings: list[Filling] | None = None
        for only in label_groups(federation, label, turns) if label else [None]:
            fillings = place_together(
                federation,
                self._allowance,
                roles,
                lambda role, spent: self.turn(workload, role, spent=spent),
                self._settle,
                only,
            )
            if fillings is not None:
                break
        fits = sum(np.minimum(turn.wanted, turn.held + turn.room.more + turn.room.extra) for turn in turns)
        verdict = Verdict(Reason.GANG_DOES_NOT_FIT, {"needed": sum(turn.wanted for turn in turns)})
        absent = [self._absent(turn) for turn in turns]
        return [
            Outcome(turn, filling, verdict, fits, bound=True)
            for turn, filling in zip(turns, fillings or absent, strict=True)
        ]

    def _absent(self, turn: Turn) -> Filling:
        """No replica of a gang; but what a silent cluster holds is believed to run there."""
        held = believed(turn.held * self._federation.silent, turn.wanted)
        return unweighed(held)
