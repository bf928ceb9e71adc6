"""Kueue's cases of fair preemption as documents, through the whole of ``federator plan``.

The search for victims has its own test on the same cases (``test_fairness``); here quotas, nodes, policies and all
that lies between take part. Where the plan differs from Kueue on purpose, ``OURS`` says what it does, and
docs/decisions/fair-shares.md why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from federator.cli.main import execute
from tests.cases.test_fairness import CAUSES, SECTIONS

API = "federator.dev/v1alpha1"
CASES = SECTIONS["kueue_fair_preemption"]["cases"]
OURS = {"kfp-19": {"b-high": "FairShare", "b-low": "LowerPriority"}}


def named(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def documents(case: dict[str, Any]) -> list[dict[str, Any]]:
    """The case, on a cluster with room for everything, so that quotas alone decide; each workload is one replica."""
    nodes = {"name": "standard", "count": 30, "allocatable": {"cpu": 10}}
    made = [
        named("Cluster", "all", {"flavors": [nodes]}),
        named("Planning", "default", {"order": "fair"}),
        named("PlacementPolicy", "p", {"preempt": "lowerPriority"}),
    ]
    for name, line in case["queues"].items():
        made.append(
            named("Queue", name, {"weight": line["weight"], "cohort": "all", "quota": {"cpu": line["nominal"]}})
        )
    incoming = {"name": "incoming", **case["incoming"]}
    for one in (*case["admitted"], incoming):
        late = one is incoming
        spec = {"queue": one["queue"], "replicas": 1, "requests": {"cpu": one["cpu"]}, "priority": one["priority"],
                "submittedAt": f"2026-01-01T0{int(late)}:00:00Z"}  # fmt: skip
        made.append(named("Workload", one["name"].replace("_", "-"), spec))
        if not late:
            place = {"workload": one["name"].replace("_", "-"), "cluster": "all", "replicas": 1, "age": "1h"}
            made.append(named("Placement", f"of-{place['workload']}", place))
    return made


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_who_gives_way_in_a_plan(case: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(yaml.safe_dump_all(documents(case)))
    assert execute(["plan", str(file), "-o", "json"]) == 0
    made = json.loads(capfd.readouterr().out)
    found = {one["workload"]: one["reason"] for one in made["preemptions"]}
    kueue = {name.replace("_", "-"): str(CAUSES[reason]) for name, reason in case["preempted"].items()}
    assert found == OURS.get(case["id"], kueue)
    gains = {one["workload"] for one in (*made["placements"], *made["reservations"])}
    assert bool(kueue) == ("incoming" in gains)
