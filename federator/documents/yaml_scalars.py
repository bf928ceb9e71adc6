"""What a YAML scalar without quotes means: as kubectl reads it, but that times stay text."""

from __future__ import annotations

import re
from typing import Any

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_INT = re.compile(r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0o?[0-7]*|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def plain(text: str) -> Any:
    """What a scalar without quotes means."""
    first = text[:1]
    if text in _NULLS:
        return None
    if first.isalpha():
        return True if text in _TRUE else False if text in _FALSE else text
    if first not in "-+.0123456789":
        return text
    if _INT.fullmatch(text):
        digits = text.replace("_", "").lower()
        if len(digits) > 40:
            raise ValueError("is a number of more than 40 digits")
        sign, bare = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
        base = 16 if bare.startswith("0x") else 2 if bare.startswith("0b") else 8 if bare.startswith("0") else 10
        return sign * int(bare.removeprefix("0x").removeprefix("0b").removeprefix("0o") or "0", base)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError("is a number that is too large")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number that can be used here")
    return text
