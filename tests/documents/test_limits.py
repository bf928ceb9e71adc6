"""Limits by name in documents: their way into the model and back, and what is refused, where."""

from __future__ import annotations

import pytest

from federator.documents import DocumentErrors, limit_document, read_objects, read_text, to_limit, to_snapshot
from federator.documents.workloads import read_workload
from federator.model.limits import Limit
from federator.model.resources import Resources

HEAD = "apiVersion: federator.dev/v1alpha1\n"
CERN = HEAD + "kind: Cluster\nmetadata: {name: cern}\n"


def limit(spec: str) -> str:
    return f"{HEAD}kind: Limit\nmetadata: {{name: matlab}}\nspec: {{{spec}}}\n"


def workload(spec: str) -> str:
    return f"{HEAD}kind: Workload\nmetadata: {{name: w}}\nspec: {{{spec}}}\n"


@pytest.mark.parametrize(
    "written", [Limit("matlab", 20, {"*": 3, "cern": 5}), Limit("matlab", 0), Limit("matlab", None, {"cern": 0})]
)
def test_a_limit_is_read_back_as_it_was_written(written: Limit) -> None:
    assert to_limit(read_objects([limit_document(written)]).limits[0]) == written


@pytest.mark.parametrize(
    ("text", "place", "message", "cure"),
    [
        (limit(""), "8:", "limits nothing", "give 'count'"),
        (limit("count: -1"), "8:15", "too small", "0"),
        (limit("count: 2.5"), "8:15", "whole number", ""),
        (limit("count: 3, clusters: {cern: 5}"), "8:35", "5 on cern is above count 3", "at most 3"),
        (limit("clusters: {crn: 5}"), "8:19", "no cluster is called 'crn'", "did you mean 'cern'?"),
        (workload("limits: {matlab: 0.5}"), "8:25", "whole number", ""),
        (workload("limits: {matlab: 0}"), "8:25", "too small", "1"),
        (workload("limits: [matlab]"), "8:16", "mapping", ""),
        (workload("roles: [{name: a, limits: {matlab: two}}]"), "8:43", "whole number", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_cure(text: str, place: str, message: str, cure: str) -> None:
    with pytest.raises(DocumentErrors) as caught:
        read_text(CERN + "---\n" + text.replace(HEAD, HEAD, 1), "f.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"f.yaml:{place}"), str(problem)
    assert message in problem.message
    assert cure in problem.cure


def test_a_name_that_no_limit_has_is_a_warning_where_some_are_set() -> None:
    (warning,) = read_text(limit("count: 1") + "---\n" + workload("limits: {matlba: 1}")).warnings
    assert "spec.limits.matlba: no Limit is called 'matlba'; did you mean 'matlab'?" in str(warning)
    assert not read_text(workload("limits: {matlba: 1}")).warnings


def test_roles_take_what_the_workload_says_unless_they_say_otherwise() -> None:
    text = workload("limits: {matlab: 2}, roles: [{name: a}, {name: b, limits: {}}, {name: c, limits: {oracle: 1}}]")
    (found,) = to_snapshot(read_text(text)).workloads
    assert [dict(role.limits) for role in found.roles] == [{"matlab": 2}, {}, {"oracle": 1}]


def test_a_native_manifest_takes_limits_by_an_annotation() -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "annotations": {"federator.dev/limits": "matlab=2, oracle=1"}},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "x"}]}}},
    }
    (role,) = read_workload(job).workload.roles
    assert role.limits == Resources.of({"matlab": 2, "oracle": 1})
    job["metadata"]["annotations"]["federator.dev/limits"] = "matlab=half"  # type: ignore[index]
    with pytest.raises(DocumentErrors, match="'half' is not a number of whole pieces; write 1 or more"):
        read_workload(job)
