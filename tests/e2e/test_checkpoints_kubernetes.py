"""Tasks that an API server's own scheduler takes away go on from what was kept, here or elsewhere; sums stay exact."""

from __future__ import annotations

import base64
import io
import itertools
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.federator_process import Federator, batch, kubernetes, local, until, with_version
from tests.e2e.test_checkpoints import SECRET, Place
from tests.e2e.test_checkpoints_sites import TRACKS, bag, in_one_go, shared, whole_story
from tests.servers.control_plane import ControlPlane
from tests.servers.fake_node import fake_nodes
from tests.servers.fixtures import Cluster, start_cluster
from tests.servers.s3 import bucket
from tests.servers.site_python import python_with_numpy
from tests.web_store import WebStore

__all__ = ["shared"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
CORES = 2
IMAGE = "example.org/detector:1"
TAKEN_AWAY = "nothing of it runs"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return in_one_go(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One node, which runs what it is given."""
    cluster = start_cluster(
        ControlPlane("kept"), fake_nodes("kept", 1, {"cpu": str(CORES), "memory": "8Gi"}, executes=True)
    )
    yield cluster
    cluster.stop()


class Site:
    """A namespace of the cluster, and who else uses it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.namespace = cluster.plane.new_namespace(f"kept-{random.SystemRandom().randrange(16**6):06x}")
        self.document = kubernetes("kube", cluster.plane.kubeconfig, self.namespace)
        self._numbers = itertools.count()

    def evict(self, *command: str) -> None:
        """Somebody's pod, without any class, needs all of the node for a while."""
        container = {"name": "c", "image": "example.org/theirs:1", "command": list(command) or ["sleep", "1"]}
        container["resources"] = {"requests": {"cpu": str(CORES)}}
        pod = {"restartPolicy": "Never", "containers": [container]}
        self.post("pods", {"metadata": {"name": f"theirs-{next(self._numbers)}"}, "spec": pod})

    def post(self, plural: str, body: dict[str, Any]) -> None:
        self.cluster.plane.client.call("POST", f"/api/v1/namespaces/{self.namespace}/{plural}", body)

    def delete(self, plural: str, name: str) -> None:
        self.cluster.plane.client.call("DELETE", f"/api/v1/namespaces/{self.namespace}/{plural}/{name}")

    def all(self, path: str) -> list[Any]:
        found = self.cluster.plane.client.call("GET", path.format(f"namespaces/{self.namespace}"))
        return list(found["items"])

    def said(self) -> list[str]:
        """What the pods that are there have written."""
        runs = [run.output for run in self.cluster.kubelet.runs if run.namespace == self.namespace]
        return [output.read_text() for output in runs if output is not None and output.exists()]

    def secrets(self) -> list[Any]:
        """Those of ours."""
        return [one for one in self.all("/api/v1/{}/secrets") if one["type"] == "Opaque"]


@pytest.fixture
def site(cluster: Cluster) -> Iterator[Site]:
    yield Site(cluster)
    cluster.clear()


def test_the_scheduler_of_an_api_server_takes_a_task_away_and_its_sums_are_exact(
    federator: Federator, site: Site, shared: Path, web: WebStore, undisturbed: Any
) -> None:
    """While the store is away, and then in the middle of a slow checkpoint; and the store is full for a while."""
    federator.write([site.document], federation="e2e-keep")

    def said(status: str) -> None:
        words = f"the store answers {status}"  # to who keeps something, or to who asks what was kept
        heard = lambda: words in "".join((*site.said(), federator.log.read_text()))  # noqa: E731
        until(heard, words, federator.tail)
        web.trouble = 0

    def full() -> bool:
        web.trouble = 507
        said("507 Insufficient Storage")
        return True

    ways = iter(("away", "slow", "slow"))

    def evict() -> None:
        if next(ways) == "away":
            web.trouble = 503
            site.evict()
            said("503 Service Unavailable")
            return
        web.slow_s = 0.5
        begun = len(web.begun)
        until(lambda: len(web.begun) > begun, "a checkpoint to begin", federator.tail)
        site.evict()
        web.slow_s = 0.0  # what is on its way stays slow

    whole_story(federator, shared, Place(web, None, shared), undisturbed, evict, full, IMAGE, TAKEN_AWAY)


def test_a_task_goes_on_at_another_kind_of_cluster_and_its_addresses_are_nowhere_but_in_its_secret(
    federator: Federator, site: Site, shared: Path, tmp_path: Path, undisturbed: Any
) -> None:
    """With a bucket. It begins at the API server, and is done on a machine."""
    federator_logs = lambda: federator.try_cli("logs", "backfill-muons").stdout + federator.tail()  # noqa: E731
    with bucket() as one:
        place = Place(None, one, tmp_path)
        federator.write([site.document, local("desk", 1)], federation="e2e-keep", **place.settings)
        federator.start()
        federator.cli("cordon", "desk")
        python, env = python_with_numpy(shared)
        words = ["--results", str(shared), "--tracks", str(TRACKS), "--every", "0.2"]
        work = bag([python, str(shared / "detector.py"), *words], env, place.url, IMAGE)
        federator.cli("apply", "-f", "-", stdin=yaml.safe_dump(with_version(work)))
        until(lambda: bool(place.names()), "something to be kept", federator_logs)

        (secret,) = site.secrets()
        (job,) = site.all("/apis/batch/v1/{}/jobs")
        assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
        told = zipped(secret, "federator/told.json")
        assert "X-Amz-Signature=" in told, "no address is signed, so this shows nothing"
        shown = [job, *site.all("/api/v1/{}/pods"), *site.all("/api/v1/{}/events"), federator_logs()]
        assert "X-Amz" not in json.dumps(shown)
        assert SECRET not in json.dumps([secret, shown]) + told

        site.evict("sleep", "600")
        until(lambda: federator.workload("backfill-muons")["state"] == "waiting", "it to be taken away", federator_logs)
        until(lambda: not site.secrets(), "its Secret to go with its Job", federator_logs)
        federator.cli("uncordon", "desk")
        until((shared / "task-0.json").exists, "the task to be done", federator_logs)
        assert json.loads((shared / "task-0.json").read_text()) == undisturbed
        assert "federator: goes on from a checkpoint" in federator.cli("logs", "backfill-muons")
        until(lambda: federator.http("/api/v1/backfills/muons")["finished"] == 1, "that to be known", federator.tail)
        until(lambda: not place.names(), "what was kept to be dropped", lambda: f"{place.names()}")


def test_batch_work_goes_on_from_its_own_attempt_in_a_second_pod_of_its_job_and_then_elsewhere(
    federator: Federator, site: Site, shared: Path, web: WebStore
) -> None:
    """Somebody deletes its pod: a Job of 1.20 makes another at once. It ends well whenever it is told to end."""
    federator.write([site.document, local("desk", 1)], federation="e2e-keep")
    federator.start()
    federator.cli("cordon", "desk")
    steps = 'sleep 0.2; n=$((n + 1)); echo "$n" > n.part; mv n.part n'
    script = f'cd "$FEDERATOR_CHECKPOINT_DIR"; trap "exit 0" TERM; n=$(cat n || echo 0); echo "$n" >> {shared}/starts; '
    command = ["sh", "-c", f"{script}until [ -e {shared}/finish ]; do {steps}; done"]
    kept = {"checkpointEvery": "500ms", "checkpoints": {"url": f"{web.url}/kept"}}
    federator.submit(batch("count", 1, command, container={"image": IMAGE}, **kept))

    def starts() -> list[int]:
        return [int(line) for line in (shared / "starts").read_text().split()]

    story = lambda: f"{starts()} {list(web.kept)}\n{site.said()}\n{federator.tail()}"  # noqa: E731
    until(lambda: len(web.puts) >= 2, "something to be kept", federator.tail)
    (pod,) = site.all("/api/v1/{}/pods")
    site.delete("pods", pod["metadata"]["name"])
    until(lambda: len(starts()) == 2, "a second pod", story)
    assert starts()[1] > 0, story()
    federator.cli("drain", "kube")
    federator.cli("uncordon", "desk")
    until(lambda: len(starts()) == 3, "it to go on elsewhere", story)
    assert starts()[2] >= starts()[1], story()
    assert federator.workload("count")["finished"] == 0, "who ended well because it was told to has not done its work"
    (shared / "finish").touch()
    federator.wait_for("count", lambda work: work["state"] == "finished")
    until(lambda: not web.kept, "what was kept to be dropped", story)


def zipped(secret: dict[str, Any], name: str) -> str:
    """A file of the companion that a Secret holds."""
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(secret["data"]["companion"]))) as archive:
        return archive.read(name).decode()
