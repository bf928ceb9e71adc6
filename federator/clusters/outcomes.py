"""What companions tell of checkpoints (``federator.telling``), counted: each once, however often it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog

from federator.model.checkpoints import OUTCOMES, TROUBLE
from federator.telling import MARK, WHY

LOG = structlog.get_logger(__name__)
MOST_TOLD = 1_000_000
"""No companion has kept more checkpoints of one replica."""


def uncounted(outcome: str, count: int) -> None:
    """Count nothing."""


class Outcomes:
    """What the companions of one cluster tell of checkpoints, each counted once.

    A companion tells sums, so it may be heard as often as one likes.
    """

    def __init__(self, cluster: str, kept: Callable[[str, int], None], *, before: bool = False) -> None:
        """``kept`` counts so many checkpoints by what became of them."""
        self._cluster = cluster
        self._kept = kept
        self._heard: dict[str, Mapping[str, int]] = {}
        self.before = before
        """Set while what is heard was told before this process began, and counted by the one before it."""

    def hear(self, replica: str, text: str) -> None:
        """What a companion says now; the latest of its lines in the text counts."""
        told, heard = told_in(text), self._heard.get(replica, {})
        more = {outcome: count - heard.get(outcome, 0) for outcome, count in told.items()}
        more = {outcome: count for outcome, count in more.items() if count > 0}
        self._heard[replica] = {**heard, **{outcome: told[outcome] for outcome in more}}
        if self.before:
            return
        for outcome, count in more.items():
            self._kept(outcome, count)
        if TROUBLE & more.keys():
            LOG.warning(_why(text), replica=replica, cluster=self._cluster)

    def forget(self, replica: str) -> None:
        """It is gone, and is not heard again."""
        self._heard.pop(replica, None)

    def only(self, replicas: Collection[str]) -> None:
        """No others are there."""
        self._heard = {replica: told for replica, told in self._heard.items() if replica in replicas}


def told_in(text: str) -> Mapping[str, int]:
    """How many checkpoints became what, by the latest line of a companion. A payload may write there too, so nothing is
    believed but counts of what there is."""
    told = _line(text)
    return {outcome: told[outcome] for outcome in OUTCOMES if _is_count(told.get(outcome))}


def without(text: str) -> str:
    """The text without the lines of companions."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(MARK)) if MARK in text else text


def _line(text: str) -> Mapping[str, Any]:
    _, mark, rest = text.rpartition(MARK)
    try:
        told = json.loads(rest.partition("\n")[0]) if mark else None
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MOST_TOLD


def _why(text: str) -> str:
    return str(_line(text).get("why") or "a checkpoint was not kept")[:WHY]
