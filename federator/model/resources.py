"""Amounts of resources, in integers, so that what decides is exact.

Units: ``cpu`` in millicores; ``memory``, ``ephemeral-storage`` and ``hugepages-*`` in bytes;
every other resource in whole pieces. `docs/glossary.md` repeats them for operators.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from dataclasses import dataclass

CPU = "cpu"
MEMORY = "memory"
STORAGE = "ephemeral-storage"
GPU = "nvidia.com/gpu"


def is_bytes(resource: str) -> bool:
    """Whether amounts of this resource are bytes."""
    return resource in (MEMORY, STORAGE) or resource.startswith("hugepages-")


@dataclass(frozen=True, slots=True)
class Resources(Mapping[str, int]):
    """An amount of each of some resources; what is not named is zero.

    ``items_`` is sorted by name and holds no zero, so equal amounts are equal values with equal hashes.
    Build one with ``Resources.of``.
    """

    items_: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def of(amounts: Mapping[str, int] | Iterable[tuple[str, int]]) -> Resources:
        """The canonical value of these amounts; zeros are dropped."""
        pairs = amounts.items() if isinstance(amounts, Mapping) else amounts
        return Resources(tuple(sorted((name, amount) for name, amount in pairs if amount)))

    def __getitem__(self, name: str) -> int:
        for key, amount in self.items_:
            if key == name:
                return amount
        return 0

    def get(self, name: str, default: int = 0) -> int:  # type: ignore[override]
        """The amount of one resource, ``default`` where it is not named."""
        return self[name] or default

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.items_)

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.items_)

    def __len__(self) -> int:
        return len(self.items_)

    def items(self) -> ItemsView[str, int]:
        """As of any mapping (and many times quicker than by asking for each name)."""
        return dict(self.items_).items()

    def __add__(self, other: Resources) -> Resources:
        names = dict.fromkeys((*self, *other))
        return Resources.of({name: self[name] + other[name] for name in names})

    def __sub__(self, other: Resources) -> Resources:
        names = dict.fromkeys((*self, *other))
        return Resources.of({name: self[name] - other[name] for name in names})

    def __mul__(self, count: int) -> Resources:
        return Resources.of({name: amount * count for name, amount in self.items_})

    def floor(self) -> Resources:
        """The same without what is below zero (a node can be over-committed by others)."""
        return Resources.of({name: amount for name, amount in self.items_ if amount > 0})

    def fits_in(self, room: Resources) -> bool:
        """Whether this amount is there in ``room``, for every resource."""
        return all(amount <= room[name] for name, amount in self.items_)

    def count_in(self, room: Resources) -> int | None:
        """How often this amount is there in ``room``; None (without limit) for an empty amount."""
        counts = [room[name] // amount for name, amount in self.items_ if amount > 0]
        return max(0, min(counts)) if counts else None


def in_base_units(amounts: Mapping[str, int]) -> dict[str, float]:
    """Amounts as people and dashboards read them: cpu in cores, memory in bytes, everything else in pieces."""
    return {name: amount / 1000 if name == CPU else amount for name, amount in amounts.items()}
