"""The latest known state of one kind of object, kept right whatever order news arrives in."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

# So many deleted objects are remembered, so that a late answer cannot bring one back.
GRAVES = 10_000


class Row(Protocol):
    """What a table needs to know of its rows. ``version`` is Kubernetes' resourceVersion."""

    @property
    def uid(self) -> str: ...

    @property
    def version(self) -> str: ...


R = TypeVar("R", bound=Row)


class Table(Generic[R]):
    """Rows by uid. Every change is told to ``moved(old, new)``.

    News comes from lists, from watches, and from the answers to our own writes; an answer may be older or newer than
    what a watch has already told.
    """

    def __init__(self, moved: Callable[[R | None, R | None], None]) -> None:
        self.rows: dict[str, R] = {}
        self._moved = moved
        self._graves: OrderedDict[str, None] = OrderedDict()

    def put(self, row: R) -> None:
        """Take in a state of an object, unless a newer one is known or it is known to be gone."""
        old = self.rows.get(row.uid)
        if row.uid in self._graves or (old is not None and _version(row) < _version(old)):
            return
        self.rows[row.uid] = row
        if row != old:
            self._moved(old, row)

    def drop(self, uid: str, last: R | None = None, *, buried: bool = True) -> None:
        """The object is gone (``last`` is how it was last), or, if not ``buried``, of no interest for now."""
        if buried:
            self._graves[uid] = None
            if len(self._graves) > GRAVES:
                self._graves.popitem(last=False)
        old = self.rows.pop(uid, None)
        if old is None:
            return
        if last is not None and last != old:
            self._moved(old, last)
            old = last
        self._moved(old, None)

    def replace(self, rows: Iterable[R], version: str) -> None:
        """Take in a complete list, as it was at ``version``; what we wrote after that is kept."""
        listed = {row.uid: row for row in rows}
        at = int(version) if version.isdecimal() else 0
        for uid, old in list(self.rows.items()):
            if uid not in listed and _version(old) <= at:
                self.drop(uid)
        for row in listed.values():
            self.put(row)


def _version(row: Row) -> int:
    """Versions are counters in every server there is; one that were not could not be compared at all."""
    return int(row.version) if row.version.isdecimal() else 0
