"""What policies with ``shadow: true`` would change, planned every so often."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor

from federator.daemon.decision import Decision
from federator.daemon.state import State
from federator.engine.shadows import shadow_difference
from federator.model.policy import Policy


class ShadowKeeper:
    """Keeps ``state.shadows``."""

    def __init__(self, state: State, planners: Executor, every_s: float) -> None:
        self._state = state
        self._planners = planners
        self._every_s = every_s
        self._looked_at: tuple[Policy, ...] = ()
        self._next_s = 0.0

    async def keep_up(self, decided: Decision) -> None:
        """Plan once more for each of them, where it is time to or they are others. The planner's thread does it."""
        policies, now_s = tuple(one for one in self._state.policies if one.shadow), decided.seen.at_s
        if policies == self._looked_at and (now_s < self._next_s or not policies):
            return
        loop = asyncio.get_running_loop()
        self._state.shadows = await loop.run_in_executor(self._planners, _differences, decided, policies)
        self._looked_at, self._next_s = policies, now_s + self._every_s


def _differences(decided: Decision, policies: Sequence[Policy]) -> dict[str, int]:
    return {one.name: shadow_difference(decided.seen, decided.made, one) for one in policies}
