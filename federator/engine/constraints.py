"""Whether clusters and flavors satisfy selectors and expressions, each asked once in a plan."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from federator.documents.expressions import (
    Expression,
    cluster_variables,
    compile_expression,
    flavor_variables,
    workload_variables,
)
from federator.engine.arrays import Array, Mask
from federator.model.cluster import Cluster, Flavor
from federator.model.selectors import Constraint, Requirement, Selector
from federator.model.workload import Workload

VARIABLES = frozenset({"workload", "cluster", "flavor"})


def condition(source: str) -> Expression:
    """The compiled expression. Raises ExpressionError; documents are checked when they are read."""
    return compile_expression(source, VARIABLES)


def likeness(workload: Workload, *sources: str) -> Hashable:
    """What these expressions can read of a workload: those with equal likeness get equal answers.

    None where they read nothing of it. A name is unlike any other, so it counts only where one is spoken of.
    """
    reading = [source for source in sources if source and "workload" in condition(source).reads]
    if not reading:
        return None
    if any("name" in source for source in reading):
        return workload.name
    roles = tuple((role.requests, role.replicas) for role in workload.roles)
    labels = frozenset(workload.labels.items())
    return (workload.queue, labels, workload.priority, workload.lifetime, workload.duration_s, roles)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of one constraint: by cluster whether it ``holds``, and what it requires where it does not, worded when read.

    ``first`` is by cluster the place of the first of the ``requirements`` that fails there, and their number where
    none does; ``words`` is what the expression requires, where that alone fails.
    """

    holds: Mask
    requirements: Sequence[Requirement]
    first: Array
    words: Mapping[int, str] = field(default_factory=dict)

    def required(self, at: int) -> str | None:
        """What the constraint requires that the cluster has not, in words; None where it holds."""
        place = int(self.first[at])
        return str(self.requirements[place]) if place < len(self.requirements) else self.words.get(at)


class Constraints:
    """Answers per constraint, kept for one plan."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self._clusters = clusters
        self._variables = [cluster_variables(cluster) for cluster in clusters]
        self._answers: dict[tuple[Constraint, Hashable], Answers] = {}
        self._labels: dict[str, tuple[Array, Sequence[Mapping[str, str]]]] = {}
        """By label the different answers that clusters give (a label, or nothing), and the place of each cluster's."""

    def on_clusters(self, constraint: Constraint, workload: Workload) -> Answers:
        """The answer for every cluster."""
        key = (constraint, likeness(workload, constraint.where))
        if key not in self._answers:
            self._answers[key] = self._ask(constraint, workload)
        return self._answers[key]

    def _ask(self, constraint: Constraint, workload: Workload) -> Answers:
        requirements = constraint.selector.requirements
        first = self._first_failing(constraint.selector)
        holds: Mask = first == len(requirements)
        if not constraint.where:
            return Answers(holds, requirements, first)
        expression = condition(constraint.where)
        shared = workload_variables(workload) if "workload" in expression.reads else {}
        if expression.reads & {"cluster"}:
            asked = holds.nonzero()[0].tolist()
            found = {at: _required(expression, {**shared, **self._variables[at]}) for at in asked}
        else:  # one answer for all
            found = dict.fromkeys(holds.nonzero()[0].tolist(), _required(expression, shared))
        words = {at: required for at, required in found.items() if required is not None}
        holds[list(words)] = False
        return Answers(holds, requirements, first, words)

    def _first_failing(self, selector: Selector) -> Array:
        """By cluster the place of the first requirement that fails, and their number where none does."""
        first = np.full(len(self._clusters), len(selector.requirements), dtype=np.int64)
        for place, requirement in reversed([*enumerate(selector.requirements)]):
            places, values = self._values(requirement.key)
            fails = np.array([not requirement.matches(value) for value in values], dtype=bool)
            first[fails[places]] = place
        return first

    def _values(self, label: str) -> tuple[Array, Sequence[Mapping[str, str]]]:
        if label not in self._labels:
            of = [cluster.labels.get(label) for cluster in self._clusters]
            numbers = {value: number for number, value in enumerate(dict.fromkeys(of))}
            values = [{} if value is None else {label: value} for value in numbers]
            self._labels[label] = np.array([numbers[value] for value in of], dtype=np.int64), values
        return self._labels[label]


def flavor_requirement(constraint: Constraint, workload: Workload, cluster: Cluster, flavor: Flavor) -> str | None:
    """What a constraint on flavors requires that this one has not, in words; None if it holds."""
    failing = constraint.selector.failing(flavor.labels)
    if failing is not None:
        return str(failing)
    if not constraint.where:
        return None
    expression = condition(constraint.where)
    values = flavor_variables(flavor)
    if "cluster" in expression.reads:
        values |= cluster_variables(cluster)
    if "workload" in expression.reads:
        values |= workload_variables(workload)
    return _required(expression, values)


def _required(expression: Expression, values: dict[str, object]) -> str | None:
    holds, why = expression.holds(values)
    if holds:
        return None
    source = expression.source
    return source if why == f"{source} is false" else f"{source} ({why})"
