"""Refusals that are known without asking: work that waits beside alike work for which there is no room.

They equal what the planner would find, and cost next to nothing. ``tests/properties`` equates plans with and without
them, and without what is known of work that runs as it should (``resting``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from federator.engine.federation import Federation
from federator.engine.outcome import Outcome
from federator.engine.turn import Turn
from federator.model.plan import Refusal
from federator.model.reasons import Verdict


class Shortcuts:
    """What one plan has found so far that holds again."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation
        self._refused: dict[Hashable, tuple[int, Mapping[str, Verdict]]] = {}

    def refusal(self, turn: Turn) -> Refusal | None:
        """The refusal of a role that is alike to one refused whole, while nobody has taken any room since."""
        if turn.holds:
            return None
        changes, reasons = self._refused.get(self._kind(turn), (-1, {}))
        if changes != self._federation.changes:
            return None
        return Refusal(turn.workload.name, turn.role.name, turn.wanted, reasons, turn.rule.policy.name)

    def remember(self, outcome: Outcome, reasons: Mapping[str, Verdict]) -> None:
        """Keep the reasons of a role that got nothing."""
        if not outcome.turn.holds and outcome.filling.total == 0:
            self._refused[self._kind(outcome.turn)] = self._federation.changes, reasons

    @staticmethod
    def _kind(turn: Turn) -> Hashable:
        """What the answer depends on. Kinds are made once: they are their own names."""
        workload, costs_by = turn.workload, turn.workload.duration_s if turn.purses else None
        least = min(workload.min_replicas, turn.wanted)
        crossed = turn.federation.crossed(workload)
        asked = turn.wanted, turn.admitted, least
        return id(turn.kind), workload.queue, asked, turn.role.limits, costs_by, crossed
