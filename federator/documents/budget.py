"""What a queue may spend, in documents: money, CO2, and what has been spent; their way into the model and back."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import model_validator

from federator.documents.fields import Duration, Part, Written, wrong
from federator.documents.quantities import format_duration
from federator.documents.written import Raw, said
from federator.model.budget import Budget, Cost

MOST_MICRO = 10**15
"""A thousand million units of money; sums of such amounts in nano-units stay within 64 bits."""
MOST_MG = 10**12
GRAMS = {"mg": Fraction(1, 1000), "g": Fraction(1), "kg": Fraction(1000), "t": Fraction(1_000_000)}

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,6})?")
_MASS = re.compile(rf"({_NUMBER.pattern})\s*(mg|g|kg|t)")


def parse_money(value: object) -> int:
    """``12.50`` in millionths of the unit in which prices are."""
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, str | int | float) or _NUMBER.fullmatch(text) is None:
        raise ValueError("must be an amount of money, to the millionth; write it like 1000 or 12.50")
    micro = int(Fraction(text) * 1_000_000)
    if micro > MOST_MICRO:
        raise ValueError(f"{text} is more than can be counted; the most is {MOST_MICRO // 1_000_000}")
    return micro


def format_money(micro: int) -> str:
    """Millionths as ``12.5``."""
    whole, rest = divmod(micro, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").rstrip(".")


def parse_mass(value: object) -> int:
    """``50kg``, ``800g``, ``2t`` in milligrams."""
    found = _MASS.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("must be a mass with its unit; write it like 50kg, 800g or 2t")
    milligrams = int(Fraction(found[1]) * GRAMS[found[2]] * 1000)
    if milligrams > MOST_MG:
        raise ValueError(f"'{found[0]}' is more than can be counted; the most is {MOST_MG // 10**9}t")
    return milligrams


def format_mass(milligrams: int) -> str:
    """Milligrams in the largest unit that they are at least one of: ``1.5kg``."""
    for unit in ("t", "kg", "g"):
        size = int(GRAMS[unit] * 1000)
        if milligrams >= size and milligrams * 1_000_000 % size == 0:
            return f"{format_money(milligrams * 1_000_000 // size)}{unit}"
    return f"{milligrams}mg" if milligrams else "0g"


Money = Annotated[int, Written("money", parse_money, format_money, "1000", "12.50", number=True)]
"""Millionths of the unit in which prices are."""
Mass = Annotated[int, Written("mass", parse_mass, format_mass, "50kg", "800g")]
"""Milligrams."""


class BudgetPart(Part):
    """What a queue may spend in each period."""

    period: Duration
    """How long it must last."""
    money: Money | None = None
    """In the unit in which clusters give their prices; left out: as much as it likes."""
    carbon: Mass | None = None
    """CO2 equivalent, as the `carbonIntensity` and `power` of clusters tell; left out: as much as it likes."""

    @model_validator(mode="after")
    def _it_bounds_something(self) -> BudgetPart:
        if self.period <= 0:
            raise wrong("the period is zero", "write how long the budget must last, such as 30d", ("period",))
        if self.money is None and self.carbon is None:
            raise wrong("bounds nothing", "give 'money', or 'carbon'", ("period",))
        return self


class SpentPart(Part):
    """What has been spent in the period that runs."""

    money: Money = 0
    """Of money."""
    carbon: Mass = 0
    """Of CO2 equivalent."""


def to_budget(part: BudgetPart | None) -> Budget | None:
    """The budget."""
    return None if part is None else Budget(part.period, part.money, part.carbon)


def to_cost(part: SpentPart) -> Cost:
    """What was spent."""
    return Cost(part.money, part.carbon)


def write_budget(budget: Budget | None) -> Raw:
    """The budget as a Queue document has it."""
    if budget is None:
        return {}
    return {"period": format_duration(budget.period_s), **_amounts(budget.money_micro, budget.carbon_mg)}


def write_cost(cost: Cost) -> Raw:
    """What was spent as a Queue document has it."""
    return said(_amounts(cost.money_micro or None, cost.carbon_mg or None))


def _amounts(money_micro: int | None, carbon_mg: int | None) -> dict[str, Any]:
    written = {
        "money": None if money_micro is None else format_money(money_micro),
        "carbon": None if carbon_mg is None else format_mass(carbon_mg),
    }
    return {key: value for key, value in written.items() if value is not None}
