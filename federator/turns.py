"""Turns for others on the event loop within work that takes long."""

from __future__ import annotations

import asyncio
import time

PIECE_S = 0.01
"""How long work may hold the event loop before others have their turn; the limit for all of it together is 50 ms."""


class Turns:
    """Lets others have their turn on the event loop within work that takes long.

    Ask ``due`` after each small piece and, if it says so, await ``rest``. Whoever rests must not rely on anything
    that others may change meanwhile: it holds ``state.writing``, or looks at it anew.
    """

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether the work has gone on for long enough."""
        return time.perf_counter() - self._since_s > PIECE_S

    async def rest(self) -> None:
        """Let everything that is due on the loop run once."""
        await asyncio.sleep(0)
        self._since_s = time.perf_counter()
