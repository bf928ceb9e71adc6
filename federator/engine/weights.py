"""By which weights a tier's replicas are divided over its clusters. Whole numbers, so that shares compare exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from federator.documents.expressions import cluster_variables, workload_variables
from federator.documents.quantities import price_unit
from federator.engine.arrays import Array
from federator.engine.constraints import condition
from federator.engine.division import WEIGHT_MAX
from federator.engine.federation import Federation
from federator.model.cluster import Cluster
from federator.model.resources import CPU, Resources, is_bytes
from federator.model.workload import Workload

CHEAPEST = 1_000_000
"""The weight of the cheapest (or cleanest) cluster; one that costs twice as much weighs half of it."""

_MOST = 2**40
"""The highest rate, in nano-units of money an hour: a thousand units for a core, and no overflow in what follows."""


def by_rule(federation: Federation, weight_by: str, workload: Workload, requests: Resources, at: Array) -> Array:
    """The weights of the clusters ``at`` by a cost or an expression."""
    if weight_by in COSTS:
        costs = np.maximum(COSTS[weight_by](federation, requests)[at], 1)
        weights: Array = np.maximum(CHEAPEST * costs.min(initial=_MOST) // costs, 1)
        return weights
    expression = condition(weight_by)
    shared = workload_variables(workload)
    clusters = (federation.clusters[one] for one in at)
    numbers = [expression.number({**shared, **cluster_variables(cluster)})[0] for cluster in clusters]
    return np.array([min(max(0, number or 0), WEIGHT_MAX) for number in numbers], dtype=np.int64)


def price(federation: Federation, requests: Resources) -> Array:
    """What one replica costs for an hour on each cluster, in nano-units of money; 0 where no price is given.

    Each resource by itself, rounded down: cores from millicores, GiB from whole MiB, everything else in pieces.
    """
    total = np.zeros(len(federation.names), dtype=np.int64)
    for name, amount in requests.items_:
        parts = 1000 if name == CPU else 1024 if is_bytes(name) else 1
        asked = min(amount >> 20 if is_bytes(name) else amount, 2**22)
        rates = federation.per_cluster(f"price of {name}", partial(_rate, name))
        total += rates * asked // parts
    return np.minimum(total, _MOST)


def _rate(name: str, cluster: Cluster) -> int:
    """Nano-units of money for a core, GiB or piece and hour."""
    return max(0, min(_MOST, round(cluster.price.get(name, 0.0) * price_unit(name) * 1000)))


def carbon(federation: Federation, requests: Resources) -> Array:
    """The carbon intensity of each cluster's energy, in mg of CO2 equivalent per kWh."""
    return federation.per_cluster("carbon", lambda cluster: min(_MOST, round(cluster.carbon_g_per_kwh * 1000)))


COSTS: Mapping[str, Callable[[Federation, Resources], Array]] = {"price": price, "carbon": carbon}
