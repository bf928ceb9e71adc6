"""Addresses of checkpoints in buckets are good for a while only: what runs is given new ones, in a file beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping

import structlog

from federator.clusters import companions
from federator.clusters.slurm.files import Files
from federator.clusters.slurm.jobs import ADDRESSES
from federator.clusters.slurm.ledger import Entry
from federator.clusters.slurm.merging import Seen
from federator.clusters.slurm.records import RUNNING
from federator.clusters.slurm.refusals import Unreachable
from federator.clusters.slurm.tracking import Tracker
from federator.model.checkpoints import RENEW_S, Sign, attempt
from federator.model.indexset import IndexSet
from federator.model.intent import Order
from federator.ports import OrderRefused

LOG = structlog.get_logger(__name__)
AGAIN_S = 30.0
"""After addresses could not be written."""


class Addresses:
    """Of one cluster."""

    def __init__(self, cluster: str, files: Files | None, sign: Sign) -> None:
        self._cluster = cluster
        self._files = files
        self._sign = sign
        self._next_s: dict[str, float] = {}
        """By intent, when its addresses are given anew."""

    def can_reach(self, order: Order) -> None:
        """Raises OrderRefused where addresses could not be given anew."""
        if self._files is None and companions.is_signed(order.attempt):
            words = "addresses in buckets are good for half an hour, and new ones cannot be brought to this cluster"
            cure = "give it mountedAt, or command, or keep checkpoints in a folder of the site or on a web server"
            raise OrderRefused("NoStore", f"{words}: {cure}", permanent=True)

    async def renew(self, tracker: Tracker, seen: Mapping[str, Seen], now_s: float) -> None:
        """Give new addresses to all that runs, where it is time. What cannot be written is tried again."""
        self._next_s = {intent: at_s for intent, at_s in self._next_s.items() if intent in seen}
        for intent, one in seen.items():
            entry = tracker.entry(intent)
            running = IndexSet.of(index for index, task in one.active.items() if task.phase == RUNNING)
            if entry is None or not running or now_s < self._next_s.get(intent, 0.0):
                continue
            self._next_s[intent] = now_s + await self._renew(entry, IndexSet.of(one.active), now_s)

    async def _renew(self, entry: Entry, active: IndexSet, now_s: float) -> float:
        """In how many seconds to look again."""
        known = attempt(entry.attempt)
        if self._files is None or known is None or not companions.is_signed(known):
            return RENEW_S
        try:
            text = json.dumps(companions.addresses(known, active, self._sign, now_s))
            await self._files.write(entry.intent, ADDRESSES, text)
        except (OSError, OrderRefused, Unreachable) as error:
            LOG.warning(
                "addresses of checkpoints were not renewed", intent=entry.intent, cluster=self._cluster, why=str(error)
            )
            return AGAIN_S
        return RENEW_S
