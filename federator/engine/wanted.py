"""The placements of a plan, in columns: a large plan has hundreds of thousands, of which few are ever looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from operator import attrgetter
from typing import overload

from federator.engine.arrays import Array
from federator.engine.governing import Rule
from federator.engine.order import sorted_by
from federator.model.plan import Placement


class Column:
    """The placements of one role of a workload, in the order of cluster names."""

    __slots__ = ("_at", "_counts", "_names", "_rule", "role", "workload")

    def __init__(self, workload: str, role: str, rule: Rule, names: Sequence[str], at: Array, counts: Array) -> None:
        """``names`` are those of all clusters, ``at`` the clusters with replicas, ``counts`` how many they have."""
        self.workload, self.role = workload, role
        self._rule, self._names, self._at, self._counts = rule, names, at, counts

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[Placement]:
        tiers = [*(tier.name for tier in self._rule.tiers), ""]  # the last is picked by NO_TIER, which is -1
        columns = zip(
            repeat(self.workload),
            repeat(self.role),
            [self._names[one] for one in self._at.tolist()],
            self._counts.tolist(),
            [tiers[place] for place in self._rule.tier[self._at].tolist()],
            repeat(self._rule.policy.name),
            strict=False,  # what is repeated has no end
        )
        return map(tuple.__new__, repeat(Placement), columns)  # no frame for each


class Placements(Sequence[Placement]):
    """All placements, by workload, role and cluster; made one by one when they are read."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = sorted_by(columns, attrgetter("workload"), attrgetter("role"))

    def __len__(self) -> int:
        return sum(map(len, self._columns))

    def __iter__(self) -> Iterator[Placement]:
        return chain.from_iterable(self._columns)

    @overload
    def __getitem__(self, at: int) -> Placement: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Placement, ...]: ...

    def __getitem__(self, at: int | slice) -> Placement | tuple[Placement, ...]:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))
