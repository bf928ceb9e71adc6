"""What a queue has had lately: use that is forgotten by a half-life.

Fixed-point integers throughout, powers of one half included, so that every machine gets the same number.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import isqrt

from federator.model.policy import lately_per_unit
from federator.model.resources import Resources

BITS = 64
ONE = 1 << BITS


def lately(old: Mapping[str, int], use: Mapping[str, int], elapsed_s: float, half_life_s: float) -> Resources:
    """What a queue has had lately, ``elapsed_s`` after it was ``old``, having used ``use`` all that time.

    ``old`` and the answer are in billionths of a core, byte or piece (``QueueUsage.lately``), ``use`` in the units of
    ``Resources``. The answer nears ``use``: half of what it lacks within a half-life. Times count in milliseconds.
    """
    kept = kept_after(round(elapsed_s * 1000), round(half_life_s * 1000))
    names = sorted({*old, *use})
    return Resources.of(
        {name: mixed(old.get(name, 0), use.get(name, 0) * lately_per_unit(name), kept) for name in names}
    )


def mixed(old: int, use: int, kept: int) -> int:
    """``old`` by the part that is kept (of ONE), ``use`` by the rest; rounded to the nearest."""
    return (old * kept + use * (ONE - kept) + ONE // 2) >> BITS


@lru_cache(maxsize=1024)
def kept_after(elapsed_ms: int, half_life_ms: int) -> int:
    """0.5 to the power elapsed / half-life, times ONE. Nothing is kept where the half-life is zero."""
    if half_life_ms <= 0:
        return 0
    whole, rest = divmod(max(0, elapsed_ms), half_life_ms)
    if whole >= BITS:
        return 0
    kept = ONE
    fraction = (rest << BITS) // half_life_ms
    for at, root in enumerate(_roots(), start=1):
        if fraction >> (BITS - at) & 1:
            kept = kept * root >> BITS
    return kept >> whole


@lru_cache(maxsize=1)
def _roots() -> tuple[int, ...]:
    """0.5 to the power 1/2, 1/4, 1/8 ..., each the root of the one before it."""
    roots = [isqrt(ONE // 2 << BITS)]
    while len(roots) < BITS:
        roots.append(isqrt(roots[-1] << BITS))
    return tuple(roots)
