"""Whatever is wrong with what it is given: the daemon runs on, says what is wrong and the cure, and does no half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.federator_process import Federator, batch, kubernetes, local, named, until, with_version
from tests.servers.fixtures import KubernetesPair
from tests.servers.processes import free_port

pytestmark = pytest.mark.real

BODY_LIMIT = 64 * 1024
ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(f'*{old}' for _ in range(10))}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
WORKLOAD = "apiVersion: federator.dev/v1alpha1\nkind: Workload\nmetadata: {name: bad}\nspec:\n"
GOOD = yaml.safe_dump(with_version(batch("good", 1, ["true"])))
BAD_TEXTS = {
    "not-yaml": ("kind: [Workload\nmetadata: }", "is not YAML"),
    "alias-bomb": (ALIAS_BOMB, "alias"),
    "deep": ("[" * 100_000, "deep"),
    "deep-mapping": ("\n".join(" " * depth + "a:" for depth in range(200)), "deep"),
    "no-mapping": ("just words", "mapping"),
    "unknown-kind": ("apiVersion: federator.dev/v1alpha1\nkind: Wrkload\nmetadata: {name: bad}\n", "Workload"),
    "unknown-key": (f"{WORKLOAD}  replicaz: 3\n  container: {{image: x}}\n", "replicas"),
    "wrong-unit": (f"{WORKLOAD}  requests: {{memory: 2GB}}\n  container: {{image: x}}\n", "2GB"),
    "wrong-type": (f"{WORKLOAD}  replicas: three\n  container: {{image: x}}\n", "replicas"),
    "negative": (f"{WORKLOAD}  replicas: -1\n  container: {{image: x}}\n", "replicas"),
    "wrong-name": (
        "apiVersion: federator.dev/v1alpha1\nkind: Workload\nmetadata: {name: 'A b/../c'}\nspec: {}\n",
        "name",
    ),
    "nothing-to-run": (f"{WORKLOAD}  replicas: 2\n", "container"),
    "wrong-expression": (
        f"{WORKLOAD}  clusters: {{where: 'cluster.labels['}}\n  container: {{image: x}}\n",
        "where",
    ),
    "a-policy": (
        "apiVersion: federator.dev/v1alpha1\nkind: PlacementPolicy\nmetadata: {name: bad}\nspec: {}\n",
        "federator apply",
    ),
}
"""What is handed in, and a word of what must be said about it."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federator]:
    """One daemon over one local cluster for all tests of what is handed in; it must be none the worse for any."""
    one = Federator(tmp_path_factory.mktemp("bad-input"))
    one.write([local("here", 4)], bodyLimit=f"{BODY_LIMIT // 1024}Ki")
    one.start()
    yield one
    unharmed(one)
    one.clean_up()


def unharmed(daemon: Federator) -> None:
    """It lives, and holds nothing that was refused."""
    assert daemon.process is not None
    assert daemon.process.poll() is None, daemon.tail()
    assert daemon.checks()["ready"]
    names = {workload["name"] for workload in daemon.items("workloads?limit=1000")}
    assert not names & {"bad", "good"}, "something was applied though it was refused"
    assert "Traceback" not in daemon.log.read_text(errors="replace")


@pytest.mark.parametrize("case", BAD_TEXTS)
def test_a_bad_document_is_refused_by_the_command_line_with_status_two(daemon: Federator, case: str) -> None:
    """It is handed in after a good one, of which nothing must be taken in either."""
    text, word = BAD_TEXTS[case]
    path = daemon.folder / f"{case}.yaml"
    path.write_text(f"{GOOD}---\n{text}")
    done = daemon.try_cli("submit", "-f", str(path))
    assert done.returncode == 2, done.stderr
    assert word in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 4000
    assert done.stdout == ""
    unharmed(daemon)


def test_a_bad_document_is_refused_by_the_server_too(daemon: Federator) -> None:
    """Whoever does not use our command line gets a problem document that says where and what."""
    for case, (text, word) in BAD_TEXTS.items():
        if len(text) < BODY_LIMIT // 2:
            answer = daemon.ask("POST", "/api/v1/workloads", f"{GOOD}---\n{text}")
            assert answer.status in (400, 422), (case, answer)
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert word in json.dumps(answer.body), (case, answer)
            if answer.status == 422:
                assert answer.body["errors"][0]["message"]
    unharmed(daemon)


def test_huge_empty_and_strange_bodies_are_refused(daemon: Federator) -> None:
    huge = daemon.ask("POST", "/api/v1/workloads", GOOD + "#" * BODY_LIMIT)
    assert huge.status == 413
    assert str(BODY_LIMIT) in huge.body["detail"]
    path = daemon.folder / "huge.yaml"
    path.write_text(yaml.safe_dump(with_version(batch("good", 1, ["x" * BODY_LIMIT]))))
    done = daemon.try_cli("submit", "-f", str(path))
    assert done.returncode == 2
    assert "parts" in done.stderr
    path.write_text("a" * (9 * 2**20))
    done = daemon.try_cli("submit", "-f", str(path))
    assert done.returncode == 2
    assert "8 MiB" in done.stderr
    for body, kind, status in (
        ("", "application/yaml", 400),
        ("{", "application/json", 400),
        ("[" * 20_000, "application/json", 400),
        (b"\xff\xfe\x00", "application/yaml", 400),
        (GOOD, "application/xml", 415),
    ):
        answer = daemon.ask("POST", "/api/v1/workloads", body, headers={"Content-Type": kind})
        assert answer.status == status, (body[:20], answer)
        assert answer.body["detail"]
    assert daemon.ask("GET", "/api/v1/nothing").status == 404
    assert daemon.ask("PATCH", "/api/v1/workloads").status == 405
    unharmed(daemon)


def test_files_that_are_not_there_and_slips_on_the_command_line_have_status_two(daemon: Federator) -> None:
    (daemon.folder / "empty").mkdir()
    for words, word in (
        (("submit", "-f", "nowhere.yaml"), "nowhere.yaml"),
        (("submit", "-f", "empty"), "no document"),
        (("get", "wrkloads"), "workloads"),
        (("wait", "x", "--for", "done"), "finished"),
        (("plan", "nowhere.yaml"), "nowhere.yaml"),
    ):
        done = daemon.try_cli(*words)
        assert done.returncode == 2, (words, done.returncode, done.stderr)
        assert word in done.stderr, done.stderr
        assert done.stdout == ""


def test_what_is_not_there_is_a_no_and_a_server_that_is_not_there_has_status_three(daemon: Federator) -> None:
    daemon.submit(batch("present", 1, ["true"]))
    done = daemon.try_cli("get", "workload", "presnt")
    assert done.returncode == 1
    assert "did you mean 'present'" in done.stderr
    done = daemon.try_cli("get", "workloads", "--server", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 3
    assert "cannot be reached" in done.stderr
    found = daemon.try_cli("get", "workload", "present", "-o", "json")
    assert found.returncode == 0
    assert json.loads(found.stdout)["name"] == "present", "standard output is one document and nothing else"


def test_tokens_open_what_their_role_allows_and_nothing_else(daemon: Federator) -> None:
    for role, more in {"reader": (), "submitter": ("--queue", "atlas*")}.items():
        made = daemon.cli("token", "new", f"some-{role}", "--role", role, *more, "--to-file", f"{role}.token")
        assert made == ""
        assert (daemon.folder / f"{role}.token").stat().st_mode & 0o777 == 0o600
    reader = (daemon.folder / "reader.token").read_text().strip()
    submitter = (daemon.folder / "submitter.token").read_text().strip()
    other_queue = yaml.safe_dump(with_version(batch("good", 1, ["true"], queue="cms")))
    own_queue = yaml.safe_dump(with_version(batch("of-atlas", 1, ["true"], queue="atlas-mc")))
    policy = yaml.safe_dump(with_version(named("PlacementPolicy", "bad", {})))
    for method, path, body, token, status in (
        ("GET", "/api/v1/workloads", None, "", 401),
        ("GET", "/api/v1/workloads", None, "fed_wrong", 401),
        ("GET", "/api/v1/workloads", None, reader, 200),
        ("POST", "/api/v1/workloads", GOOD, reader, 403),
        ("POST", "/api/v1/workloads", other_queue, submitter, 403),
        ("POST", "/api/v1/workloads", f"{own_queue}---\n{other_queue}", submitter, 403),
        ("POST", "/api/v1/workloads", own_queue, submitter, 201),
        ("PUT", "/api/v1/apply", policy, submitter, 403),
        ("POST", "/api/v1/clusters/here/cordon", None, submitter, 403),
        ("GET", "/api/v1/tokens", None, submitter, 403),
    ):
        answer = daemon.ask(method, path, body, token=token)
        assert answer.status == status, (method, path, answer)
        if status == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
    path = daemon.folder / "good.yaml"
    path.write_text(GOOD)
    done = daemon.try_cli("submit", "-f", str(path), "--token-file", "reader.token")
    assert done.returncode == 1
    assert "ask an operator" in done.stderr
    (daemon.folder / "wrong.token").write_text("fed_wrong\n")
    done = daemon.try_cli("get", "workloads", "--token-file", "wrong.token")
    assert done.returncode == 1
    assert "token" in done.stderr
    daemon.cli("token", "revoke", "some-reader")
    assert daemon.ask("GET", "/api/v1/workloads", token=reader).status == 401
    log = daemon.log.read_text(errors="replace")
    assert reader not in log
    assert submitter not in log
    unharmed(daemon)


def test_the_same_request_twice_makes_one_workload(daemon: Federator) -> None:
    twice = yaml.safe_dump(with_version(batch("twice", 1, ["true"])))
    key = {"Idempotency-Key": "once-and-for-all"}
    first = daemon.ask("POST", "/api/v1/workloads", twice, headers=key)
    again = daemon.ask("POST", "/api/v1/workloads", twice, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    other = daemon.ask("POST", "/api/v1/workloads", GOOD, headers=key)
    assert other.status == 422
    assert "another request" in other.body["detail"]
    same = daemon.ask("POST", "/api/v1/workloads", twice)
    assert same.status == 200
    assert same.body["items"][0]["result"] == "unchanged"
    changed = daemon.ask("POST", "/api/v1/workloads", twice.replace("replicas: 1", "replicas: 2"))
    assert changed.status == 409
    assert "delete it first" in changed.body["detail"]
    assert len([w for w in daemon.items("workloads?limit=1000") if w["name"] == "twice"]) == 1
    unharmed(daemon)


def test_clusters_that_cannot_be_used_say_why_and_hold_up_nobody(
    federator: Federator, kubernetes_pair: KubernetesPair
) -> None:
    """Eight ways in which a kubeconfig or its server may be wrong, beside two clusters that work."""
    plane, other = kubernetes_pair.cern.plane, kubernetes_pair.gpu.plane
    namespace, port = plane.new_namespace("bad-input"), free_port()
    folder = federator.folder
    (folder / "garbage").write_text("apiVersion: v1\nkind: [Config\n")
    whole = yaml.safe_load(plane.kubeconfig.read_text())
    (folder / "no-user").write_text(yaml.safe_dump({**whole, "users": []}))
    expected: dict[str, tuple[Path, tuple[str, ...]]] = {
        "missing": (folder / "nowhere.kubeconfig", ("is not there", "correct `kubeconfig`")),
        "garbage": (folder / "garbage", ("not YAML", str(folder / "garbage"))),
        "no-user": (folder / "no-user", ("no user called",)),
        "expired": (plane.kubeconfig_for("nobody", "wrong-token"), ("401", "renew them")),
        "forbidden": (plane.kubeconfig_for("stranger"), ("forbidden", "stranger", "give its user the rights")),
        "nothing": (plane.kubeconfig_for("admin", url=f"https://127.0.0.1:{port}"), (f"127.0.0.1:{port}",)),
        "frozen": (other.kubeconfig, ("no answer", "context gpu")),
    }
    clusters = [kubernetes(name, path, namespace) for name, (path, _) in expected.items()]
    wrong_context: dict[str, Any] = kubernetes("context", plane.kubeconfig, namespace)
    wrong_context["spec"]["kubernetes"]["context"] = "prod"
    expected["context"] = (plane.kubeconfig, ("no context called 'prod'", "it has"))
    federator.write([kubernetes("cern", plane.kubeconfig, namespace), local("here", 2), *clusters, wrong_context])
    other.freeze()
    try:
        federator.start()
        federator.submit(batch("reco", 4, ["sh", "-c", "sleep 1"]))
        federator.wait_for("reco", lambda w: w["state"] == "finished")

        def told() -> bool:
            messages = {c["name"]: c["message"] for c in federator.items("clusters")}
            return all(word in messages[name] for name, (_, words) in expected.items() for word in words)

        until(told, "every cluster to say what is wrong", lambda: federator.cli("get", "clusters", "-o", "yaml"))
        shown = federator.cli("get", "clusters")
        for name, (_, words) in expected.items():
            assert words[0] in shown, f"{name}: {shown}"
        for name in ("missing", "expired", "frozen"):
            assert expected[name][1][0] in federator.cli("describe", "cluster", name)
        health = {c["name"]: c["health"] for c in federator.items("clusters")}
        assert (health["cern"], health["here"]) == ("up", "up")
        assert "up" not in {health[name] for name in expected}
        explained = federator.cli("explain", "reco")
        assert "Traceback" not in explained
        metrics = federator.http("/metrics", "text/plain")
        assert 'federator_cluster_up{cluster="frozen"} 0.0' in metrics
        assert 'federator_cluster_up{cluster="here"} 1.0' in metrics
    finally:
        other.thaw()
    until(lambda: federator.http("/api/v1/clusters/frozen")["health"] == "up", "the thawed cluster to be up",
          federator.tail)  # fmt: skip
    log = federator.log.read_text(errors="replace")
    assert plane.token not in log
    assert "Traceback" not in log
    plane.client.call("DELETE", f"/api/v1/namespaces/{namespace}")
