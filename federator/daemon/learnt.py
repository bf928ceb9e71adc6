"""What was learnt of how others use clusters, kept over restarts: each cluster by itself, once in a long while.

A week of one cluster is about a hundred kilobytes, and packed some. A crash forgets what was learnt since the last
write, an orderly end nothing.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import structlog

from federator.daemon.draft import Draft
from federator.daemon.state import Member, State
from federator.engine.use_history import KEPT, SLOT_S, Learnt, UseHistory
from federator.ports import Store

PREFIX = "learnt/"
"""Of the names among the store's values; the rest is the cluster's."""
AT_ONCE = 1
"""Clusters that are written in one cycle: packing one takes some milliseconds."""
LOG = structlog.get_logger(__name__)


class LearntKeeper:
    """Writes what clusters' histories know, each at its own time of the hour, and gives it back to who comes anew."""

    def __init__(self, state: State, store: Store, every_s: float) -> None:
        self._state, self._store, self._every_s = state, store, every_s
        self._stored: dict[str, Learnt] = {}
        """What the store had when the daemon began, of clusters that did not come yet."""
        self._slots: dict[str, int] = {}
        """By cluster, the last slot of what the store has."""
        self._due_s: dict[str, float] = {}

    def remember(self, values: Mapping[str, Any]) -> None:
        """Take what is stored. What cannot be read is learnt anew."""
        for name, value in values.items():
            if not name.startswith(PREFIX):
                continue
            cluster = name.removeprefix(PREFIX)
            try:
                self._stored[cluster] = learnt = of_value(value)
            except (ValueError, KeyError, TypeError, zlib.error) as error:
                LOG.warning("what was learnt of a cluster is learnt anew", cluster=cluster, detail=repr(error))
                self._slots[cluster] = -1
            else:
                self._slots[cluster] = learnt.slot

    def resume(self, member: Member) -> None:
        """Let a cluster that has just come go on from what was learnt of it before."""
        if (learnt := self._stored.pop(member.cluster.name, None)) is not None:
            member.history = UseHistory(member.ahead_s, learnt)

    async def keep_up(self, at_s: float) -> None:
        """Write some of what is due. Raises StoreUnavailable, and then it stays due."""
        due = [member for member in self._state.members.values() if self._is_due(member, at_s)][:AT_ONCE]
        gone = [name for name, slot in self._slots.items() if self._is_useless(name, slot, at_s)]
        if due or gone:
            await self._write(due, gone, at_s)

    async def keep_all(self, at_s: float) -> None:
        """Write all that is new, before an orderly end. Raises StoreUnavailable."""
        members = list(self._state.members.values())
        for first in range(0, len(members), AT_ONCE):
            await self._write(members[first : first + AT_ONCE], (), at_s)

    def _is_due(self, member: Member, at_s: float) -> bool:
        name = member.cluster.name
        due_s = self._due_s.setdefault(name, at_s + crc32(name.encode()) % max(1, int(self._every_s)))
        return at_s >= due_s

    def _is_useless(self, cluster: str, slot: int, at_s: float) -> bool:
        """Whether so much time has passed that nothing of it counts any more, as of a cluster that is gone for good."""
        return cluster not in self._state.members and slot < at_s // SLOT_S - KEPT

    async def _write(self, members: Sequence[Member], gone: Collection[str], at_s: float) -> None:
        async with self._state.writing:
            draft, slots = Draft(self._state, at_s), dict[str, int]()
            for member in members:
                name, learnt = member.cluster.name, member.history.learnt()
                if learnt is not None and learnt.slot != self._slots.get(name):
                    draft.values[PREFIX + name], slots[name] = as_value(learnt), learnt.slot
                self._due_s[name] = at_s + self._every_s
            draft.values |= {PREFIX + name: None for name in gone}
            try:
                await draft.commit(self._store)
            except BaseException:
                for member in members:
                    self._due_s[member.cluster.name] = at_s
                raise
        self._slots = {name: slot for name, slot in (self._slots | slots).items() if name not in gone}


def as_value(learnt: Learnt) -> dict[str, Any]:
    """What is stored: of each column by how much every slot differs from the one before it, packed."""
    steps = np.diff(learnt.rows, axis=0, prepend=0).T.astype("<i8")
    packed = base64.b64encode(zlib.compress(steps.tobytes(), 6)).decode("ascii")
    return {"names": list(learnt.names), "slot": learnt.slot, "slots": len(learnt.rows), "packed": packed}


def of_value(value: Mapping[str, Any]) -> Learnt:
    """What ``as_value`` made. Raises ValueError, KeyError, TypeError and zlib.error for anything else."""
    names = tuple(value["names"])
    steps = np.frombuffer(zlib.decompress(base64.b64decode(value["packed"], validate=True)), dtype="<i8")
    rows = steps.reshape(2 * len(names) + 1, int(value["slots"])).cumsum(axis=1).T.astype(np.int64)
    return Learnt(names, int(value["slot"]), rows)
