"""The block of a Slurm cluster: each slip is told with its field and its cure, in the document or when it is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from federator.clock import SystemClock
from federator.daemon.providers import Surroundings, make_provider
from federator.documents import DocumentErrors, read_text
from federator.ports import LineStore

HEAD = "apiVersion: federator.dev/v1alpha1\nkind: Cluster\nmetadata: {name: hpc}\nspec:\n  provider: slurm\n"


def told(block: str) -> Any:
    """The problem of a block that has one."""
    with pytest.raises(DocumentErrors) as caught:
        made(block)
    (problem,) = caught.value.problems
    return problem


def made(block: str) -> Any:
    """The provider of a block."""
    (document,) = read_text(f"{HEAD}  slurm: {block}\n", "/etc/fed/hpc.yaml").clusters
    around = Surroundings(Path("/var/fed"), SystemClock(), "fed", cast(LineStore, None))
    return make_provider(document, around)


@pytest.mark.parametrize(
    ("block", "field", "message", "cure"),
    [
        ("{url: 'ftp://x', directory: /d}", "url", "no address of slurmrestd", "unix:/PATH"),
        ("{url: 'http://user:pw@x', directory: /d}", "url", "no address", "http://HOST:PORT"),
        ("{url: 'http://x', command: [ssh, x], directory: /d}", "command", "both", "one of the two"),
        ("{url: 'http://x'}", "directory", "is missing", "that all nodes"),
        ("{command: []}", "directory", "is missing", "that all nodes"),
        ("{command: [], directory: /a b}", "directory", "without quotes", "absolute path"),
        ("{command: [], directory: '/a/$(id)'}", "directory", "without quotes", "absolute path"),
        ("{command: [], directory: d}", "directory", "without quotes", "absolute path"),
        ("{command: [], directory: /d, partitions: ['a;b']}", "partitions[0]", "", ""),
        ("{url: 'http://x', directory: /d, tokenFile: t}", "user", "no user", "name the user"),
        (
            "{command: [], directory: /d, partitions: [a], backfillPartition: a}",
            "backfillPartition",
            "give way",
            "lower",
        ),
        ("{command: [], directory: /d, qos: a, backfillQos: a}", "backfillQos", "give way", "quality of service"),
        ("{directory: /d}", "url", "no way to Slurm", "give url"),
    ],
)
def test_a_slip_is_told_with_its_field_and_its_cure(block: str, field: str, message: str, cure: str) -> None:
    problem = told(block)
    assert problem.field == f"spec.slurm.{field}"
    assert message in problem.message
    assert cure in problem.cure


@pytest.mark.parametrize(
    "block",
    ["{url: 'unix:/run/s.sock', directory: /d}", "{command: [ssh, login.site], directory: /d, partitions: [a, b_c]}"],
)
def test_both_ways_in_can_be_written(block: str) -> None:
    assert made(block).name == "hpc"
