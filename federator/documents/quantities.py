"""Amounts as people write them, and back: quantities, durations, shares, rates and times.

Everything is exact: quantities are fractions until the resource tells the unit, shares are millionths. Every reader
raises ValueError whose text is ``what is wrong`` or ``what is wrong; the cure``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache

from federator.model.resources import CPU, Resources, is_bytes

BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
SECONDS = {unit: Fraction(n, 1000) for unit, n in {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}.items()}
SECONDS |= {"d": Fraction(86_400), "w": Fraction(604_800)}

MOST = 2**60
"""No amount of anything is larger, so that sums of a few of them stay within 64 bits."""
LONGEST_S = 100 * 366 * 86400
FULL_PPM = 1_000_000
MOST_CORES = 100_000_000
"""More cores in one place are a slip of the unit (`cpu: 10Gi`)."""

_QUANTITY = re.compile(r"([+-]?)(\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE]([+-]?\d{1,3})|([A-Za-z]*))")
_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d|w)")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,4})?)\s*%")


def parse_quantity(value: object) -> Fraction:
    """A Kubernetes quantity (``500m``, ``2Gi``, ``1e3``, 2, 0.5) as an exact number of units; never negative."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a quantity; write one such as 500m, 2 or 2Gi")
    amount = _quantity(str(value).strip())
    if amount < 0:
        raise ValueError(f"'{value}' is negative; the least is 0")
    if amount > MOST:
        raise ValueError(f"'{value}' is more than anything has; the most is 1Ei")
    return amount


@lru_cache(maxsize=4096)
def _quantity(text: str) -> Fraction:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(
            f"'{text}' is not a quantity; write a number with m, k, M, G, Ki, Mi, Gi ... or none behind it"
        )
    sign, digits, exponent, suffix = found.groups()
    number = Fraction(digits if digits[-1] != "." else digits[:-1])
    if exponent is not None:
        if abs(int(exponent)) > 40:
            raise ValueError(f"the exponent of '{text}' is out of range; write it with a suffix such as G or Gi")
        number *= Fraction(10) ** int(exponent)
    elif suffix in BINARY:
        number *= BINARY[suffix]
    elif suffix in DECIMAL:
        number *= Fraction(10) ** DECIMAL[suffix]
    else:
        raise ValueError(f"'{text}' has no known unit '{suffix}'; {_unit_cure(digits, suffix)}")
    return -number if sign == "-" else number


def _unit_cure(digits: str, suffix: str) -> str:
    """Bytes are the usual slip: GB, gb, GiB, K."""
    letter = suffix[:1]
    if letter.upper() in "KMGTPE" and suffix.upper().rstrip("B").rstrip("I") == letter.upper():
        return f"did you mean '{digits}{letter.upper()}i'?"
    return "units are n u m k M G T P E and Ki Mi Gi Ti Pi Ei"


def check_unit(resource: str, quantity: Fraction) -> None:
    """Refuse what only a slip of the unit explains. Raises ValueError: what is wrong; the cure."""
    written = format_quantity(quantity)
    if resource == CPU:
        if quantity > MOST_CORES:
            raise ValueError(f"{written} are more cores than there are; write 8 or 500m, and bytes under memory")
    elif is_bytes(resource):
        if 0 < quantity < 1:
            cure = f"did you mean '{written[:-1]}Mi'?" if written.endswith("m") else "write 512Mi or 2Gi"
            raise ValueError(f"{written} is less than a byte; {cure}")
    elif quantity.denominator != 1:
        raise ValueError(f"{written} is no whole number of pieces; write {math.ceil(quantity)}")


def amount_of(resource: str, quantity: Fraction) -> int:
    """The quantity in the whole units of the model (millicores, bytes, pieces), rounded up as Kubernetes does."""
    return math.ceil(quantity * 1000) if resource == CPU else math.ceil(quantity)


def resources_of(quantities: Mapping[str, Fraction]) -> Resources:
    """Quantities by resource as the model's amounts; zeros are dropped."""
    return Resources.of({name: amount_of(name, quantity) for name, quantity in quantities.items()})


def limits_of(quantities: Mapping[str, Fraction]) -> Resources:
    """As ``resources_of``, but a zero stays: a limit of nothing differs from no limit."""
    return Resources(tuple(sorted((name, amount_of(name, quantity)) for name, quantity in quantities.items())))


def format_quantity(quantity: Fraction) -> str:
    """The shortest usual way to write a quantity, exact to a billionth."""
    if quantity.denominator == 1:
        return _whole(int(quantity))
    for suffix, power in (("m", 3), ("u", 6), ("n", 9)):
        scaled = quantity * 10**power
        if scaled.denominator == 1:
            return f"{int(scaled)}{suffix}"
    return f"{math.ceil(quantity * 10**9)}n"


def format_amount(resource: str, amount: int) -> str:
    """An amount of the model as a quantity: ``500m`` cores, ``2Gi`` bytes, ``3`` pieces."""
    return format_quantity(Fraction(amount, 1000) if resource == CPU else Fraction(amount))


def format_resources(resources: Resources) -> dict[str, str]:
    """All amounts as quantities, by resource."""
    return {name: format_amount(name, amount) for name, amount in resources.items_}


def _whole(number: int) -> str:
    for suffix in reversed(BINARY):
        if number and number % BINARY[suffix] == 0:
            return f"{number // BINARY[suffix]}{suffix}"
    return str(number)


def natural_amount(resource: str, amount: int) -> float | int:
    """An amount in the unit people think in: cores as a fraction, bytes and pieces as whole numbers."""
    return amount / 1000 if resource == CPU else amount


def price_unit(resource: str) -> int:
    """How many units of the model a price in a document is for: bytes are priced by the GiB."""
    return 2**30 if is_bytes(resource) else 1


def parse_duration(value: object) -> float:
    """``90s``, ``30m``, ``1h30m``, ``7d``, ``50ms`` in seconds."""
    if not isinstance(value, str):
        cure = (
            f"write {value}s" if isinstance(value, int) and not isinstance(value, bool) else "write 90s, 30m, 2h or 7d"
        )
        raise ValueError(f"must be a duration with its unit; {cure}")
    return _duration(value.strip())


@lru_cache(maxsize=4096)
def _duration(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        cure = f"write {text}s" if text.isdigit() else "write 90s, 30m, 2h, 1h30m or 7d"
        raise ValueError(f"'{text}' is not a duration; {cure}")
    seconds = sum((Fraction(number) * SECONDS[unit] for number, unit in parts), Fraction(0))
    if seconds > LONGEST_S:
        raise ValueError(f"'{text}' is longer than 100 years; write less")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """The shortest usual way to write a duration, to the millisecond."""
    left = round(seconds * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        if left >= size:
            text += f"{left // size}{unit}"
            left %= size
    return text or "0s"


def parse_share(value: object) -> int:
    """``95%`` in millionths; 0% to 100%."""
    if not isinstance(value, str):
        cure = f"write {value:g}%" if isinstance(value, int | float) and not isinstance(value, bool) else "write 95%"
        raise ValueError(f"must be a share in per cent; {cure}")
    found = _SHARE.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"'{value}' is not a share; write 95%")
    ppm = Fraction(found[1]) * 10_000
    if ppm > FULL_PPM:
        raise ValueError(f"'{value}' is more than the whole; the most is 100%")
    return int(ppm)


def format_share(ppm: int) -> str:
    """Millionths as per cent."""
    return f"{ppm // 10_000}%" if ppm % 10_000 == 0 else f"{ppm / 10_000:.4f}".rstrip("0") + "%"


def parse_rate(value: object, before: str) -> tuple[str, float]:
    """``X/h`` or ``X/30m`` as what stands before the slash and the period in seconds; ``before`` is an example."""
    text = value.strip() if isinstance(value, str) else ""
    left, slash, period = text.partition("/")
    if not slash or not left.strip():
        raise ValueError(f"must be a rate; write {before}/h or {before}/30m")
    seconds = parse_duration(f"1{period.strip()}" if period.strip() in SECONDS else period)
    if seconds <= 0:
        raise ValueError(f"the period of '{text}' is zero; write {before}/h")
    return left.strip(), seconds


def format_period(seconds: float) -> str:
    """A period as it stands behind the slash of a rate: ``h`` for one hour, ``30m`` for thirty minutes."""
    names = {float(size): unit for unit, size in SECONDS.items()}
    return names.get(seconds) or format_duration(seconds)


def parse_time(value: object) -> float:
    """An RFC 3339 time with its zone (``2026-01-01T00:00:00Z``) in seconds since the epoch."""
    if not isinstance(value, str):
        raise ValueError("must be a time; write 2026-01-01T00:00:00Z")
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(f"'{value}' is not a time; write 2026-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError(f"'{value}' has no time zone; write {moment.isoformat()}Z")
    try:
        return moment.timestamp()
    except (OverflowError, ValueError):
        raise ValueError(f"'{value}' is out of range; write 2026-01-01T00:00:00Z") from None


def format_time(seconds: float) -> str:
    """Seconds since the epoch as an RFC 3339 time in UTC, to the microsecond."""
    return datetime.fromtimestamp(round(seconds, 6), UTC).isoformat().replace("+00:00", "Z")
