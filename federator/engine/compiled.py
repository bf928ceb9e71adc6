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
    return cast(Callable[P, T], _make(function, nogil=True))


def inner(function: Callable[P, T]) -> Callable[P, T]:
    """The same, for a function that only compiled ones call: without a way in from Python it is made faster."""
    return cast(Callable[P, T], _make(function, no_cpython_wrapper=True, no_cfunc_wrapper=True))


def _make(function: Callable[P, T], **options: bool) -> object:
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the sources' folder nor the user's cache can be written
        return numba.njit(**options)(function)
