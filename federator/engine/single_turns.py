"""Plain turns that are taken one at a time, and leave nothing but what they placed: for simulations."""

from __future__ import annotations

import numpy as np

from federator.engine.families import Families, Tables
from federator.engine.federation import Federation
from federator.engine.plain import taken_of
from federator.engine.plain_answers import Entry, blank
from federator.engine.plain_tables import AMOUNTS, END, FAMILY, GO_ON, LEAST, LIKE, NO_LIKE, STOP_BEFORE, TIGHT, WANTED


class SingleTurns:
    """Those in one federation where nothing but room counts: no quotas, no clocks of tiers."""

    def __init__(self, federation: Federation, families: Families, grace_s: float) -> None:
        """``grace_s`` is the outage grace."""
        self._federation, self._families, self._grace_s = federation, families, grace_s
        self._stamps = np.full(1, -1, dtype=np.int64)
        self._tables: Tables | None = None

    def take(self, entry: Entry) -> list[list[int]]:
        """The clusters that get replicas (their numbers in the federation), and how many; their room is taken."""
        tables = self._families.tables
        if tables is not self._tables:
            self._begin(tables)
        line = self._line
        line[0, FAMILY], line[0, WANTED], line[0, LEAST] = entry.family, entry.wanted, entry.least
        line[0, AMOUNTS : AMOUNTS + len(entry.amounts)] = entry.amounts
        whole_or_not = STOP_BEFORE if entry.least >= entry.wanted else GO_ON
        taken, end = taken_of(
            self._federation, tables, line, self._full_s, self._grace_s, whole_or_not, self._stamps, self._answers
        )
        if end == TIGHT:
            self._federation.nodes.tidy()
        found: list[list[int]] = self._answers.lines[: self._answers.turns[0, END]].tolist() if taken else []
        return found

    def _begin(self, tables: Tables) -> None:
        """What turns are written into, which is the same for each."""
        clusters, places = len(self._federation.names), tables.tiers.shape[1]
        self._tables, self._full_s = tables, np.zeros((1, places))
        self._line = np.zeros((1, AMOUNTS + tables.resources.shape[1]), dtype=np.int64)
        self._line[0, WANTED], self._line[0, LIKE] = clusters, NO_LIKE
        self._answers = blank(self._line, clusters, places, self._federation.nodes.sums)
