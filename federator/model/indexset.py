"""Sets of replica indices, kept as ranges: 400,000 indices that run cost as much as the gaps between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IndexSet:
    """An immutable set of non-negative integers, as sorted, disjoint, non-adjacent half-open ranges.

    Written as Kubernetes writes the completed indices of a Job: ``0-5,8`` (both ends included).
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def of(indices: Iterable[int]) -> IndexSet:
        """The set of these indices."""
        return IndexSet.join((index, index + 1) for index in indices)

    @staticmethod
    def span(start: int, stop: int) -> IndexSet:
        """The indices start, start + 1, ... stop - 1."""
        return IndexSet(((start, stop),)) if stop > start else IndexSet()

    @staticmethod
    def join(ranges: Iterable[tuple[int, int]]) -> IndexSet:
        """The union of half-open ranges in any order."""
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(ranges):
            if stop <= start:
                continue
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((start, stop))
        return IndexSet(tuple(merged))

    @staticmethod
    def parse(text: str) -> IndexSet:
        """The set that ``str`` wrote; raises ValueError for anything else."""
        ranges: list[tuple[int, int]] = []
        for part in filter(None, text.split(",")):
            first, _, last = part.partition("-")
            ranges.append((int(first), int(last or first) + 1))
        return IndexSet.join(ranges)

    def __str__(self) -> str:
        return ",".join(f"{a}" if b == a + 1 else f"{a}-{b - 1}" for a, b in self.ranges)

    def __len__(self) -> int:
        total = 0
        for start, stop in self.ranges:
            total += stop - start
        return total

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __iter__(self) -> Iterator[int]:
        for start, stop in self.ranges:
            yield from range(start, stop)

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and any(start <= index < stop for start, stop in self.ranges)

    def __or__(self, other: IndexSet) -> IndexSet:
        if not other.ranges or not self.ranges:
            return self if self.ranges else other
        return IndexSet.join((*self.ranges, *other.ranges))

    def __sub__(self, other: IndexSet) -> IndexSet:
        if not other.ranges or not self.ranges:
            return self
        if self.ranges == other.ranges:
            return IndexSet()
        left: list[tuple[int, int]] = []
        for start, stop in self.ranges:
            at = start
            for cut_start, cut_stop in other.ranges:
                if cut_stop <= at or cut_start >= stop:
                    continue
                if cut_start > at:
                    left.append((at, cut_start))
                at = max(at, cut_stop)
            if at < stop:
                left.append((at, stop))
        return IndexSet(tuple(left))

    def __and__(self, other: IndexSet) -> IndexSet:
        return self if self.ranges == other.ranges else self - (self - other)

    def first(self, count: int) -> IndexSet:
        """The smallest ``count`` indices (all, where there are fewer)."""
        taken: list[tuple[int, int]] = []
        for start, stop in self.ranges:
            if count <= 0:
                break
            taken.append((start, min(stop, start + count)))
            count -= stop - start
        return IndexSet(tuple(taken))

    def last(self, count: int) -> IndexSet:
        """The largest ``count`` indices (all, where there are fewer)."""
        return self - self.first(len(self) - count) if count > 0 else IndexSet()
