"""Refusals, bad credentials, and news in the wrong order."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from federator.clock import VirtualClock
from federator.clusters.kubernetes.errors import ApiError, refusal
from federator.clusters.kubernetes.kubeconfig import BadKubeconfig, find_source
from federator.clusters.kubernetes.pace import TokenBucket
from federator.clusters.kubernetes.settings import KubernetesSettings
from federator.clusters.kubernetes.table import Table


@pytest.mark.parametrize(
    ("status", "message", "reason", "permanent"),
    [
        (400, "bad", "Invalid", True),
        (422, 'Job "x" is invalid: spec', "Invalid", True),
        (403, 'jobs.batch is forbidden: User "u" cannot create resource', "Forbidden", True),
        (403, 'pods "x" is forbidden: exceeded quota: q', "QuotaExceeded", False),
        (
            403,
            "unable to create new content in namespace a because it is being terminated",
            "NamespaceTerminating",
            False,
        ),
        (403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest"', "AdmissionDenied", True),
        (400, 'admission webhook "v.example.org" denied the request: no', "AdmissionDenied", True),
        (500, 'Internal error occurred: failed calling webhook "v": timeout', "AdmissionUnavailable", False),
        (404, 'namespaces "x" not found', "NotFound", True),
        (409, "the object has been modified", "Conflict", False),
        (429, "too many requests", "TooManyRequests", False),
        (500, "etcdserver: request timed out", "ServerError", False),
        (503, "unavailable", "ServerError", False),
        (504, "timeout", "ServerError", False),
    ],
)
def test_a_refusal_says_whether_to_try_again(status: int, message: str, reason: str, permanent: bool) -> None:
    found = refusal(ApiError(status, "", message))
    assert (found.reason, found.permanent) == (reason, permanent)


def test_the_server_says_when_to_come_back() -> None:
    assert refusal(ApiError(429, "TooManyRequests", "slow down", retry_after_s=7.0)).retry_after_s == 7.0


SECRET = "s3cr3t-token"
GOOD = f"""
current-context: prod
clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:6443'}}}}]
users: [{{name: u, user: {{token: {SECRET}}}}}]
contexts: [{{name: prod, context: {{cluster: c, user: u}}}}]
"""


@pytest.mark.parametrize(
    ("text", "context", "words"),
    [
        (None, "", "is not there"),
        ("a: [", "", "not YAML"),
        ("[1, 2]", "", "not a kubeconfig"),
        (GOOD, "tset", "no context called 'tset'; it has prod"),
        (GOOD.replace("cluster: c,", "cluster: d,"), "", "no cluster called 'd'; it has c"),
        (GOOD.replace("user: u}", "user: v}"), "", "no user called 'v'; it has u"),
        (GOOD.replace("server: 'https://127.0.0.1:6443'", "x: 1"), "", "no server address"),
        (GOOD.replace("current-context: prod", ""), "", "no current-context"),
    ],
)
def test_a_bad_kubeconfig_is_named_with_its_cure_and_without_its_secrets(
    tmp_path: Path, text: str | None, context: str, words: str
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadKubeconfig, match=words) as caught:
        find_source(KubernetesSettings(kubeconfig=str(path), context=context), {})
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_pod_s_own_account_is_used_inside_a_cluster(tmp_path: Path) -> None:
    inside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert find_source(KubernetesSettings(), inside).path == ""
    path = tmp_path / "config"
    path.write_text(GOOD)
    assert find_source(KubernetesSettings(kubeconfig=str(path)), inside).path == str(path)


@dataclass(frozen=True)
class Thing:
    uid: str
    version: str
    what: str = ""


def table() -> tuple[Table[Thing], list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []

    def moved(old: Thing | None, new: Thing | None) -> None:
        told.append((old.what if old else "-", new.what if new else "-"))

    return Table(moved), told


def test_older_news_never_replaces_newer() -> None:
    things, told = table()
    things.put(Thing("a", "5", "written by us"))
    things.put(Thing("a", "3", "from a late watch"))
    assert things.rows["a"].what == "written by us"
    assert told == [("-", "written by us")]


def test_a_late_answer_does_not_bring_back_what_is_gone() -> None:
    things, _ = table()
    things.put(Thing("a", "5"))
    things.drop("a")
    things.put(Thing("a", "5"))
    assert things.rows == {}


def test_a_list_that_is_older_than_our_write_does_not_undo_it() -> None:
    things, _ = table()
    things.put(Thing("old", "4"))
    things.put(Thing("ours", "9"))
    things.replace([Thing("listed", "6")], "7")
    assert set(things.rows) == {"listed", "ours"}


async def test_a_burst_passes_and_then_the_rate_holds() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(10.0, 5, clock)
    for _ in range(5):
        await bucket.turn()
    assert clock.now_s() == 0.0
    turns = [asyncio.create_task(bucket.turn()) for _ in range(20)]
    await clock.advance(1.05)
    assert sum(turn.done() for turn in turns) == 10
    await clock.advance(1.0)
    assert all(turn.done() for turn in turns)
