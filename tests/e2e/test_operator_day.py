"""An operator's day with one daemon over this machine: work is moved, policies edited, questions asked."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.federator_process import Federator, batch, local, named, until, with_version
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.real

TWO = [local("cern", 4), local("exoscale", 4)]
FOREVER = ["sh", "-c", "while true; do sleep 1; done"]


def before(first: str, second: str, order: int = 100) -> dict[str, Any]:
    """A policy that fills one cluster before the other."""
    tiers = [{"name": first, "clusters": [first]}, {"name": second, "clusters": [second]}]
    return named("PlacementPolicy", f"{first}-first", {"order": order, "tiers": tiers})


def service(name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    """A workload that is kept running, one core a replica."""
    return batch(name, replicas, FOREVER, lifetime="service", **spec)


def stands(federator: Federator, name: str, **placements: int) -> None:
    """Wait until all replicas of a workload run, and run there."""
    count = sum(placements.values())
    federator.wait_for(name, lambda w: w["placements"] == placements and w["running"] == count)


def test_a_cluster_is_cordoned_drained_and_taken_back(federator: Federator) -> None:
    federator.write([*TWO, before("cern", "exoscale")])
    federator.start()
    federator.submit(service("hub", 2))
    stands(federator, "hub", cern=2)

    assert "cordoned" in federator.cli("cordon", "cern")
    federator.submit(service("after-cordon", 1))
    stands(federator, "after-cordon", exoscale=1)
    stands(federator, "hub", cern=2)
    assert "cordoned" in federator.cli("get", "clusters")

    federator.cli("drain", "cern")
    stands(federator, "hub", exoscale=2)
    until(lambda: federator.http("/api/v1/clusters/cern")["running"] == 0, "CERN to be empty")
    federator.submit(service("too-much", 2))
    federator.wait_for("too-much", lambda w: w["running"] == 1 and w["waiting"] == 1)
    assert "drain" in federator.cli("explain", "too-much")
    federator.kill()
    federator.start()
    assert "draining" in federator.cli("get", "clusters"), "a crash is no reason to forget it"

    federator.cli("undrain", "cern")
    assert "cordoned" in federator.cli("get", "clusters"), "the cordon was a decision of its own"
    federator.cli("uncordon", "cern")
    stands(federator, "too-much", cern=1, exoscale=1)
    stands(federator, "hub", exoscale=2)
    done = federator.try_cli("cordon", "cren")
    assert done.returncode == 1
    assert "did you mean 'cern'" in done.stderr


def test_files_are_taken_over_as_they_change_and_a_bad_one_keeps_the_set_before_it(federator: Federator) -> None:
    federator.write(TWO, files=["federation.yaml", "policies"])
    policies = federator.folder / "policies"
    policies.mkdir()
    path = federator.write_file("policies/first.yaml", [before("cern", "exoscale")])
    federator.start()
    federator.submit(service("one", 1))
    stands(federator, "one", cern=1)

    federator.write_file("policies/second.yaml", [before("exoscale", "cern", order=1)])
    until(lambda: federator.http("/api/v1/policies/exoscale-first") is not None, "the new policy")
    federator.submit(service("two", 1))
    stands(federator, "two", exoscale=1)

    good = path.read_text()
    path.write_text(good.replace("tiers:", "tires:"))
    until(lambda: federator.checks()["files"]["detail"] != "", "the daemon to say what is wrong with the file")
    checks = federator.checks()
    assert checks["ready"], "it goes on with the set before"
    for word in ("first.yaml", "tires", "tiers"):
        assert word in checks["files"]["detail"]
        assert word in federator.log.read_text(errors="replace")
    assert "tires" in federator.cli("get", "policies")
    assert {p["name"] for p in federator.items("policies")} == {"cern-first", "exoscale-first"}
    assert "federator_stale_policies 1.0" in federator.http("/metrics", "text/plain")
    federator.submit(service("three", 1))
    stands(federator, "three", exoscale=1)

    path.write_text(good)
    (policies / "second.yaml").unlink()
    until(lambda: federator.checks()["files"]["detail"] == "", "the good file to be taken over")
    assert {p["name"] for p in federator.items("policies")} == {"cern-first"}
    federator.submit(service("four", 1))
    stands(federator, "four", cern=1)


def test_objects_are_applied_and_deleted_and_those_of_files_are_left_to_the_files(federator: Federator) -> None:
    federator.write([*TWO, before("cern", "exoscale")])
    federator.start()
    made = federator.write_file(
        "made.yaml", [before("exoscale", "cern", order=1), named("Queue", "atlas", {"weight": 2})]
    )
    assert federator.cli("apply", "-f", str(made)).split() == [
        "placementpolicy/exoscale-first", "created", "queue/atlas", "created",
    ]  # fmt: skip
    assert federator.cli("apply", "-f", str(made)).count("unchanged") == 2
    federator.submit(service("hub", 1))
    stands(federator, "hub", exoscale=1)
    assert federator.stop() == 0
    federator.start()
    assert {p["name"]: p["source"] for p in federator.items("policies")}["exoscale-first"] == "api"

    mine = federator.write_file("mine.yaml", [before("cern", "exoscale", order=7), named("Queue", "cms", {})])
    done = federator.try_cli("apply", "-f", str(mine))
    assert done.returncode == 1
    assert "federation.yaml" in done.stderr, "it names the file that has to be changed"
    refused = federator.ask("PUT", "/api/v1/apply", mine.read_text())
    assert refused.status == 409
    assert "federation.yaml" in refused.body["detail"]
    assert federator.ask("DELETE", "/api/v1/policies/cern-first").status == 409
    assert federator.ask("DELETE", "/api/v1/clusters/cern").status == 409
    assert "cms" not in {q["name"] for q in federator.items("queues")}, "half of what was refused is there"
    assert federator.http("/api/v1/policies/cern-first")["order"] == 100
    typo = yaml.safe_dump(with_version(before("cren", "exoscale", order=3)))
    answer = federator.ask("PUT", "/api/v1/apply", typo)
    assert answer.status == 422
    assert "cern" in answer.body["detail"], "the nearest right name"

    federator.cli("delete", "policy", "exoscale-first")
    assert {p["name"] for p in federator.items("policies")} == {"cern-first"}
    federator.submit(service("next", 1))
    stands(federator, "next", cern=1)


def test_the_snapshot_planned_offline_is_what_the_federation_does(federator: Federator) -> None:
    """Work that runs, work that waits, bounds and a preference: the planner without a daemon says the same."""
    policy = before("cern", "exoscale")
    policy["spec"]["clusters"] = {"exoscale": {"max": 2}}
    federator.write([*TWO, policy])
    federator.start()
    federator.submit(service("hub", 3), batch("long", 5, ["sleep", "600"]), batch("big", 1, ["true"], cpu="16"))
    federator.wait_for("long", lambda w: w["running"] + w["waiting"] == 5 and w["running"] > 0)
    live = {(p["workload"], p["cluster"]): p["replicas"] for p in federator.items("placements")}
    assert len(live) > 2, "too little is placed for this to show anything"
    snapshot = federator.cli("snapshot")
    done = federator.try_cli("plan", "-", "-o", "json", stdin=snapshot)
    assert done.returncode == 0, done.stderr
    planned = yaml.safe_load(done.stdout)
    assert {(p["workload"], p["cluster"]): p["replicas"] for p in planned["placements"]} == live
    refused = {r["workload"]: r["replicas"] for r in planned["refusals"]}
    waiting = {w["name"]: w["waiting"] for w in federator.items("workloads") if w["waiting"]}
    assert refused == waiting
    assert "big" in refused
    assert planned["moves"] == []
    dry = federator.ask("POST", "/api/v1/plan").body
    assert {(p["workload"], p["cluster"]): p["replicas"] for p in dry["placements"]} == live


def test_logs_are_followed_waiting_ends_and_a_waiting_workload_says_what_has_to_change(federator: Federator) -> None:
    federator.write([*TWO, before("cern", "exoscale")])
    federator.start()
    script = "for i in 1 2 3 4 5 6; do echo line $i of $FEDERATOR_REPLICA_INDEX; sleep 0.5; done"
    federator.submit(batch("talk", 2, ["sh", "-c", script]))
    federator.cli("wait", "talk", "--for", "running", "--timeout", "60s")
    following = federator.cli("logs", "talk", "--replica", "1", "--follow")
    assert following.splitlines() == [f"line {i} of 1" for i in range(1, 7)], "to its end, and nothing twice"
    assert "finished" in federator.cli("wait", "talk", "--timeout", "60s")
    assert federator.cli("logs", "talk", "--replica", "0", "--tail", "1") == "line 6 of 0\n"

    federator.submit(service("full", 8))
    stands(federator, "full", cern=4, exoscale=4)
    federator.submit(
        batch("busy", 1, ["true"]), batch("never", 1, ["true"], cpu="64"),
        batch("picky", 1, ["true"], clusters={"selector": {"matchLabels": {"site": "mars"}}}),
    )  # fmt: skip
    for name, words in {
        "busy": ("cern", "exoscale", "Any of these would let it start"),
        "never": ("64", "Any of these would let it start"),
        "picky": ("site", "mars"),
    }.items():
        federator.wait_for(name, lambda w: w["state"] == "waiting" and w["message"])
        text = federator.cli("explain", name)
        for word in words:
            assert word in text, f"{name}: {text}"
    done = federator.try_cli("wait", "busy", "--timeout", "1s")
    assert done.returncode == 1
    assert "not finished after 1s" in done.stderr
    assert "NoRoom" in federator.cli("describe", "workload", "busy"), "its history says why"
    federator.cli("cancel", "full", "never", "picky")
    assert federator.cli("wait", "full", "--for", "cancelled", "--timeout", "60s")
    assert "finished" in federator.cli("wait", "busy", "--timeout", "60s"), "it starts as soon as there is room"
    done = federator.try_cli("wait", "never", "--timeout", "60s")
    assert done.returncode == 1
    assert "cancelled" in done.stderr
    assert federator.try_cli("logs", "never").returncode == 1


HERE = {
    "cluster_capacity", "cluster_used", "cluster_up", "queue_workloads", "queue_share", "refused_replicas",
    "placements", "moves", "preemptions", "plan_seconds", "cycle_seconds", "dispatch_seconds", "wait_seconds",
    "event_loop_lag_seconds",
}  # fmt: skip
"""Metrics that a federation without pilots and backfill has; counters as the parser names them."""


def test_metrics_are_what_prometheus_reads_and_say_what_is(federator: Federator) -> None:
    federator.write([*TWO, before("cern", "exoscale")])
    federator.start()
    federator.submit(service("hub", 6, queue="atlas"), batch("big", 2, ["true"], cpu="16", queue="cms"))
    stands(federator, "hub", cern=4, exoscale=2)
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    families = set()

    def read() -> None:
        values.clear()
        for family in text_string_to_metric_families(federator.http("/metrics", "text/plain")):
            families.add(family.name)
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in values, f"{key} is there twice"
                values[key] = sample.value

    def value(name: str, **labels: str) -> float | None:
        return values.get((f"federator_{name}", tuple(sorted(labels.items()))))

    def settled() -> bool:
        read()
        used = value("cluster_used", cluster="cern", resource="cpu", **{"class": "production"})
        return used == 4.0 and value("queue_workloads", queue="atlas", state="running") == 1.0

    until(settled, "the metrics to show what runs", lambda: federator.http("/metrics", "text/plain"))
    assert {f"federator_{name}" for name in HERE} <= families
    assert value("cluster_capacity", cluster="cern", resource="cpu") == 4.0
    assert value("cluster_capacity", cluster="cern", resource="memory") == 16 * 2**30
    assert value("cluster_used", cluster="exoscale", resource="cpu", **{"class": "production"}) == 2.0
    assert value("cluster_up", cluster="cern") == 1.0
    assert value("queue_workloads", queue="cms", state="waiting") == 1.0
    assert value("queue_share", queue="atlas") == pytest.approx(6 / 8)
    assert value("refused_replicas", queue="cms", reason="TooBig") == 2.0
    assert value("placements_total", cluster="cern", policy="cern-first") == 4.0
    assert value("moves_total") == 0.0
    assert value("wait_seconds_count", queue="atlas") == 1.0
    for name in ("plan_seconds", "cycle_seconds", "event_loop_lag_seconds"):
        assert (value(f"{name}_count") or 0) > 0
        assert 0 <= (value(f"{name}_sum") or 0) < 60
    assert (value("dispatch_seconds_count", cluster="cern", outcome="accepted") or 0) >= 1
    labels = {label for (name, labels) in values for label, _ in labels if name.startswith("federator_")}
    assert "workload" not in labels
    federator.cli("drain", "exoscale")
    federator.cli("cancel", "hub")
    until(lambda: (read(), value("queue_workloads", queue="atlas", state="running"))[1] is None, "the hub to go")


def test_control_c_ends_it_in_order_and_the_next_start_goes_on(federator: Federator, tmp_path: Path) -> None:
    out = tmp_path / "out"
    federator.write(TWO)
    federator.start()
    federator.submit(batch("long", 2, ["sh", "-c", f"{federator.held}; echo x >> {out}"]), service("hub", 1))
    federator.wait_for("long", lambda w: w["running"] == 2)
    federator.wait_for("hub", lambda w: w["running"] == 1)
    watching = subprocess.Popen(
        [sys.executable, "-m", "federator", "get", "workloads", "--watch"],
        cwd=federator.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert watching.stdout is not None
    assert b"NAME" in watching.stdout.readline()
    assert federator.process is not None
    federator.process.send_signal(signal.SIGINT)
    assert federator.process.wait(PATIENCE_S) == 0, "a client that watches must not hold it up"
    assert watching.wait(60) == 3, "the one who watches is told that the server has gone"
    log = federator.log.read_text(errors="replace")
    assert '"stopping"' in log
    assert '"stopped"' in log
    assert "Traceback" not in log
    assert not (federator.folder / "var" / "endpoint.json").exists()
    federator.let_go()
    gone = federator.try_cli("get", "workloads")
    assert gone.returncode == 3
    assert "federator run" in gone.stderr
    federator.start()
    assert federator.wait_for("long", lambda w: w["state"] == "finished")["finished"] == 2
    assert out.read_text().count("x") == 2
    assert federator.wait_for("hub", lambda w: w["running"] == 1)["state"] == "running"
