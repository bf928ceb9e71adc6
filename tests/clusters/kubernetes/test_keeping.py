"""Checkpoints at a Kubernetes cluster: a companion in the pod, and a Secret that goes with the Job."""

from __future__ import annotations

import base64
import io
import json
import logging
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from federator.clusters.kubernetes import names
from federator.clusters.kubernetes.keeping import FOLDER
from federator.clusters.kubernetes.objects import JOB
from federator.clusters.kubernetes.templates import Facts
from federator.clusters.kubernetes.translate import manifests
from federator.model.checkpoints import Attempt, Checkpoints
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Order
from federator.ports import OrderRefused
from tests.clusters.kubernetes import orders
from tests.clusters.kubernetes.fake_api import FakeApi, Trouble
from tests.clusters.kubernetes.fake_member import made, opened, until
from tests.clusters.kubernetes.shapes import Json, condition, containers, ours, pod
from tests.clusters.kubernetes.test_observe import Seen, each

SECRET = "X-Signature=very-secret"
RUN = ["python3", "-I", "-S", "/run/federator/told/companion", "run", "$(FEDERATOR_REPLICA_INDEX)", FOLDER]


def keeping(indices: IndexSet | int, url: str = "https://store.example.org/kept", **more: Any) -> Order:
    """The second attempt at these tasks."""
    chosen = IndexSet.span(0, indices) if isinstance(indices, int) else indices
    attempt = Attempt(Checkpoints(url, 60.0, 2**30), "bag-1a", 2, ((1, chosen),))
    payload = Container("image:1", ("count", "$(FEDERATOR_CHECKPOINT_DIR)"), ("--to", "9"), {"A": "b"})
    return orders.batch("bag-1a-2", chosen, attempt=attempt, grace_s=4.5, **{"container": payload, **more})


def signing(method: str, place: str) -> str:
    return f"{place}?{method}&{SECRET}"


def told_by(secret: Json) -> Json:
    """What the companion of a Secret is told."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(secret["data"]["companion"]))) as archive:
        found: Json = json.loads(archive.read("federator/told.json"))
        return found


def test_each_replica_has_a_job_whose_companion_runs_the_payload() -> None:
    """Also where one Indexed Job would do: each has a Secret of its own."""
    one, two = manifests(keeping(IndexSet.parse("3,9")), Facts("fed", "work", per_index=True))
    spec = two["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["command"] == [*RUN, "count", "$(FEDERATOR_CHECKPOINT_DIR)", "--to", "9"]
    assert "args" not in container
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert (env["FEDERATOR_CHECKPOINT_DIR"], env["FEDERATOR_REPLICA_INDEX"], env["A"]) == (FOLDER, "9", "b")
    assert spec["terminationGracePeriodSeconds"] == 5
    assert [list(volume)[1] for volume in spec["volumes"]] == ["secret", "emptyDir"]
    named = [found["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] for found in (one, two)]
    assert named == ["bag-1a-2-3-checkpoints", "bag-1a-2-9-checkpoints"]
    assert two["spec"]["template"]["metadata"]["labels"][names.KEPT] == two["metadata"]["labels"][names.KEPT] == "true"


async def test_addresses_are_in_a_secret_that_the_job_owns_and_nowhere_else(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path, sign=signing) as provider:
        await provider.submit(keeping(2))
        assert "checkpoints" in (await provider.observe()).abilities
    jobs, secrets = api.all("jobs"), api.all("secrets")
    owners = [[owner["uid"] for owner in secret["metadata"]["ownerReferences"]] for secret in secrets]
    assert owners == [[job["metadata"]["uid"]] for job in jobs]
    assert SECRET not in json.dumps(jobs)
    for index, secret in enumerate(secrets):
        told = told_by(secret)
        place = f"https://store.example.org/kept/bag-1a-{index}-"
        assert list(told["errands"]) == [str(index)], "it knows of no other replica"
        errand = told["errands"][str(index)]
        assert errand["put"] == [signing("PUT", f"{place}2-{slot}") for slot in (0, 1)]
        assert errand["get"] == [signing("GET", f"{place}{end}") for end in ("2-0", "2-1", "1-0", "1-1")]
        assert (told["graceSeconds"], told["goodUntil"]) == (5, None)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"container": Container("image:1", (), ("--to", "9"))}, "give container.command"),
        ({"url": "file:///shared/kept"}, "pods do not see file:///shared/kept"),
        ({"url": "s3://bucket/kept"}, "name its store in checkpointStores"),
    ],
)
async def test_what_can_not_be_kept_is_refused_and_it_is_said_why(
    api: FakeApi, tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    async with opened(api, tmp_path) as provider:
        with pytest.raises(OrderRefused, match=words) as caught:
            await provider.submit(keeping(1, **more))
        assert caught.value.permanent
    assert not api.all("jobs")


async def test_where_secrets_may_not_be_made_nothing_is_kept_and_the_rest_goes_on(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    api.forbidden = {("create", "secrets"), ("patch", "secrets")}
    with caplog.at_level(logging.WARNING):
        async with opened(api, tmp_path) as provider:
            await provider.submit(orders.batch("w1", 1))
            seen = await provider.observe()
    assert "checkpoints" not in seen.abilities
    assert (
        seen.version == "Kubernetes v1.20.2; keeps no checkpoints: it may not create, patch Secrets in namespace work"
    )
    assert [record.getMessage() for record in caplog.records if "checkpoints" in record.getMessage()] == [
        "cluster cern: no checkpoints are kept: it may not create, patch Secrets in namespace work"
    ]


async def test_a_job_whose_secret_was_not_made_has_it_after_the_next_try(api: FakeApi, tmp_path: Path) -> None:
    """A crash between the two is the same: the order is sent again until all of it is there."""
    api.troubles.append(Trouble("POST", "/secrets", 503, "try again"))
    async with opened(api, tmp_path) as provider:
        with pytest.raises(OrderRefused, match="try again"):
            await provider.submit(keeping(1))
        assert (len(api.all("jobs")), api.all("secrets")) == (1, [])
        await provider.submit(keeping(1))
        await provider.submit(keeping(1))
    assert (len(api.all("jobs")), len(api.all("secrets"))) == (1, 1)


async def test_what_runs_is_given_new_addresses_by_a_daemon_that_started_anew(
    api: FakeApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, since it does not know how old they are, and then not before it is time."""

    def signed(method: str, place: str) -> str:
        return f"https://new/{method}/{place.rpartition('/')[2]}"

    def renewals() -> int:
        return sum(method == "PATCH" and "/secrets/" in path for method, path in api.requests)

    async with opened(api, tmp_path, sign=signing) as provider:
        await provider.submit(keeping(2, url="s3://bucket/kept"))
        await provider._addresses.renew()
        assert not renewals(), "they have just been made"
    done = api.objects["jobs"]["work", "bag-1a-2-1"]
    done["status"] = {"conditions": [condition("Complete")]}
    await api.put("jobs", done)
    async with opened(api, tmp_path, sign=signed) as provider:
        await until(provider, lambda seen: str(seen.intents["bag-1a-2"].succeeded) == "1")
        await provider.submit(keeping(2, url="s3://bucket/kept"))  # whose answer was lost in the crash
        api.troubles.append(Trouble("PATCH", "/secrets/", 500, "later"))
        await provider._addresses.renew()
        await provider._addresses.renew()
        assert renewals() == 1, "it waits before it tries again"
        assert "bag-1a-2-0 were not renewed" in caplog.text
        provider._addresses._next_s.clear()
        for _ in range(3):
            await provider._addresses.renew()
        assert renewals() == 2
    told = json.loads(base64.b64decode(api.objects["secrets"]["work", "bag-1a-2-0-checkpoints"]["data"]["addresses"]))
    assert told["errands"]["0"]["put"] == [f"https://new/PUT/bag-1a-0-2-{slot}" for slot in (0, 1)]
    assert told["goodUntil"] > 0
    assert "addresses" not in api.objects["secrets"]["work", "bag-1a-2-1-checkpoints"]["data"]


async def test_addresses_that_are_good_for_ever_are_not_renewed(api: FakeApi, tmp_path: Path) -> None:
    async with opened(api, tmp_path) as provider:
        await provider.submit(keeping(1))
        provider._addresses._next_s.clear()
        await provider._addresses.renew()
    assert not [path for method, path in api.requests if method == "PATCH"]


def ended(code: int, *, deleted: str = "", **state: Any) -> Seen:
    """The first replica of ``w1``, a filler whose checkpoints are kept."""
    state = {"reason": "Completed", "finishedAt": "2026-01-01T00:00:40Z", "exitCode": code, **state}
    phase, verdict = ("Succeeded", "Complete") if code == 0 else ("Failed", "Failed")
    status = containers("terminated", **state)
    raw = pod("a", intent="w1", index=0, node="n1", phase=phase, status=status, deleted=deleted)
    job = ours("Job", "w1-0", "0", status={"conditions": [condition(verdict)]})
    for one in (raw, job):
        one["metadata"]["labels"] |= {names.BACKFILL: "true", names.KEPT: "true"}
    seen = Seen()
    record, found = seen.cache.read_object(job, JOB), seen.cache.read_pod(raw)
    assert record is not None
    assert found is not None
    seen.cache.objects(JOB).put(record)
    seen.cache.pods.put(found)
    return seen


TOLD = "2026-01-01T00:01:00Z"
"""The end of the grace: it was told to end at 00:00:30."""


def test_a_companion_says_exactly_which_end_was_told() -> None:
    """Of a pod that is told to end while it drops what it does not need any more, the work is done."""
    for gone in (False, True):
        done, told = ended(0, deleted=TOLD), ended(143, deleted=TOLD)
        if gone:
            done.gone("pod-a")
            told.gone("pod-a")
        assert each(done.w1) == ("", "", "0", "")
        assert each(told.w1) == ("", "", "", "0")
        (failure,) = told.w1.failed
        assert (failure.reason, failure.own_fault) == ("Deleted", False)


@pytest.mark.parametrize(
    ("code", "message"),
    [(78, ""), (128, 'runc create failed: exec: "python3": executable file not found in $PATH: unknown')],
)
def test_an_image_without_python_is_named(code: int, message: str) -> None:
    (failure,) = ended(code, reason="StartError", message=message).w1.failed
    assert (failure.reason, failure.own_fault) == ("NoPython", True)
    assert failure.message == "there is no python3 (3.9 or newer) here, which carries checkpoints"


def kept_pod(name: str, index: int, message: str, code: int = 0) -> Json:
    """One that has ended, with what stands in its status then."""
    status = containers("terminated", exitCode=code, finishedAt="2026-01-01T00:00:40Z", message=message)
    raw = pod(name, intent="w1", index=index, node="n1", phase="Failed" if code else "Succeeded", status=status)
    raw["metadata"]["labels"][names.KEPT] = "true"
    return raw


async def test_what_pods_tell_of_checkpoints_is_counted_once_when_they_have_ended(api: FakeApi, tmp_path: Path) -> None:
    """Also when the watch begins anew; of what had ended before this daemon began, nothing is."""
    counts: Counter[str] = Counter()

    def kept(outcome: str, count: int) -> None:
        counts[outcome] += count

    line = 'federator: checkpoints {"kept":2,"failed":1,"why":"full"}\n'
    await api.put("pods", kept_pod("before", 0, line))
    async with opened(api, tmp_path, kept=kept) as provider:
        await provider.observe()
        await api.put("pods", kept_pod("now", 1, f"its last words\n{line}", 143))
        stranger = kept_pod("stranger", 2, line)
        del stranger["metadata"]["labels"][names.KEPT]
        await api.put("pods", stranger)
        seen = await until(provider, lambda seen: len(seen.intents["w1"].succeeded) == 2)
        assert counts == {"kept": 2, "failed": 1}
        (failure,) = seen.intents["w1"].failed
        assert failure.message == "its last words"
        await api.cut()
        await api.put("pods", kept_pod("later", 3, 'federator: checkpoints {"resumed":1}'))
        await until(provider, lambda seen: len(seen.intents["w1"].succeeded) == 3)
        for name in ("before", "now", "later"):
            await api.remove("pods", name)
        await until(provider, lambda seen: "w1" not in seen.intents or not seen.intents["w1"].failed)
    assert counts == {"kept": 2, "failed": 1, "resumed": 1}


def test_a_cluster_that_was_not_asked_yet_keeps_nothing(tmp_path: Path) -> None:
    assert "checkpoints" not in made(str(tmp_path / "none"))._abilities()
