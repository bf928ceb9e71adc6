"""What a cluster's document must say before the daemon can speak to it: an error names the field and the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from federator.clock import VirtualClock
from federator.clusters.htcondor import HTCondorProvider
from federator.clusters.sent import SentPilots
from federator.clusters.slurm import SlurmProvider
from federator.daemon.providers import Surroundings, make_provider
from federator.documents import DocumentErrors, read_files
from federator.ports import ClusterProvider
from tests.fake_lines import FakeLines

PILOTS = {"url": "https://fed.example.org:8443", "tokenFile": "pilots.token"}


def made(folder: Path, kind: str = "htcondor", **block: Any) -> ClusterProvider:
    """The provider of an HTCondor cluster (or one of another kind) whose document has this block of settings."""
    file = folder / "cern.yaml"
    spec = {"provider": kind, kind: block}
    head = {"apiVersion": "federator.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "cern"}}
    file.write_text(yaml.safe_dump({**head, "spec": spec}))
    [document] = read_files([file]).clusters
    return make_provider(document, Surroundings(folder, VirtualClock(0.0), "fed", FakeLines()))


async def test_a_pool_takes_pilots_or_jobs(tmp_path: Path) -> None:
    pilots = made(tmp_path, collector="head:9618", pilots=PILOTS)
    assert isinstance(pilots, SentPilots), "the default"
    assert pilots._jobs.token_file == str(tmp_path / "pilots.token"), "relative paths start at the document's folder"
    assert isinstance(made(tmp_path, collector="head:9618", submit="jobs"), HTCondorProvider)


async def test_a_slurm_takes_jobs_or_pilots(tmp_path: Path) -> None:
    way = {"command": [], "directory": "/scratch/fed"}
    assert isinstance(made(tmp_path, "slurm", **way), SlurmProvider), "the default"
    assert isinstance(made(tmp_path, "slurm", submit="pilots", pilots=PILOTS, **way), SentPilots)
    with pytest.raises(DocumentErrors, match=r"spec\.slurm\.pilots\.url"):
        made(tmp_path, "slurm", submit="pilots", **way)


@pytest.mark.parametrize(
    ("block", "field", "cure"),
    [
        ({}, "spec.htcondor.collector", "write HOST:PORT"),
        ({"collector": "h:1"}, "spec.htcondor.pilots.url", "write https://HOST:PORT, or submit: jobs"),
        ({"collector": "h:1", "pilots": {"url": "ftp://x"}}, "spec.htcondor.pilots.url", "write https://HOST:PORT"),
        ({"collector": "h:1", "pilots": {"url": "https://x"}}, "spec.htcondor.pilots.tokenFile", "--site cern"),
        ({"collector": "h:1", "pilots": {"requests": {"cpu": "100m"}}}, "requests", "write at least cpu: 1"),
    ],
)
def test_what_is_missing_is_named_with_its_cure(tmp_path: Path, block: dict[str, Any], field: str, cure: str) -> None:
    with pytest.raises(DocumentErrors) as trouble:
        made(tmp_path, **block)
    assert field in str(trouble.value)
    assert cure in str(trouble.value)
    assert "cern.yaml" in str(trouble.value)
