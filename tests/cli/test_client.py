"""The client commands, against a server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from federator.ports import ClusterUnreachable, StoreUnavailable
from tests.cli.conftest import Api, Run
from tests.patience import PATIENCE_S
from tests.servers.processes import free_port

Client = Callable[..., Any]
WORK = """\
apiVersion: federator.dev/v1alpha1
kind: Workload
metadata: {name: NAME}
spec: {queue: atlas, replicas: 3, requests: {cpu: 1}, container: {command: ["true"]}}
"""


@pytest.fixture
def work(tmp_path: Path) -> str:
    path = tmp_path / "work.yaml"
    path.write_text("---\n".join(WORK.replace("NAME", name) for name in ("one", "two")))
    return str(path)


async def test_work_is_handed_in_seen_explained_and_cancelled(client: Client, work: str) -> None:
    result = await client("submit", "-f", work)
    assert (result.status, result.out) == (0, "workload/one created\nworkload/two created\n")
    assert (await client("submit", "-f", work)).out.endswith("workload/two unchanged\n")
    for kind in ("workloads", "workload", "wl"):
        result = await client("get", kind)
        assert [line.split()[0] for line in result.out.splitlines()] == ["NAME", "one", "two"]
    assert "no room anywhere" in result.out
    result = await client("explain", "one")
    for words in ("fill-cern-before-cloud", "policies/fill.yaml:1", "1 cpu is free", "ImagePullBackOff", "free 3 cpu"):
        assert words in result.out
    for words in ("number 2 of queue atlas", "12.5% of the federation (25% is due to it) and had <0.1% lately"):
        assert words in result.out
    assert (await client("cancel", "one", "two")).out == "workload/one cancelled\nworkload/two cancelled\n"
    assert (await client("delete", "-f", work)).out == "workload/one deleted\nworkload/two deleted\n"
    assert len((await client("get", "wl")).out.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [("clusters", ["cern", "up", "4/8"]), ("cl", ["exoscale"]), ("queues", ["atlas", "12.5%", "cpu 3"]),
     ("cohorts", ["lhc", "37.5%"]), ("limits", ["matlab", "20", "cern 5/5, desy 3"]),
     ("policies", ["ORDER"]), ("placements", ["CLUSTER"])],
)  # fmt: skip
async def test_every_kind_has_a_table(client: Client, kind: str, words: list[str]) -> None:
    result = await client("get", kind)
    assert result.status == 0
    for word in words:
        assert word in result.out


async def test_the_other_forms_are_names_json_and_yaml(client: Client, work: str) -> None:
    await client("submit", "-f", work)
    assert (await client("get", "wl", "-o", "name")).out == "workload/one\nworkload/two\n"
    assert [one["name"] for one in (await client("get", "wl", "-o", "json")).json["items"]] == ["one", "two"]
    assert (await client("get", "wl", "one", "-o", "json")).json["document"]["kind"] == "Workload"
    assert yaml.safe_load((await client("get", "wl", "one", "-o", "yaml")).out)["name"] == "one"
    assert "OWNER" in (await client("get", "wl", "-o", "wide")).out


async def test_workloads_are_narrowed_by_queue_state_and_labels(client: Client, work: str) -> None:
    await client("submit", "-f", work)
    assert (await client("get", "wl", "-q", "cms", "-o", "name")).out == ""
    assert (await client("get", "wl", "--state", "waiting", "-o", "name")).out.count("\n") == 2
    assert (await client("get", "wl", "-l", "a=b", "-o", "name")).out == ""
    assert (await client("get", "clusters", "-q", "cms")).status == 2


async def test_describe_shows_everything_and_the_history(client: Client, work: str) -> None:
    await client("submit", "-f", work)
    out = (await client("describe", "workload", "one")).out
    for words in ("Queue:", "atlas", "Submitted", "handed in", "command:"):
        assert words in out
    out = (await client("describe", "cluster", "cern")).out
    for words in ("Provider:", "FOREIGN", "1Gi", "started after 1.1 s where none did (median of the last 57)"):
        assert words in out
    out = (await client("describe", "queue", "atlas")).out
    for words in ("12.5% of all cpu", "Due:           25%", "LEFT"):
        assert words in out
    assert "Queues:        atlas\n" in (await client("describe", "cohort", "lhc")).out


async def test_a_filler_tells_what_it_was_worth_what_it_keeps_free_and_what_it_costs_production(
    client: Client,
) -> None:
    out = (await client("get", "backfills", "-o", "wide")).out
    for words in ("2.0 h", "1 min (1.0%)", "Preempted 3", "3.1 s beside, 1.1 s without"):
        assert words in out
    out = (await client("describe", "backfill", "lhc")).out
    for words in (
        "2.0 h of CPU time useful, 1 min (1.0%) lost",
        "after 3.1 s where backfill ran (median of the last 200), 1.1 s where none did (median of the last 57)",
        "KeptFree: 2 cpu is free",
        "cern: 2 cpu: others used 12 more within idleFor, most at ",
        "; idleAtMost keeps no more than 2 of it",
    ):
        assert words in out


async def test_logs_are_printed_as_they_are(client: Client, work: str, api: Api) -> None:
    await client("submit", "-f", work)
    assert (await client("logs", "one")).out == "line 1\nline 2\n"
    assert (await client("logs", "one", "--tail", "1")).out == "line 2\n"
    result = await client("logs", "one", "--replica", "9")
    assert (result.status, "has not started" in result.err) == (1, True)
    api.service.log_error = ClusterUnreachable("cern", "gone")
    result = await client("logs", "one", "--follow")
    assert (result.status, result.out) == (3, "line 1\nline 2\n")
    assert "ended early" in result.err


async def test_the_next_downtime_of_a_cluster_is_described_and_the_one_that_holds_is_listed(
    client: Client, api: Api
) -> None:
    cern = api.service.objects["clusters"]["cern"]
    cern["downtime"] = {"from": 2e9, "to": 2e9 + 60, "drainFrom": 2e9, "reason": "power", "state": "announced"}
    assert "2033-05-18" in (described := (await client("describe", "cluster", "cern")).out)
    assert described.count("power") == 1
    assert "power" not in (await client("get", "clusters")).out
    cern["downtime"]["state"] = "begun"
    (row,) = (line for line in (await client("get", "clusters")).out.splitlines() if line.startswith("cern"))
    assert row.split()[2] == "downtime"
    assert json.loads((await client("get", "cl", "cern", "-o", "json")).out)["downtime"]["reason"] == "power"


async def test_clusters_are_cordoned_and_drained(client: Client, api: Api) -> None:
    cern = api.service.objects["clusters"]["cern"]
    assert (await client("cordon", "cern")).out == "cluster/cern cordoned\n"
    assert cern["cordoned"]
    assert "cordoned" in (await client("get", "cl", "cern")).out
    await client("uncordon", "cern")
    assert not cern["cordoned"]
    await client("drain", "cern")
    assert (cern["draining"], cern["drainBy"]) == (True, None)
    await client("drain", "cern", "--deadline", "2h")
    assert cern["drainBy"] == 1000.0 + 7200
    assert (await client("drain", "cern", "--deadline", "soon")).status == 2
    assert (await client("drain", "cern", "--deadline", "1h", "--undo")).status == 2
    assert (await client("drain", "cern", "--undo")).out == "cluster/cern no longer draining\n"
    assert not cern["draining"]


async def test_apply_changes_and_delete_removes_any_kind(client: Client, tmp_path: Path) -> None:
    (tmp_path / "q.yaml").write_text(
        "apiVersion: federator.dev/v1alpha1\nkind: Queue\nmetadata: {name: cms}\nspec: {weight: 3}\n"
    )
    assert (await client("apply", "-f", "q.yaml")).out == "queue/cms created\n"
    assert (await client("apply", "-f", "-", stdin=(tmp_path / "q.yaml").read_text())).out == "queue/cms changed\n"
    assert (await client("delete", "queue", "cms")).status == 0
    result = await client("delete", "queue", "cms")
    assert (result.status, "cms" in result.err) == (1, True)
    assert (await client("delete", "queue", "cms", "--ignore-not-found")).status == 0
    result = await client("delete", "cluster", "cern")
    assert (result.status, "clusters.yaml:1" in result.err) == (1, True)


async def test_wait_ends_when_the_state_is_reached(client: Client, work: str, api: Api) -> None:
    await client("submit", "-f", work)

    async def finish() -> None:
        await api.service.listening.wait()
        api.service.objects["workloads"]["one"]["state"] = "finished"
        await api.service.happen("Finished", "", "one")

    result, _ = await asyncio.gather(client("wait", "one", "--timeout", "60s"), finish())
    assert (result.status, result.out) == (0, "workload/one finished\n")
    assert (await client("wait", "one", "--for", "running")).status == 0, "it has run, and it is over"


async def test_wait_says_no_when_the_state_will_not_come_or_not_in_time(client: Client, work: str, api: Api) -> None:
    await client("submit", "-f", work)
    result = await client("wait", "one", "--timeout", "300ms")
    assert (result.status, "not finished after 300ms" in result.err) == (1, True), result.err
    api.service.objects["workloads"]["one"]["state"] = "failed"
    result = await client("wait", "one")
    assert (result.status, "will not be finished" in result.err) == (1, True)
    assert (await client("wait", "one", "--for", "sleeping")).status == 2


async def test_a_snapshot_is_yaml_that_can_be_planned(client: Client) -> None:
    result = await client("snapshot")
    assert [one["kind"] for one in yaml.safe_load_all(result.out)] == ["Cluster", "Cluster"]
    planned = await client("plan", "-", "-o", "json", stdin=result.out + "---\n" + WORK.replace("NAME", "w"))
    assert planned.json["placements"], planned.err


async def test_files_with_slips_are_refused_before_anything_is_sent(client: Client, tmp_path: Path, api: Api) -> None:
    (tmp_path / "bad.yaml").write_text(WORK.replace("NAME", "ok") + "---\n" + WORK.replace("replicas", "replicsa"))
    result = await client("submit", "-f", "bad.yaml")
    assert result.status == 2
    assert "bad.yaml:9" in result.err
    assert "replicas" in result.err
    assert (await client("submit", "-f", "nothing.yaml")).status == 2
    assert (await client("submit", "-f", "-", stdin="")).status == 2
    assert (
        await client(
            "submit",
        )
    ).status == 2
    assert api.service.submissions == 0


@pytest.mark.parametrize("arguments", [("get", "wl"), ("explain",), ("cancel",), ("logs",)])
async def test_what_is_not_there_is_a_no(client: Client, arguments: tuple[str, ...]) -> None:
    result = await client(*arguments, "none")
    assert (result.status, result.out) == (1, "")
    assert "none" in result.err


async def test_a_kind_that_is_none_is_wrong_input_with_the_nearest(client: Client) -> None:
    result = await client("get", "worklods")
    assert (result.status, "workloads" in result.err) == (2, True)


async def test_wrong_tokens_and_roles_are_told_with_the_cure(client: Client, api: Api, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("fed_nobody_x\n")
    result = await client("get", "wl", "--token-file", "none")
    assert (result.status, "--token-file" in result.err) == (1, True)
    (tmp_path / "reader").write_text(api.tokens["reader"])
    result = await client("cordon", "cern", "--token-file", "reader")
    assert (result.status, "operator" in result.err) == (1, True)
    assert api.tokens["reader"] not in result.err
    assert (await client("get", "wl", "--token-file", "missing")).status == 2


async def test_a_server_in_trouble_is_status_3(client: Client, api: Api) -> None:
    api.service.fails_with = StoreUnavailable("the disk is full; make room")
    result = await client("get", "wl")
    assert (result.status, "the disk is full" in result.err) == (3, True)


@pytest.mark.parametrize("server", [None, "http://127.0.0.1:PORT", "http://no-such-host.invalid"])
def test_no_server_is_status_3_and_never_a_traceback(run: Run, server: str | None) -> None:
    given = ["--server", server.replace("PORT", str(free_port()))] if server else []
    result = run("get", "workloads", *given, "-o", "json")
    assert (result.status, result.out) == (3, "")
    assert "Traceback" not in result.err
    assert run("get", "workloads", "--server", "localhost:80").status == 2


async def test_the_daemon_of_this_folder_is_found_by_itself(
    client: Client, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FEDERATOR_SERVER")
    monkeypatch.delenv("FEDERATOR_TOKEN_FILE")
    (tmp_path / "var").mkdir()
    endpoint = {"url": api.url, "token_file": str(tmp_path / "operator.token"), "pid": 1}
    (tmp_path / "var" / "endpoint.json").write_text(json.dumps(endpoint))
    assert (await client("get", "clusters", "-o", "name")).out == "cluster/cern\ncluster/exoscale\n"


async def test_watch_shows_what_is_there_and_then_what_changes(api: Api, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(api.tokens["operator"])
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("federator")), "get", "clusters", "-w", "-o", "name"),
        *("--server", api.url, "--token-file", str(token)),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await process.stdout.readline() == b"cluster/cern\n"
            assert await process.stdout.readline() == b"cluster/exoscale\n"
            await api.service.listening.wait()
            api.service.objects["clusters"]["cern"]["cordoned"] = True
            await api.service.happen("Cordoned", "cern")
            assert await process.stdout.readline() == b"cluster/cern\n"
            process.send_signal(2)
            assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_tokens_are_made_listed_and_revoked_through_the_server(client: Client, tmp_path: Path) -> None:
    made = await client("token", "new", "ci", "--role", "submitter", "--queue", "atlas", "--expires", "1h")
    assert made.status == 0, made.err
    assert made.out.startswith("fed_ci_")
    listed = await client("token", "list")
    assert "atlas" in listed.out
    assert made.out.strip() not in listed.out
    (tmp_path / "ci").write_text(made.out)
    assert (await client("get", "wl", "--token-file", "ci")).status == 0
    assert (await client("token", "new", "ci", "--role", "reader")).status == 1
    assert (await client("token", "revoke", "ci")).out == "token/ci revoked\n"
    assert (await client("get", "wl", "--token-file", "ci")).status == 1
    assert (await client("token", "new", "x", "--role", "submitter")).status == 2
    result = await client("token", "new", "f", "--role", "reader", "--to-file", "secret")
    assert (result.out, (tmp_path / "secret").stat().st_mode & 0o777) == ("", 0o600)
