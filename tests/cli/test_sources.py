"""What only the server can know is told with its place in the user's files."""

from __future__ import annotations

from pathlib import Path

import pytest

from federator.api.problems import problem_of
from federator.cli.failures import Refused
from federator.cli.sources import in_their_files, read_sources
from federator.documents import DocumentErrors, Problem, read_objects

HEAD = "apiVersion: federator.dev/v1alpha1\n"
TWO = f"""{HEAD}kind: Queue
metadata: {{name: cms}}
---
{HEAD}kind: PlacementPolicy
metadata: {{name: p}}
spec:
  tiers: [{{name: a, clusters: [cernn]}}]
"""


def told(error: DocumentErrors) -> Refused:
    """What a command gets to hear of it."""
    problem = problem_of(error)
    assert problem
    return Refused(problem.status, {"detail": problem.detail, **problem.more})


def test_a_name_that_no_cluster_has_is_found_in_the_second_document_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    sources = read_sources([str(tmp_path / "two.yaml")])
    with pytest.raises(DocumentErrors) as caught:
        read_objects([source.raw for source in sources], clusters=["cern"])  # as the server reads them
    refused = told(caught.value)
    assert str(refused).startswith("PlacementPolicy/p: spec.tiers[0].clusters[0]: "), "this test shows nothing"
    words = "two.yaml:9:32: spec.tiers[0].clusters[0]: no cluster is called 'cernn'; did you mean 'cern'?"
    assert str(in_their_files(refused, sources)) == f"{tmp_path}/{words}"


def test_what_is_no_object_of_the_files_stays_as_the_server_says_it(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO)
    error = DocumentErrors([Problem("policies/gpu.yaml", 3, 1, "spec.tiers", "names 'cms'")])
    refused = in_their_files(told(error), read_sources([str(tmp_path / "two.yaml")]))
    assert str(refused) == "policies/gpu.yaml:3:1: spec.tiers: names 'cms'"
