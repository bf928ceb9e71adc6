"""Compiles the loops that every plan takes millions of times (numba); integers only, so every machine agrees.

Compiled code is kept beside the sources, or in the user's cache, and made anew when a source changes: any of them,
since it holds constants and functions of others (numba looks at its own file only). It gives up the interpreter's lock
while it runs, so planning in a thread leaves the event loop alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
T = TypeVar("T")


def drop_stale(folder: Path) -> None:
    """Forget what was compiled and kept beside these sources before the youngest of them was written."""
    youngest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    with suppress(OSError):  # nobody may write there: then nobody has written there since it was installed
        for index in folder.glob("__pycache__/*.nbi"):
            if index.stat().st_mtime < youngest:
                index.unlink(missing_ok=True)


drop_stale(Path(__file__).parent)


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """The same function as machine code, made at its first call; kept for the next process where a folder allows it."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the sources' folder nor the user's cache can be written
        made = numba.njit(nogil=True)(function)
    return cast(Callable[P, T], made)
