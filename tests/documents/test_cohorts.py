"""Cohorts and quotas in documents: what is refused, where, and what to write instead."""

from __future__ import annotations

import pytest

from federator.documents import DocumentErrors, cohort_parents, read_objects, read_text
from federator.documents.problems import Problem

HEAD = "apiVersion: federator.dev/v1alpha1\n"
CERN = HEAD + "kind: Cluster\nmetadata: {name: cern}\n"


def cohort(name: str, spec: str = "") -> str:
    return f"{HEAD}kind: Cohort\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def queue(name: str, spec: str = "") -> str:
    return f"{HEAD}kind: Queue\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


def errors(*documents: str) -> tuple[Problem, ...]:
    with pytest.raises(DocumentErrors) as caught:
        read_text("---\n".join(documents))
    return caught.value.problems


def test_a_parent_that_is_nowhere_is_an_error_with_its_place_and_the_nearest_name() -> None:
    (problem,) = errors(cohort("science"), cohort("lhc", "parent: sience"))
    assert str(problem) == "<text>:9:16: spec.parent: no cohort is called 'sience'; did you mean 'science'?"


def test_a_cohort_that_only_queues_name_is_a_parent_like_any_other() -> None:
    documents = read_text("---\n".join([cohort("lhc", "parent: science"), queue("biology", "cohort: science")]))
    assert cohort_parents(document.raw for document in documents.all) == {"lhc": "science", "science": ""}


def test_cohorts_in_a_circle_are_refused_once() -> None:
    (problem,) = errors(cohort("b", "parent: c"), cohort("a", "parent: b"), cohort("c", "parent: a"))
    assert (problem.line, problem.message) == (9, "the cohort stands above itself: a in b in c in a")
    assert problem.cure == "leave the parent of one of them out"


def test_a_cohort_that_is_its_own_parent_is_refused() -> None:
    (problem,) = errors(cohort("a", "parent: a"))
    assert problem.message == "the cohort stands above itself: a in a"


def test_cohorts_that_exist_besides_the_documents_count() -> None:
    """The files and what the API made are read one after the other; together they may stand in no circle either."""
    raws = [document.raw for document in read_text(cohort("a", "parent: b"), cohorts={"b": ""}).all]
    assert read_objects(raws, cohorts={"b": ""}).cohorts
    with pytest.raises(DocumentErrors, match="stands above itself: a in b in a"):
        read_objects(raws, cohorts={"b": "a"})


def test_a_cohort_that_no_document_has_is_a_warning_where_others_are_declared() -> None:
    (warning,) = read_text(cohort("lhc") + "---\n" + queue("atlas", "cohort: lhcc")).warnings
    assert "spec.cohort: no Cohort is called 'lhcc'" in str(warning)
    assert "did you mean 'lhc'?" in str(warning)
    assert not read_text(queue("atlas", "cohort: lhcc")).warnings


def test_a_borrowing_limit_without_a_cohort_is_a_warning() -> None:
    (warning,) = read_text(queue("atlas", "borrowingLimit: {cpu: 1}")).warnings
    assert str(warning).endswith(
        "spec.borrowingLimit: there is no cohort to share with; name its cohort, or leave it out"
    )


@pytest.mark.parametrize(("name", "near"), [("cren", "did you mean 'cern'?"), ("cloud-*", "clusters: cern")])
def test_a_quota_on_a_cluster_that_nobody_has_is_an_error(name: str, near: str) -> None:
    (problem,) = errors(CERN, queue("atlas", f'clusterQuota: {{"{name}": {{cpu: 1}}}}'))
    assert (problem.line, problem.cure) == (8, near)
    assert name in problem.message
