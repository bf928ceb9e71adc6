"""Whether clusters and flavors satisfy selectors and expressions, each asked once in a plan."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from federator.documents.expressions import (
    Expression,
    cluster_variables,
    compile_expression,
    flavor_variables,
    workload_variables,
)
from federator.model.cluster import Cluster, Flavor
from federator.model.selectors import Constraint
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


class Constraints:
    """Answers per constraint, kept for one plan. None means that it holds, else it is what is required, in words."""

    def __init__(self, clusters: Sequence[Cluster]) -> None:
        self._clusters = clusters
        self._variables = [cluster_variables(cluster) for cluster in clusters]
        self._answers: dict[tuple[Constraint, Hashable], tuple[str | None, ...]] = {}

    def on_clusters(self, constraint: Constraint, workload: Workload) -> tuple[str | None, ...]:
        """The answer for every cluster."""
        key = (constraint, likeness(workload, constraint.where))
        if key not in self._answers:
            self._answers[key] = self._ask(constraint, workload)
        return self._answers[key]

    def _ask(self, constraint: Constraint, workload: Workload) -> tuple[str | None, ...]:
        failing = [constraint.selector.failing(cluster.labels) for cluster in self._clusters]
        answers = [None if requirement is None else str(requirement) for requirement in failing]
        if not constraint.where:
            return tuple(answers)
        expression = condition(constraint.where)
        shared = workload_variables(workload) if "workload" in expression.reads else {}
        if not expression.reads & {"cluster"}:  # one answer for all
            one = _required(expression, shared)
            return tuple(answer or one for answer in answers)
        both = zip(answers, self._variables, strict=True)
        return tuple(answer or _required(expression, {**shared, **own}) for answer, own in both)


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
