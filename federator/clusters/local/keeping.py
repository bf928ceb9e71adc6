"""The checkpoints of a supervisor's replicas. Standard library only; where none are kept, nothing of it is loaded."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from federator.clusters.local import layout
from federator.clusters.local.layout import Event
from federator.clusters.local.running import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from federator.keeper import Keeper

SOON_S = 0.05
"""When to look again at what is on its way."""


class Keeping:
    """One keeper for each replica of an intent that has one."""

    def __init__(self, directory: str, record: Callable[[Iterable[Event]], None]) -> None:
        self._directory = directory
        self._record = record
        self._keepers: dict[int, Keeper] = {}
        self._dropping: list[Keeper] = []
        self._errands: Mapping[str, Any] = {}

    def hear(self, errands: Mapping[str, Any]) -> None:
        """Where things are, by index; perhaps anew."""
        self._errands = errands
        for index, keeper in self._keepers.items():
            keeper.told = errands.get(str(index), keeper.told)

    def ready(self, index: int) -> bool:
        """Whether a replica can start: what was kept for it is there, or nothing is kept. Raises OSError."""
        told = self._errands.get(str(index))
        if told is None:
            return True
        if index not in self._keepers:
            from federator.keeper import Keeper

            folder = layout.checkpoint_path(self._directory, index)
            self._keepers[index] = Keeper(told, folder, lambda outcome, words: self._tell(index, outcome, words))
        return self._keepers[index].ready()

    def step(self, running: Mapping[int, Running], waiting: set[int]) -> None:
        """Put what is due of those that run; nothing more for those that neither run nor wait to."""
        for index, keeper in list(self._keepers.items()):
            if index in running:
                if running[index].status is None:
                    keeper.step()
            elif index not in waiting:
                keeper.break_off()
                del self._keepers[index]
        self._dropping = [keeper for keeper in self._dropping if not keeper.dropped()]

    def ended(self, running: Running) -> bool:
        """A replica has ended: whether what it had is kept, so that others may know. What is complete keeps nothing."""
        keeper = self._keepers.get(running.index)
        if keeper is None or running.complete:
            return True
        if not keeper.finish(running.kill_at):
            return False
        del self._keepers[running.index]
        return True

    def drop(self, indices: Iterable[int]) -> None:
        """These are complete, and that is written: leave nothing of theirs."""
        for index in indices:
            if (keeper := self._keepers.pop(index, None)) is not None:
                keeper.drop()
                self._dropping.append(keeper)

    def busy(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._dropping) or any(keeper.busy for keeper in self._keepers.values())

    def next_at(self) -> float:
        """When to look again, by the monotonic clock."""
        if self.busy():
            return time.monotonic() + SOON_S
        return min((keeper.due_at for keeper in self._keepers.values()), default=float("inf"))

    def _tell(self, index: int, outcome: str, words: str) -> None:
        if words:
            path = layout.log_path(self._directory, index)
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                with open(path, "a") as log:
                    log.write(f"federator: {words}\n")
        if outcome:
            self._record([{"event": "kept", "index": index, "outcome": outcome, "message": words}])
