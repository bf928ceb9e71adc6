"""The last part of the output of replicas that run, as far as somebody asked for it. In memory only."""

from __future__ import annotations

from collections import OrderedDict

KEPT_BYTES = 64 * 1024
"""Of one replica."""
REPLICAS = 1000
"""Whose output is kept; those not looked at for longest go first."""


class Tail:
    """A part of an output: bytes from ``start`` on."""

    def __init__(self) -> None:
        self.start = 0
        self.data = b""

    @property
    def end(self) -> int:
        """The byte after the last one that is known."""
        return self.start + len(self.data)

    def add(self, piece: bytes, start: int) -> None:
        """Add what comes next; a repeat adds nothing, and after a gap only the new part is kept."""
        if start > self.end or start + len(piece) < self.start:
            self.start, self.data = start, piece
        elif start + len(piece) > self.end:
            self.data += piece[self.end - start :]
        if len(self.data) > KEPT_BYTES:
            self.start, self.data = self.end - KEPT_BYTES, self.data[-KEPT_BYTES:]

    def after(self, at: int) -> bytes:
        """What is known from a byte on."""
        return self.data[max(0, at - self.start) :]


class Tails:
    """By lease."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, Tail] = OrderedDict()

    def of(self, lease: str) -> Tail:
        """The tail of a lease, from now on one of those kept."""
        tail = self._tails.setdefault(lease, Tail())
        self._tails.move_to_end(lease)
        while len(self._tails) > REPLICAS:
            self._tails.popitem(last=False)
        return tail

    def add(self, lease: str, text: str, start: int) -> None:
        """A piece of output came."""
        if text:
            self.of(lease).add(text.encode(), start)

    def finish(self, lease: str, text: str, start: int) -> None:
        """It has ended: its output is kept with its end, and here only by those who look at it now."""
        tail = self._tails.pop(lease, None)
        if tail is not None:
            tail.add(text.encode(), start)


def last_lines(data: bytes, count: int | None) -> bytes:
    """The last so many lines; all where None."""
    if count is None:
        return data
    lines = data.splitlines(keepends=True)
    return b"".join(lines[max(0, len(lines) - count) :])
