"""Two sets of policies on the same stories: each seed is told with both, so that what chance does is common to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t for 95% of both sides, by degrees of freedom from 1 on; beyond, as for a normal distribution."""
T_LARGE = 1.96

FIGURES: Mapping[str, tuple[str, ...]] = {
    "wait, mean (s)": ("wait_s", "mean"),
    "wait, 95% (s)": ("wait_s", "p95"),
    "bounded slowdown, mean": ("bounded_slowdown", "mean"),
    "finished jobs": ("jobs", "finished"),
    "makespan (s)": ("makespan_s",),
    "moves": ("moves",),
    "cost": ("cost",),
    "carbon (g)": ("carbon_g",),
    "fairness of queues": ("fairness_jain",),
}
"""What is compared: where it is in the document of a run."""
MORE_IS_BETTER = frozenset({"finished jobs", "fairness of queues"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure under A and under B, over all seeds; ``low`` and ``high`` bound the mean of B - A with 95% confidence
    (None: of one seed nothing can be said). ``a_better`` and ``b_better`` count seeds; of equals neither.
    """

    figure: str
    a: float
    b: float
    low: float | None
    high: float | None
    a_better: int
    b_better: int
    seeds: int


def compared(runs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[Difference]:
    """What differs between two documents of runs for each seed, figure by figure."""
    return [_difference(name, path, runs) for name, path in FIGURES.items()]


def _difference(
    name: str, path: Sequence[str], runs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> Difference:
    pairs = [(_at(a, path), _at(b, path)) for a, b in runs]
    differences = [b - a for a, b in pairs]
    better = [-d if name in MORE_IS_BETTER else d for d in differences]
    low, high = interval(differences)
    return Difference(
        name, fmean(a for a, _ in pairs), fmean(b for _, b in pairs), low, high,
        sum(d > 0 for d in better), sum(d < 0 for d in better), len(pairs),
    )  # fmt: skip


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The 95% confidence interval of their mean (Student's t); of one value there is none."""
    freedom = len(values) - 1
    if freedom < 1:
        return None, None
    reach = (T_95[freedom - 1] if freedom <= len(T_95) else T_LARGE) * stdev(values) / sqrt(len(values))
    return fmean(values) - reach, fmean(values) + reach


def _at(document: Mapping[str, Any], path: Sequence[str]) -> float:
    value: Any = document
    for key in path:
        value = value[key]
    return float(value)
