"""compare on a Dask cluster of one machine gives what it gives on the machine's cores."""

from __future__ import annotations

import builtins
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.cli.conftest import Run

SCENARIO = """
apiVersion: federator.dev/v1alpha1
kind: Scenario
metadata: {name: hour}
spec:
  lasts: 1h
  workloads: [{generate: {name: mc, rate: 60/h, duration: {exponential: 20m}, requests: {cpu: 1}}}]
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: only}
spec: {provider: fake, flavors: [{name: node, count: 2, allocatable: {cpu: 4}}]}
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A small comparison, of one policy with itself."""
    (tmp_path / "hour.yaml").write_text(SCENARIO)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "p.yaml").write_text(
        "apiVersion: federator.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: p}\nspec: {}\n"
    )
    policies = ["--policies", str(tmp_path / "none")] * 2
    return ["compare", str(tmp_path / "hour.yaml"), *policies, "--seeds", "3", "-o", "json"]


@pytest.mark.thorough
def test_seeds_spread_over_a_dask_cluster_tell_what_they_tell_here(run: Run, command: list[str]) -> None:
    from distributed import LocalCluster  # slow to import

    here = run(*command).json
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp://"
    ) as cluster:
        there = run(*command, "--dask", cluster.scheduler_address).json
    assert there == here
    assert here["runs"][0]["a"]["jobs"]["submitted"] > 30


def test_without_distributed_it_says_what_to_install(
    run: Run, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> ModuleType:
        if name == "distributed":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    answer = run(*command, "--dask", "tcp://127.0.0.1:1")
    assert answer.status == 2
    assert "install federator[dask]" in answer.err
