"""Where what a task has done is kept, so that it goes on elsewhere. Pure.

Every attempt at a task writes under a name of its own, so that one that was given up and lives on can never put what it
has in the place of what its successor kept. The number of an attempt is that of its intent, which only grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from federator.model.indexset import IndexSet

ABILITY = "checkpoints"
"""What a cluster must be able to do that takes work whose checkpoints are kept."""
SLOTS = 2
"""An attempt writes to these by turns: one that is written, or torn, leaves the one before whole."""
MOST_TRIED = 32
"""So many earlier attempts are looked at; each that keeps anything first drops what those before it kept."""

OUTCOMES = ("kept", "failed", "resumed", "damaged")
"""What becomes of checkpoints."""
TROUBLE = frozenset({"failed", "damaged"})
"""Outcomes that an operator should see."""

Tried = Mapping[int, IndexSet]
"""By attempt, the tasks it was given that are not complete."""
Json = Mapping[str, Any]
Sign = Callable[[str, str], str]
"""Makes an address of a place, for one method (GET, PUT or DELETE)."""
GOOD_FOR_S = 1800.0
"""How long a signed address is good."""
LONGEST_S = 7 * 86_400.0
"""The longest that buckets allow: for those to whom nobody can bring new ones."""
RENEW_S = 600.0
"""So often whoever carries is given new ones."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What a workload says of them: where they are kept, how often, and how large one may be before it is packed."""

    url: str
    every_s: float
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at some tasks of a workload: what it writes, and what was written before it.

    ``name`` is the workload's, unique for all time. ``tried`` are the attempts before it at any of its tasks.
    """

    kept: Checkpoints
    name: str
    number: int
    tried: tuple[tuple[int, IndexSet], ...] = ()

    @staticmethod
    def of(kept: Checkpoints, intent: str, indices: IndexSet, tried: Tried) -> Attempt:
        """The attempt that an intent is."""
        number = wave_of(intent)
        earlier = ((n, theirs & indices) for n, theirs in sorted(tried.items()) if n < number)
        return Attempt(kept, name_of(intent), number, tuple((n, theirs) for n, theirs in earlier if theirs))

    def at(self, index: int) -> Attempt:
        """As far as it is at one task."""
        tried = [(number, IndexSet.of((index,))) for number, indices in self.tried if index in indices]
        return replace(self, tried=tuple(tried[-MOST_TRIED:]))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "url": self.kept.url,
            "every_s": self.kept.every_s,
            "limit_bytes": self.kept.limit_bytes,
            "name": self.name,
            "number": self.number,
            "tried": [[number, str(indices)] for number, indices in self.tried],
        }


def attempt(value: Json | None) -> Attempt | None:
    """What ``Attempt.to_json`` wrote; None for None."""
    if value is None:
        return None
    kept = Checkpoints(value["url"], value["every_s"], value["limit_bytes"])
    tried = tuple((number, IndexSet.parse(indices)) for number, indices in value["tried"])
    return Attempt(kept, value["name"], value["number"], tried)


class NoStore(Exception):
    """A place that nobody here can reach; the words say which."""


def plain(method: str, place: str) -> str:
    """A place as an address. Raises NoStore for one that has to be signed."""
    if signed(place):
        raise NoStore(f"there are no credentials for {place}: name its store in checkpointStores of the Configuration")
    return place


def signed(place: str) -> bool:
    """Whether an address of it is signed, and good for a while only."""
    return place.startswith("s3:")


def errand(one: Attempt, index: int, sign: Sign = plain, *, again: bool = False) -> dict[str, Any]:
    """What whoever runs a task is told, as addresses: ``put`` (written by turns), ``get`` (what may be there, the
    newest first), ``drop`` (those of ``put``, then those of earlier attempts). ``again``: the attempt may be run a
    second time, which goes on from what the first has kept. Raises NoStore."""
    numbers = [number for number, indices in one.tried if index in indices][-MOST_TRIED:]
    own = [_place(one, index, one.number, slot) for slot in range(SLOTS)]
    earlier = [_place(one, index, number, slot) for number in reversed(numbers) for slot in range(SLOTS)]
    return {
        "everySeconds": one.kept.every_s,
        "limitBytes": one.kept.limit_bytes,
        "put": [sign("PUT", place) for place in own],
        "get": [sign("GET", place) for place in (own + earlier if again else earlier)],
        "drop": [sign("DELETE", place) for place in own + earlier],
    }


def _place(one: Attempt, index: int, number: int, slot: int) -> str:
    parts = urlsplit(one.kept.url)
    path = f"{parts.path.rstrip('/')}/{one.name}-{index}-{number}-{slot}"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def leftover(url: str, name: str, number: int, indices: IndexSet) -> Iterator[str]:
    """All places below an address in which an attempt at these tasks may have kept something."""
    one = Attempt(Checkpoints(url, 0.0, 0), name, number)
    return (_place(one, index, number, slot) for index in indices for slot in range(SLOTS))


def name_of(intent: str) -> str:
    """What the names of all that is kept for an intent's workload begin with."""
    return intent.rpartition("-")[0]


def wave_of(intent: str) -> int:
    """The number of the attempt that an intent is."""
    return int(intent.rpartition("-")[2])


def without(tried: Tried, complete: IndexSet) -> dict[int, IndexSet]:
    """Without tasks that are complete."""
    left = {number: indices - complete if indices & complete else indices for number, indices in tried.items()}
    return {number: indices for number, indices in left.items() if indices}
