"""Expressions are checked when they are read, and never raise for data."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federator.documents import (
    ExpressionError,
    cluster_variables,
    compile_expression,
    flavor_variables,
    role_variables,
    workload_variables,
)
from federator.documents.expressions import FUNCTIONS, version_key
from federator.model.cluster import Cluster, Flavor
from federator.model.resources import Resources
from federator.model.workload import Role, Workload

ALL = frozenset({"workload", "cluster", "flavor"})
WORKLOAD = Workload(
    "w",
    (
        Role("a", 2, Resources.of({"cpu": 1500, "memory": 2**31})),
        Role("b", 1, Resources.of({"cpu": 500, "nvidia.com/gpu": 1})),
    ),
    labels={"experiment": "atlas"},
)
CLUSTER = Cluster("cern", {"cuda": "v12.10", "site": "on-prem"}, price={"memory": 4e3 / 2**30, "cpu": 1e4})
FLAVOR = Flavor("gpu", 1, Resources.of({"cpu": 64000}), (), labels={"gpu": "v100"})
VALUES = workload_variables(WORKLOAD) | cluster_variables(CLUSTER) | flavor_variables(FLAVOR)


@pytest.mark.parametrize(
    "source",
    [
        'version(cluster.labels.cuda) >= version("12.9")',
        'version("1.2.0") == version("v1.2")',
        'workload.requests["nvidia.com/gpu"] > 0',
        "workload.requests.cpu == 2.0 && workload.requests.cpu >= 2",
        'workload.requests.memory == quantity("2Gi")',
        "workload.replicas == 3",
        'workload.queue == "default" && workload.lifetime == "batch"',
        "!has(workload.duration_s)",
        "cluster.price.cpu == 0.01 && cluster.price.memory > 0.0039 && cluster.price.memory < 0.0041",
        "cluster.labels.exists(key, key.startsWith('cu'))",
        'flavor.labels.gpu in ["v100", "a100"] && flavor.allocatable.cpu == 64',
        "cluster.labels.site.matches('^on')",
    ],
)
def test_these_hold(source: str) -> None:
    assert compile_expression(source, ALL).holds(VALUES) == (True, "")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('workload.requests["google.com/tpu"] > 0', "there is no 'google.com/tpu'"),
        ("cluster.labels.region == 'ch'", "there is no 'region'"),
        ("workload.duration_s < 3600", "there is no 'duration_s'"),
        ("cluster.labels.cuda > 12", "No such overload"),
        ("workload.replicas", "a number, not true or false"),
        ("cluster.name == 'x'", "is false"),
        ("1 / 0 == 1", "division by zero"),
        ("version(cluster.labels.site) >= version('1')", ""),
        ("workload.requests.cpu * 2 > 1", "Unsupported operation"),
        ("cluster.name.matches('(a+')", "regex"),
    ],
)
def test_these_do_not_hold_and_say_why(source: str, why: str) -> None:
    holds, words = compile_expression(source, ALL).holds(VALUES)
    assert not holds
    assert why in words
    assert "\n" not in words


@pytest.mark.parametrize(
    ("source", "message", "column", "cure"),
    [
        ("clster.name == 'a'", "'clster'", 1, "'cluster'"),
        ("1 < 2 && cluster.lables.a == 'b'", "'lables'", 18, "'labels'"),
        ("vershun('1') == 1", "'vershun'", 1, "'version'"),
        ("1 +", "is not an expression", 4, ""),
        ("'abc", "not closed", 1, ""),
        ("version(12.1) > 1", "takes a text", 1, '"12.1"'),
        ("", "empty", 1, ""),
        ("true" + " && true" * 400, "2000", 1, "split"),
        ("(" * 60 + "1" + ")" * 60, "50 deep", 51, "simplify"),
        ("[1].all(a, [1].all(b, [1].all(c, a == c)))", "more than 2", 26, "simplify"),
        ('r"\\" == "a" || [1].all(a, [1].all(b, [1].all(c, true)))', "more than 2", 41, ""),
    ],
)
def test_a_slip_is_told_when_the_expression_is_read(source: str, message: str, column: int, cure: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(source, ALL)
    assert message in caught.value.message
    assert caught.value.column == column
    assert cure in caught.value.cure


def test_an_expression_tells_what_it_reads() -> None:
    source = "cluster.labels.exists(workload, workload == 'a') && 'worklod' != flavor.name"
    assert compile_expression("cluster.name == 'a'", ALL).reads == {"cluster"}
    assert compile_expression("1 == 1", ALL).reads == frozenset()
    assert compile_expression(source, ALL).reads == {"cluster", "flavor"}


def test_a_variable_that_the_field_does_not_have_is_refused() -> None:
    with pytest.raises(ExpressionError, match="'cluster'"):
        compile_expression("cluster.name == 'a'", frozenset({"workload"}))


def test_a_role_has_its_own_requests() -> None:
    expression = compile_expression("has(workload.requests.memory)", ALL)
    assert expression.holds(role_variables(WORKLOAD, WORKLOAD.roles[0]))[0]
    assert not expression.holds(role_variables(WORKLOAD, WORKLOAD.roles[1]))[0]


def test_an_expression_goes_to_a_worker_process() -> None:
    expression = pickle.loads(pickle.dumps(compile_expression("1 == 1", ALL)))
    assert expression.holds({}) == (True, "")


def test_weights_are_whole_numbers() -> None:
    assert compile_expression("workload.replicas * 2", ALL).number(VALUES) == (6, "")
    assert compile_expression("workload.requests.cpu", ALL).number(VALUES) == (2, "")
    assert compile_expression("cluster.name", ALL).number(VALUES)[0] is None
    assert compile_expression("cluster.labels.x", ALL).number(VALUES) == (None, "there is no 'x'")


def test_every_function_that_is_listed_can_be_called() -> None:
    calls = {
        "version": 'version("1") == version("1")',
        "quantity": 'quantity("1") == 1',
        "size": "size([1]) == 1",
        "contains": '"ab".contains("a")',
        "startsWith": '"ab".startsWith("a")',
        "endsWith": '"ab".endsWith("b")',
        "matches": '"ab".matches("a")',
        "int": 'int("1") == 1',
        "double": "double(1) == 1.0",
        "string": 'string(1) == "1"',
        "type": "type(1) == int",
    }
    assert set(calls) == set(FUNCTIONS)
    for source in calls.values():
        assert compile_expression(source, ALL).holds({}) == (True, ""), source


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
def test_versions_compare_part_by_part_as_numbers(one: list[int], other: list[int]) -> None:
    first, second = (version_key(".".join(map(str, parts))) for parts in (one, other))
    width = max(len(one), len(other))
    padded = [parts + [0] * (width - len(parts)) for parts in (one, other)]
    assert isinstance(first, str)
    assert isinstance(second, str)
    assert (first < second, first == second) == (padded[0] < padded[1], padded[0] == padded[1])


@given(st.text(max_size=40))
def test_no_source_raises_anything_but_an_expression_error(source: str) -> None:
    try:
        expression = compile_expression(source, ALL)
    except ExpressionError:
        return
    expression.holds(VALUES)
