"""What part of the whole each may have, by weight and by what it asks for. Exact fractions; Armada's three shares.

``weights`` and ``demands`` are by name. A demand is a part of the whole, and may be above 1. Those of weight 0 share
what nobody else asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

Parts = dict[str, Fraction]


def fair(weights: Mapping[str, int]) -> Parts:
    """By weight alone."""
    return _by_weight(Fraction(1), weights, weights)


def demand_capped(weights: Mapping[str, int], demands: Mapping[str, Fraction]) -> Parts:
    """By weight, but nobody more than it asks for: what one leaves goes to the others by weight."""
    parts = dict.fromkeys(weights, Fraction(0))
    left = Fraction(1)
    for group in ([n for n in weights if weights[n]], [n for n in weights if not weights[n]]):
        heavy = {name: weights[name] or 1 for name in group}
        open_weight = sum(heavy.values())
        for name in sorted(group, key=lambda n: (demands[n] / heavy[n], n)):
            parts[name] = min(demands[name], left * heavy[name] / open_weight)
            left -= parts[name]
            open_weight -= heavy[name]
    return parts


def uncapped(weights: Mapping[str, int], demands: Mapping[str, Fraction]) -> Parts:
    """What each would get if it asked for everything: its fair part, and of what others leave its part by weight.

    The whole is handed out by weight; what goes beyond a demand is handed out again, and so on. One whose demand is
    met goes on being counted, beside those that still ask, but what it left itself does not come back to it.
    """
    met, asking = dict.fromkeys(weights, Fraction(0)), sorted(weights)
    parts, spare = dict(met), {"": Fraction(1)}
    while any(spare.values()):
        whole = sum(spare.values(), Fraction(0))
        given = _by_weight(whole, weights, asking)
        for name in weights:
            others = whole - spare.get(name, 0)
            beside = given if name in given else _by_weight(others, weights, [*asking, name])
            parts[name] += beside[name]
        spare = {}
        for name, part in given.items():
            met[name] += part
            if met[name] > demands[name]:
                spare[name], met[name] = met[name] - demands[name], demands[name]
        asking = [name for name in asking if name not in spare]
    return parts


def _by_weight(whole: Fraction, weights: Mapping[str, int], names: Iterable[str]) -> Parts:
    heavy = {name: weights[name] for name in names}
    if not any(heavy.values()):
        heavy = dict.fromkeys(heavy, 1)
    total = sum(heavy.values())
    return {name: whole * weight / total for name, weight in heavy.items()}
