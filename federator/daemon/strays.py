"""Checkpoints that nobody needs any more: what work that has left, or an attempt that was cut off, has kept. Pure.

What is to be removed is written in the transaction that lets go of the workload, so no crash forgets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from federator.model.checkpoints import Tried
from federator.model.indexset import IndexSet
from federator.model.records import WorkloadRecord

PREFIX = "strays/"
"""Of the names among the store's values; the rest is what the names of the objects begin with."""


@dataclass(frozen=True, slots=True)
class Strays:
    """What one workload has left below an address since a time: attempts, and the tasks of each."""

    url: str
    since_s: float
    tried: Tried

    def more(self, tried: Tried) -> Strays:
        """And these."""
        return replace(self, tried=_together((self.tried, tried)))

    def as_value(self) -> dict[str, Any]:
        """What is stored."""
        tried = {str(number): str(indices) for number, indices in self.tried.items()}
        return {"url": self.url, "since": self.since_s, "tried": tried}

    @staticmethod
    def of(value: Mapping[str, Any]) -> Strays:
        """What was stored."""
        tried = {int(number): IndexSet.parse(indices) for number, indices in value["tried"].items()}
        return Strays(value["url"], float(value["since"]), tried)


def of_leaving(record: WorkloadRecord) -> dict[int, IndexSet]:
    """What a workload leaves of which nothing is anywhere any more: all that was tried and not completed."""
    return _together(record.tried.values())


def of_completed(tried: Tried, complete: IndexSet) -> dict[int, IndexSet]:
    """What several attempts at a task may have left that is complete now. Whoever completes a task drops what it has
    kept, and what it found; another copy may have kept more since."""
    found = {number: both for number, indices in tried.items() if (both := indices & complete)}
    return found if len(found) > 1 else {}


def of_values(values: Mapping[str, Any]) -> dict[str, Strays]:
    """All that are stored, by what the names of their objects begin with."""
    return {name.removeprefix(PREFIX): Strays.of(v) for name, v in values.items() if name.startswith(PREFIX) and v}


def _together(all_tried: Iterable[Tried]) -> dict[int, IndexSet]:
    found: dict[int, IndexSet] = {}
    for tried in all_tried:
        for number, indices in tried.items():
            found[number] = found.get(number, IndexSet()) | indices
    return found
