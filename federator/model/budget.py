"""What the work of a queue may cost in a period, of money and of CO2, and what it has cost already."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of money in millionths of its unit, and of CO2 equivalent in milligrams."""

    money_micro: int = 0
    carbon_mg: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a queue may spend in each period; None: as much as it likes."""

    period_s: float
    money_micro: int | None = None
    carbon_mg: int | None = None


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent since a period began, finely enough to be added up: nano-units of money, micrograms of CO2."""

    began_s: float
    money_nano: int = 0
    carbon_ug: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a queue has spent in the period that runs."""

    queue: str
    cost: Cost = Cost()
