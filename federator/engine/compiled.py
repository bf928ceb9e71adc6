"""Compiles the loops that every plan takes millions of times (numba); integers only, so every machine agrees.

Compiled code is kept beside the sources, or in the user's cache, and made anew when a source changes. It gives up the
interpreter's lock while it runs, so planning in a thread leaves the event loop alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
T = TypeVar("T")


def compiled(function: Callable[P, T]) -> Callable[P, T]:
    """The same function as machine code, made at its first call; kept for the next process where a folder allows it."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the sources' folder nor the user's cache can be written
        made = numba.njit(nogil=True)(function)
    return cast(Callable[P, T], made)
