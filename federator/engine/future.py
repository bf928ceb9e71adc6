"""The nodes as they will be: what is free on each once everything has ended that ends until then."""

from __future__ import annotations

from copy import copy

import numpy as np

from federator.engine.arrays import Array
from federator.engine.nodes import Nodes
from federator.engine.occupancy import AMOUNTS, BEGIN, COUNTED, END, TOGETHER
from federator.engine.rows import COUNT, FIRST, FREE, USE


class Future:
    """The nodes of one moment, cut into rows on which the same will be free at any time.

    Columns beyond those of the resources are kept as they are.
    """

    def __init__(self, nodes: Nodes, entries: Array) -> None:
        """``entries`` of ``Occupancy``, by their ends."""
        self.base = nodes
        self._resources = len(nodes.resources)
        dense, lots = nodes.dense()
        past = int((dense[:, FIRST] + dense[:, COUNT]).max(initial=0))
        begins, after = entries[:, BEGIN], entries[:, BEGIN] + entries[:, COUNTED]
        starts = np.unique(np.concatenate([dense[:, FIRST], begins, after[after < past]]))
        cover = np.searchsorted(dense[:, FIRST], starts, side="right") - 1
        self.dense, self.lots = dense[cover], lots[cover]
        self.dense[:, FIRST], self.dense[:, COUNT] = starts, np.diff(starts, append=past)
        self._entries = entries
        self._from, self._to = np.searchsorted(starts, begins), np.searchsorted(starts, after)
        self._given = _Given(self._from, self._to, entries[:, AMOUNTS:], len(starts))
        self._few: tuple[int, int] | None = None
        self.ends: Array = np.unique(entries[:, END])
        """When anything ends, each moment once."""

    def free(self, at: int) -> Array:
        """What is free then on each node of the rows ``dense``."""
        free: Array = self.dense[:, FREE : FREE + self._resources] + self._given.back(self.ended(at))
        return free

    def ended(self, at: int) -> int:
        """How many entries end until then."""
        if self._few is not None and at == self._few[0]:
            return self._few[1]
        return int(np.searchsorted(self._entries[:, END], at, side="right"))

    def steps(self, at: int) -> list[int]:
        """How many entries have ended before what ends at that moment, and after each workload of that."""
        first, last = self.ended(at - 1), self.ended(at)
        of = self._entries[first:last, TOGETHER]
        return [first, *(np.flatnonzero(of[1:] != of[:-1]) + first + 1).tolist(), last] if last > first else []

    def counting(self, at: int, ended: int) -> Future:
        """The same, with only so many entries gone at that moment, and what else ends at it right after it."""
        late = copy(self)
        late._few = at, ended
        return late

    def freed(self, at: int) -> Array:
        """What has been freed until then in all, by resource and cluster."""
        freed = np.zeros((len(self.base.first_lots) - 1, self._resources), dtype=np.int64)
        ended = self._entries[: self.ended(at)]
        homes = self.base.home[self.lots[self._from[: len(ended)]]]
        np.add.at(freed, homes, ended[:, AMOUNTS:] * ended[:, COUNTED, None])
        return freed.T

    def nodes(self, at: int) -> Nodes:
        """The nodes then, used as much as they are then."""
        dense = self.dense.copy()
        free = self.free(at)
        dense[:, FREE : FREE + self._resources] = free
        dense[:, USE] = self.base.use(free, self.lots)
        return self.base.with_rows(dense, self.lots)


class _Given:
    """What those give back that have ended, by row. From one question to the next only what lies between is added."""

    def __init__(self, begins: Array, ends: Array, amounts: Array, rows: int) -> None:
        """By entry, in the order in which they end: from which row to before which each node gets back how much."""
        self._begins, self._ends, self._amounts = begins, ends, amounts
        self._ended = 0
        self._changes = np.zeros((rows + 1, amounts.shape[1]), dtype=np.int64)
        """From each row to the next."""

    def back(self, ended: int) -> Array:
        """What has been given back to each node of every row once so many have ended."""
        some = slice(min(ended, self._ended), max(ended, self._ended))
        amounts = self._amounts[some] if ended > self._ended else -self._amounts[some]
        np.add.at(self._changes, self._begins[some], amounts)
        np.subtract.at(self._changes, self._ends[some], amounts)
        self._ended = ended
        found: Array = np.cumsum(self._changes, axis=0)[:-1]
        return found
