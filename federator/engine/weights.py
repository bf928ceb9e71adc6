"""By which weights a tier's replicas are divided over its clusters. Whole numbers, so that shares compare exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from federator.documents.expressions import cluster_variables, workload_variables
from federator.documents.policy import WEIGHT_BY
from federator.engine.arrays import Array
from federator.engine.constraints import condition, likeness
from federator.engine.division import WEIGHT_MAX
from federator.engine.federation import Federation
from federator.engine.governing import BY_RULE, Rule
from federator.engine.prices import MOST
from federator.engine.shapes import Shape
from federator.model.cluster import Cluster
from federator.model.resources import Resources
from federator.model.workload import Workload

CHEAPEST = 1_000_000
"""The weight of the cheapest (or cleanest) cluster; one that costs twice as much weighs half of it."""

Asked = Sequence[tuple[Resources, Shape, int]]
"""What is asked for together: the requests and the shape of a replica, and how many such replicas."""


def by_rule(federation: Federation, weight_by: str, workload: Workload, asked: Asked, at: Array) -> Array:
    """The weights of the clusters ``at`` by a cost or an expression."""
    if weight_by in COSTS:
        costs = np.maximum(COSTS[weight_by](federation, asked)[at], 1)
        weights: Array = np.maximum(CHEAPEST * costs.min(initial=MOST) // costs, 1)
        return weights
    return by_expression(federation, weight_by, workload)[at]


def by_expression(federation: Federation, source: str, workload: Workload) -> Array:
    """The value of an expression for every cluster; asked once for all workloads that are alike to it.

    What reads no workload is asked once for each cluster, and what reads no cluster once for each kind of workload.
    """
    return federation.once(("weights", source, likeness(workload, source)), lambda: _ask(federation, source, workload))


def _ask(federation: Federation, source: str, workload: Workload) -> Array:
    expression = condition(source)
    shared = workload_variables(workload) if "workload" in expression.reads else {}
    clusters = federation.clusters if "cluster" in expression.reads else federation.clusters[:1]
    numbers = [expression.number({**shared, **cluster_variables(cluster)})[0] for cluster in clusters]
    weights = np.array([min(max(0, number or 0), WEIGHT_MAX) for number in numbers], dtype=np.int64)
    return weights if "cluster" in expression.reads else np.resize(weights, len(federation.names))


@dataclass(frozen=True, slots=True)
class NoNumber:
    """Why an expression gives a cluster no weight for a workload; asked when the words are read."""

    source: str
    workload: Workload
    cluster: Cluster

    def __str__(self) -> str:
        values = {**workload_variables(self.workload), **cluster_variables(self.cluster)}
        number, why = condition(self.source).number(values)
        if number is None:
            return f" (weightBy {self.source}: {why})"
        return f" (weightBy {self.source} gives {number})" if number <= 0 else ""


def why_none(rule: Rule, workload: Workload, cluster: Cluster, at: int) -> NoNumber | str:
    """Why a cluster has no weight, where an expression weighs it; else nothing."""
    source = rule.tiers[rule.tier[at]].weight_by
    return "" if rule.weights[at] != BY_RULE or source in WEIGHT_BY else NoNumber(source, workload, cluster)


def price(federation: Federation, asked: Asked) -> Array:
    """What a replica of it costs for an hour on each cluster, in nano-units of money, on the nodes that it uses there
    first; the mean, where several roles are asked for."""
    prices, costs = federation.prices, np.zeros(len(federation.names), dtype=np.int64)
    for requests, shape, count in asked:
        costs += prices.first_choice(prices.money(requests), shape) * count
    return costs // max(1, sum(count for *_, count in asked))


def carbon(federation: Federation, asked: Asked) -> Array:
    """The carbon intensity of each cluster's energy, in mg of CO2 equivalent per kWh."""
    return federation.prices.intensity


COSTS: Mapping[str, Callable[[Federation, Asked], Array]] = {"price": price, "carbon": carbon}
