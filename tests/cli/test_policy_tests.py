"""federator policy test: expectations on a plan and on a run, and the account of what breaks them."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from federator.documents import read_files
from federator.simulator.policy_tests import judged
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
HEAD = "apiVersion: federator.dev/v1alpha1\n"
CLUSTERS = f"""{HEAD}kind: Cluster
metadata: {{name: home}}
spec: {{provider: fake, flavors: [{{name: std, count: 2, allocatable: {{cpu: 4}}}}]}}
---
{HEAD}kind: Cluster
metadata: {{name: cloud}}
spec: {{provider: fake, price: {{cpu: 1}}, flavors: [{{name: std, count: 2, allocatable: {{cpu: 4}}}}]}}
"""
POLICY = f"""{HEAD}kind: PlacementPolicy
metadata: {{name: home-first}}
spec: {{tiers: [{{name: home, clusters: [home]}}, {{name: cloud, clusters: [cloud]}}]}}
"""
WORK = f"""{HEAD}kind: Workload
metadata: {{name: w}}
spec: {{replicas: 20, requests: {{cpu: 1}}}}
"""
SCENARIO = f"""{HEAD}kind: Scenario
metadata: {{name: short}}
spec:
  files: [clusters.yaml, policy.yaml]
  lasts: 30m
  workloads: [{{generate: {{name: mc, rate: 60/h, replicas: 4, duration: 10m, requests: {{cpu: 1}}}}}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents that tests are about; the tests themselves are written by ``_write``."""
    for name, text in (("clusters", CLUSTERS), ("policy", POLICY), ("work", WORK), ("scenario", SCENARIO)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def _write(folder: Path, files: str, **spec: object) -> str:
    body = yaml.safe_dump({"files": files.split(), **spec}, default_flow_style=True, width=10_000).strip()
    path = folder / "test.yaml"
    path.write_text(f"{HEAD}kind: PolicyTest\nmetadata: {{name: t}}\nspec: {body}\n")
    return str(path)


PLAN = "clusters.yaml policy.yaml work.yaml"


def test_a_plan_that_is_as_expected_passes(run: Run, folder: Path) -> None:
    expect = {"placements": {"w": {"home": 8, "cloud": 8}}, "refused": {"w": 4}}
    never = ['cluster("cloud").used > 0 && cluster("home").fill < 1', 'queue("default").waiting != 4']
    result = run("policy", "test", _write(folder, PLAN, expect=expect, never=never))
    assert (result.status, result.out.split()[:2]) == (0, ["ok", "t"])


def test_what_is_not_expected_is_told_with_the_reasons_of_the_plan(run: Run, folder: Path) -> None:
    expect = {"placements": {"w": {"home": 8}}, "refused": {}}
    result = run("policy", "test", _write(folder, PLAN, expect=expect), "--junit", str(folder / "out.xml"))
    assert result.status == 1
    assert "placements of w: expected {'home': 8}, the plan says" in result.out
    assert "refused: 4 of w" in result.out
    assert "home: NoRoom: a replica needs 1 cpu" in result.out
    assert "1 of 1 policy tests failed" in result.err
    suite = ElementTree.parse(folder / "out.xml").getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "1", "1")
    assert "placements of w" in (suite.findall("testcase/failure")[0].get("message") or "")


def test_a_run_that_breaks_a_never_tells_its_first_moment(run: Run, folder: Path) -> None:
    test = _write(folder, "scenario.yaml", never=['cluster("cloud").started > 0'])
    result = run("policy", "test", test)
    assert result.status == 1
    assert 'became true: cluster("cloud").started > 0' in result.out
    assert "home: 8 of 8 cores, fill 1.0000, 8 replicas" in result.out
    assert "on cloud (policy home-first, tier cloud)" in result.out
    assert result.out.count("became true") == 1


def test_the_figures_of_a_run_are_held_to_their_bounds(run: Run, folder: Path) -> None:
    good = ["run.jobs.submitted > 10", "run.cost > 0.0", 'run.utilization["home"]["cpu"] > 0.5']
    assert run("policy", "test", _write(folder, "scenario.yaml", holds=good)).status == 0
    result = run("policy", "test", _write(folder, "scenario.yaml", holds=["run.wait_s.p95 < 0.0"]))
    assert result.status == 1
    assert "does not hold: run.wait_s.p95 < 0.0" in result.out


def test_policies_of_a_test_take_the_place_of_those_of_its_scenario(run: Run, folder: Path) -> None:
    other = POLICY.replace("clusters: [home]", "clusters: [other]").replace("clusters: [cloud]", "clusters: [home]")
    (folder / "other.yaml").write_text(other.replace("[other]", "[cloud]"))
    test = _write(
        folder, "scenario.yaml other.yaml", never=['cluster("home").started > 0 && cluster("cloud").fill < 1']
    )
    assert run("policy", "test", test).status == 0


def test_slips_are_told(run: Run, folder: Path) -> None:
    result = run("policy", "test", _write(folder, PLAN, never=['cluster("hom").used > 0']))
    assert result.status == 1
    assert "there is none called 'hom': did you mean 'home'?" in result.out
    assert run("policy", "test", _write(folder, "none.yaml")).status == 2
    assert run("policy", "test", str(folder / "clusters.yaml")).status == 2
    assert "no variable is called 'runs'" in run("policy", "test", _write(folder, PLAN, holds=["runs > 1"])).err


def _policies() -> list[Path]:
    return sorted(path for path in (ROOT / "policies").glob("*.yaml") if not path.name.endswith(".test.yaml"))


@pytest.mark.parametrize("policy", _policies(), ids=lambda path: path.stem)
def test_every_policy_that_ships_has_a_test_beside_it_that_passes(policy: Path) -> None:
    (test,) = read_files([str(policy.with_suffix(".test.yaml"))]).policy_tests
    verdict = judged(test, ROOT)
    assert not verdict.failures, verdict.failures
    assert test.spec.never or test.spec.expect.placements, "a test that expects nothing shows nothing"


def test_a_policy_that_says_otherwise_fails_its_test(folder: Path) -> None:
    """The test of the first policy fails for one that opens the cloud at half of CERN."""
    text = (ROOT / "policies" / "fill-cern-before-cloud.yaml").read_text().replace("95%", "50%")
    (folder / "fill-cern-before-cloud.yaml").write_text(text)
    test = (ROOT / "policies" / "fill-cern-before-cloud.test.yaml").read_text()
    (folder / "test.yaml").write_text(test.replace("../tests", str(ROOT / "tests")))
    (found,) = read_files([str(folder / "test.yaml")]).policy_tests
    assert judged(found, ROOT).failures
