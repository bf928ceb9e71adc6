"""The offline commands: plan, policy, schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Run

CLUSTERS = """\
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: cern}
spec: {provider: fake, flavors: [{name: std, count: 2, allocatable: {cpu: 4}}]}
---
apiVersion: federator.dev/v1alpha1
kind: Cluster
metadata: {name: exoscale}
spec: {provider: fake, flavors: [{name: std, count: 1, allocatable: {cpu: 2}}]}
"""
POLICY = """\
apiVersion: federator.dev/v1alpha1
kind: PlacementPolicy
metadata: {name: fill-cern}
spec:
  tiers: [{name: cern, clusters: [cern]}, {name: cloud, clusters: [exoscale], openAfter: 5m}]
"""
WORK = """\
apiVersion: federator.dev/v1alpha1
kind: Workload
metadata: {name: w}
spec: {replicas: 9, requests: {cpu: 1}}
"""
PREFERENCE = """\
apiVersion: scheduling.kubefed.io/v1alpha1
kind: ReplicaSchedulingPreference
metadata: {name: w}
spec:
  targetKind: FederatedDeployment
  totalReplicas: 9
  clusters: {cern: {minReplicas: 2, maxReplicas: 6, weight: 100}, exoscale: {maxReplicas: 3, weight: 20}}
"""
ALL = "\n---\n".join((CLUSTERS, POLICY, WORK))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in (("clusters.yaml", CLUSTERS), ("policy.yml", POLICY), ("work.yaml", WORK)):
        (folder / name).write_text(text)
    (folder / "notes.txt").write_text("not: [a document")
    return folder


def test_json_is_one_document_of_the_promised_shape_and_nothing_else(run: Run, files: Path) -> None:
    result = run("plan", str(files), "-o", "json")
    assert result.status == 0
    assert result.err == ""
    assert list(result.json) == ["placements", "refusals", "preemptions", "moves", "reservations", "backfill"]
    assert result.json["placements"] == [
        {"workload": "w", "cluster": "cern", "replicas": 8, "tier": "cern", "policy": "fill-cern"}
    ]
    (refusal,) = result.json["refusals"]
    assert (refusal["workload"], refusal["replicas"]) == ("w", 1)
    assert refusal["reasons"]["exoscale"]["reason"] == "TierNotOpen"
    assert set(refusal["reasons"]) == {"cern", "exoscale"}


@pytest.mark.parametrize("way", ["folder", "files", "stdin", "mixed"])
def test_files_folders_and_standard_input_plan_alike(run: Run, files: Path, way: str) -> None:
    arguments = {
        "folder": [str(files)],
        "files": [str(files / name) for name in ("work.yaml", "policy.yml", "clusters.yaml")],
        "stdin": ["-"],
        "mixed": [str(files / "clusters.yaml"), "-"],
    }[way]
    stdin = {"stdin": ALL, "mixed": f"{POLICY}\n---\n{WORK}"}.get(way, "")
    result = run("plan", *arguments, "-o", "json", stdin=stdin)
    assert result.json["placements"][0]["replicas"] == 8, result.err


def test_after_says_how_long_the_tiers_have_been_full(run: Run, files: Path) -> None:
    early, late = (run("plan", str(files), "-o", "json", "--after", text).json for text in ("1m", "10m"))
    assert [one["cluster"] for one in early["placements"]] == ["cern"]
    assert [(one["cluster"], one["replicas"]) for one in late["placements"]] == [("cern", 8), ("exoscale", 1)]


def test_require_all_answers_no_with_status_1_and_still_prints_the_plan(run: Run, files: Path) -> None:
    result = run("plan", str(files), "--require-all", "-o", "json")
    assert (result.status, result.json["refusals"][0]["replicas"]) == (1, 1)
    assert "1 replicas have no place" in result.err
    assert run("plan", str(files), "--require-all", "--after", "10m").status == 0


def test_the_table_tells_places_and_reasons_within_100_columns(run: Run, files: Path) -> None:
    out = run("plan", str(files)).out
    assert "fill-cern" in out
    assert "Refused: 1 of w" in out
    assert "TierNotOpen" in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_preference_of_kubefed_divides_9_into_6_and_3(run: Run) -> None:
    clusters = CLUSTERS.replace("count: 2", "count: 20").replace("count: 1,", "count: 10,")
    result = run("plan", "-", "-o", "json", stdin="\n---\n".join((clusters, PREFERENCE, WORK)))
    assert {one["cluster"]: one["replicas"] for one in result.json["placements"]} == {"cern": 6, "exoscale": 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ALL.replace("replicas: 9", "replica: 9"), ["spec.replica", "replicas"]),
        (ALL.replace("clusters: [cern]", "clusters: [cren]"), ["cren", "cern"]),
        ("kind: [unclosed", ["<stdin>:"]),
        (ALL.replace("cpu: 1", "cpu: one"), ["cpu", "one"]),
    ],
)
def test_wrong_input_is_status_2_with_place_and_cure_and_no_traceback(run: Run, text: str, words: list[str]) -> None:
    result = run("plan", "-", "-o", "json", stdin=text)
    assert (result.status, result.out) == (2, "")
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("plan", "/no/such/file"), ("plan", "-", "--after", "soon"), ("plan", "-", "-o", "xml"), ("plann",)],
)
def test_a_wrong_use_of_the_command_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, stdin=ALL)
    assert (result.status, result.out) == (2, "")


def test_policies_are_checked_and_names_against_clusters_if_there_are_any(run: Run, files: Path) -> None:
    assert run("policy", "check", str(files)).status == 0
    alone = run("policy", "check", str(files / "policy.yml"))
    assert (alone.status, "were not checked" in alone.out) == (0, True)
    wrong = run("policy", "check", "-", stdin=POLICY.replace("openAfter", "openAftr"))
    assert wrong.status == 2
    assert "openAfter" in wrong.err


def test_an_imported_preference_plans_as_the_preference_itself(run: Run, tmp_path: Path) -> None:
    imported = run("policy", "import", "-", stdin=PREFERENCE)
    assert imported.status == 0
    assert yaml.safe_load(imported.out)["kind"] == "PlacementPolicy"
    assert "replicas: 9" in imported.err, "what a policy cannot say is told"
    clusters = CLUSTERS.replace("count: 2", "count: 20").replace("count: 1,", "count: 10,")
    plans = [
        run("plan", "-", "-o", "json", stdin="\n---\n".join((clusters, policy, WORK))).json["placements"]
        for policy in (PREFERENCE, imported.out)
    ]
    cut = [[(one["cluster"], one["replicas"]) for one in one_plan] for one_plan in plans]
    assert cut[0] == cut[1] == [("cern", 6), ("exoscale", 3)]


def test_a_schema_is_json_and_a_kind_that_is_none_is_refused_with_the_nearest(run: Run) -> None:
    assert run("schema", "workload").json["title"] == "Workload"
    wrong = run("schema", "Worklod")
    assert (wrong.status, "Workload" in wrong.err) == (2, True)


def test_warnings_go_to_standard_error_only(run: Run) -> None:
    preference = PREFERENCE.replace("exoscale", "azure")
    result = run("plan", "-", "-o", "json", stdin="\n---\n".join((CLUSTERS, preference, WORK)))
    assert result.status == 0
    assert "azure" in result.err
    json.loads(result.out)


def test_what_is_left_is_filled_and_the_table_says_why_no_more(run: Run, files: Path) -> None:
    filler = "spec: {workload: {requests: {cpu: 1}}, keepFree: 0%, clusters: {where: 'cluster.name != \"cern\"'}}"
    text = f"apiVersion: federator.dev/v1alpha1\nkind: Backfill\nmetadata: {{name: lhc}}\n{filler}\n"
    (files / "filler.yaml").write_text(text)
    result = run("plan", str(files))
    assert result.status == 0
    assert "Backfill: 2 of backfill-lhc" in result.out
    assert "NotAllowedByWorkload" in result.out
