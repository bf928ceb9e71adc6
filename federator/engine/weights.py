"""By which weights a tier's replicas are divided over its clusters. Whole numbers, so that shares compare exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np

from federator.documents.expressions import cluster_variables, workload_variables
from federator.engine.constraints import condition
from federator.engine.division import WEIGHT_MAX
from federator.engine.nodes import Array
from federator.model.cluster import Cluster
from federator.model.resources import CPU, Resources
from federator.model.workload import Workload

CHEAPEST = 1_000_000
"""The weight of the cheapest (or cleanest) cluster; one that costs twice as much weighs half of it."""


def by_rule(weight_by: str, workload: Workload, requests: Resources, clusters: list[Cluster], room: Array) -> Array:
    """The weights where none is written, for clusters with so much room (``clusters`` are read unless by room)."""
    if weight_by == "room":
        return np.minimum(room, WEIGHT_MAX)
    cost = COSTS.get(weight_by)
    if cost is not None:
        costs = [max(1, cost(cluster, requests)) for cluster in clusters]
        cheapest = min(costs, default=1)
        return np.array([max(1, CHEAPEST * cheapest // each) for each in costs], dtype=np.int64)
    expression = condition(weight_by)
    shared = workload_variables(workload)
    numbers = [expression.number({**shared, **cluster_variables(cluster)})[0] for cluster in clusters]
    return np.array([min(max(0, number or 0), WEIGHT_MAX) for number in numbers], dtype=np.int64)


def price(cluster: Cluster, requests: Resources) -> int:
    """What one replica costs there for an hour, in millionths of the unit of money; 0 where no price is given."""
    total = Fraction(0)
    for name, amount in requests.items_:
        total += Fraction(cluster.price.get(name, 0)) * Fraction(amount, 1000 if name == CPU else 1)
    return round(total)


def carbon(cluster: Cluster, requests: Resources) -> int:
    """The carbon intensity of its energy, in mg of CO2 equivalent per kWh."""
    return round(Fraction(cluster.carbon_g_per_kwh) * 1000)


COSTS: Mapping[str, Callable[[Cluster, Resources], int]] = {"price": price, "carbon": carbon}
