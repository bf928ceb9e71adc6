"""federator simulate, as its user types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

HEAD = "apiVersion: federator.dev/v1alpha1\n"
CLUSTERS = f"""{HEAD}kind: Cluster
metadata: {{name: north}}
spec: {{provider: fake, flavors: [{{name: std, count: 2, allocatable: {{cpu: 4}}}}]}}
---
{HEAD}kind: Cluster
metadata: {{name: south}}
spec: {{provider: fake, price: {{cpu: 0.1}}, flavors: [{{name: std, count: 2, allocatable: {{cpu: 4}}}}]}}
"""
POLICY = f"""{HEAD}kind: PlacementPolicy
metadata: {{name: only-one}}
spec: {{tiers: [{{name: one, clusters: [CLUSTER]}}]}}
"""
SOURCE = "generate: {name: mc, rate: 60/h, duration: 2m, requests: {cpu: 1}}"
SCENARIO = f"""{HEAD}kind: Scenario
metadata: {{name: hour}}
spec:
  files: [clusters.yaml, policies]
  lasts: 1h
  workloads: [{{{SOURCE}}}]
  faults: [{{outage: north, at: 10m, lasts: 5m}}]
"""
FILLER = f"""
---
{HEAD}kind: Backfill
metadata: {{name: lhc}}
spec: {{workload: {{requests: {{cpu: 1}}, duration: 3h}}, keepFree: 0%, mostLost: 100%, grace: 20s}}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    """A scenario with its files, in a folder that is not the current one."""
    folder = tmp_path / "scenarios"
    (folder / "policies").mkdir(parents=True)
    (folder / "clusters.yaml").write_text(CLUSTERS)
    (folder / "policies" / "north.yaml").write_text(POLICY.replace("CLUSTER", "north"))
    (folder / "hour.yaml").write_text(SCENARIO)
    return folder / "hour.yaml"


def test_a_run_prints_the_figures_of_the_design(run: Run, scenario: Path) -> None:
    answer = run("simulate", str(scenario), "-o", "json").json
    assert list(answer) == [
        "seed", "simulated_s", "jobs", "wait_s", "bounded_slowdown", "makespan_s", "utilization", "backfill",
        "preemptions", "moves", "nodes_lost", "leases_void", "transferred_bytes", "cost", "carbon_g", "clusters",
        "fairness_jain", "engine",
    ]  # fmt: skip
    assert answer["simulated_s"] == 3600
    assert answer["jobs"]["submitted"] > 30
    assert answer["wait_s"]["max"] > 60, "the outage delayed nothing, so this test shows nothing"
    assert answer["utilization"]["south"]["cpu"] == answer["cost"] == 0
    assert "used of north" in run("simulate", str(scenario)).out


def test_other_policies_and_another_seed_take_the_place_of_its_own(run: Run, scenario: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "south.yaml").write_text(POLICY.replace("CLUSTER", "south"))
    first = run("simulate", str(scenario), "--policies", str(other), "-o", "json").json
    assert first["utilization"]["north"]["cpu"] == 0
    assert first["cost"] > 0
    second = run("simulate", str(scenario), "--policies", str(other), "--seed", "5", "-o", "json").json
    assert second["seed"] == 5
    assert second["jobs"] != first["jobs"]


def test_what_is_wrong_with_a_scenario_is_told_with_its_place(run: Run, scenario: Path) -> None:
    scenario.write_text(SCENARIO.replace("  lasts: 1h\n", "").replace("outage: north", "outage: nort"))
    assert "no cluster is called 'nort'; did you mean 'north'?" in _slip(run, scenario)
    scenario.write_text(SCENARIO.replace("  lasts: 1h\n", ""))
    assert "spec.workloads[0].generate: never ends" in _slip(run, scenario)
    scenario.write_text(SCENARIO.replace(SOURCE, "trace: {file: no.swf}"))
    assert "no.swf: is neither in" in _slip(run, scenario)
    (scenario.parent / "no.swf").write_text("1 2 3\n")
    assert "no.swf:1: has 3 fields, not 18" in _slip(run, scenario)
    assert "has 0 scenarios" in _slip(run, scenario.parent / "clusters.yaml")


def _slip(run: Run, scenario: Path) -> str:
    """What is said of a scenario that cannot be told."""
    result = run("simulate", str(scenario))
    assert (result.status, result.out) == (2, "")
    return result.err


@pytest.mark.thorough
def test_two_sets_of_policies_are_compared_seed_by_seed(run: Run, scenario: Path, tmp_path: Path) -> None:
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text(POLICY.replace("CLUSTER", name))
    command = ["compare", str(scenario), "--policies", str(tmp_path / "north"), "--policies", str(tmp_path / "south")]
    page = tmp_path / "both.html"
    answer = run(*command, "--seeds", "2", "--report", str(page), "-o", "json").json
    assert "<h1>hour under north and hour under south</h1>" in page.read_text()
    cost = next(one for one in answer["figures"] if one["figure"] == "cost")
    assert (cost["a"], cost["a_better"], cost["b_better"]) == (0, 2, 0)
    assert cost["low"] is not None
    for pair in answer["runs"]:
        assert pair["a"]["jobs"]["submitted"] == pair["b"]["jobs"]["submitted"], "chance is common to both"
    assert run(*command[:4]).status == 2


@pytest.mark.parametrize("option", ["--report", "--record", "--parts"])
def test_what_cannot_be_written_in_the_end_is_told_before_the_run(run: Run, scenario: Path, option: str) -> None:
    where = scenario.parent / "missing" / "there" if option != "--parts" else scenario / "there"
    answer = run("simulate", str(scenario), option, str(where), "-o", "json")
    assert (answer.status, answer.out) == (2, "")
    assert str(where) in answer.err
    assert "name another" in answer.err or "make it first" in answer.err


def test_policies_that_hold_none_are_told(run: Run, scenario: Path) -> None:
    none = scenario.parent / "clusters.yaml"
    answer = run("simulate", str(scenario), "--policies", str(none), "-o", "json")
    assert answer.err == f"warning: there is no policy in {none}, so none governs\n"
    assert run("simulate", "-").status == 2


@pytest.mark.thorough
def test_a_report_is_written_at_once_or_later_from_what_was_kept(run: Run, scenario: Path, tmp_path: Path) -> None:
    page, record = tmp_path / "hour.html", tmp_path / "hour.json"
    answer = run("simulate", str(scenario), "--report", str(page), "--record", str(record), "-o", "json").json
    assert answer["jobs"]["submitted"] > 30
    assert "<h1>hour</h1>" in page.read_text()
    assert run("report", str(record), "--to", str(tmp_path / "later.html")).status == 0
    assert (tmp_path / "later.html").read_bytes() == page.read_bytes()
    wrong = run("report", str(scenario))
    assert wrong.status == 2
    assert "is no record of a run" in wrong.err


NOW = f"""{HEAD}kind: Workload
metadata: {{name: runs}}
spec: {{replicas: 8, duration: 1h, requests: {{cpu: 1}}}}
---
{HEAD}kind: Placement
metadata: {{name: runs.north}}
spec: {{workload: runs, cluster: north, replicas: 8, age: 40m}}
---
{HEAD}kind: Workload
metadata: {{name: waits}}
spec: {{replicas: 2, duration: 10m, submittedAt: 2026-11-26T08:00:00Z, requests: {{cpu: 1}}}}
---
{HEAD}kind: Scenario
metadata: {{name: onward}}
spec: {{present: true, files: [clusters.yaml, policies]}}
"""


def test_a_scenario_can_begin_as_a_federation_is(run: Run, scenario: Path) -> None:
    """Eight replicas fill the north for 20 more minutes; what waits may go nowhere else, and starts then."""
    (scenario.parent / "onward.yaml").write_text(NOW)
    answer = run("simulate", str(scenario.parent / "onward.yaml"), "-o", "json").json
    assert answer["simulated_s"] == 1800
    assert answer["wait_s"]["max"] == answer["wait_s"]["mean"] == 1200


def test_what_other_policies_would_change_now_is_told(run: Run, scenario: Path, tmp_path: Path) -> None:
    other = tmp_path / "south.yaml"
    other.write_text(POLICY.replace("CLUSTER", "south"))
    (scenario.parent / "now.yaml").write_text(NOW.rpartition("---\n")[0])
    files = [str(scenario.parent / name) for name in ("clusters.yaml", "policies", "now.yaml")]
    command = ["policy", "diff", *files, "--policies", str(other)]
    answer = run(*command, "--onward", "-o", "json").json
    assert answer["changes"] == [{"workload": "waits", "cluster": "south", "runs": 0, "now": 0, "then": 2}]
    assert (answer["now"]["refused"], answer["then"]["refused"]) == (2, 0)
    assert (answer["onward"]["now"]["wait_s"]["mean"], answer["onward"]["then"]["wait_s"]["mean"]) == (1200, 0)
    assert "onward" not in run(*command, "-o", "json").json
    alike = run("policy", "diff", *files, "--policies", files[1])
    assert alike.out.startswith("The plan of now stays as it is.")


def test_what_fillers_cost_production_is_measured_where_there_are_any(run: Run, scenario: Path) -> None:
    slip = run("simulate", str(scenario), "--measure-delay")
    assert (slip.status, slip.out) == (2, "")
    assert "the scenario has no fillers" in slip.err
    scenario.write_text(SCENARIO.rstrip() + FILLER)
    delay = run("simulate", str(scenario), "--measure-delay", "-o", "json").json["delay"]
    assert delay["jobs"] > 30
    assert 0 < delay["longer_s"]["p50"] <= 20.0
    assert "of jobs start later; mean wait without fillers" in run("simulate", str(scenario), "--measure-delay").out
