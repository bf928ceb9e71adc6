"""The real scheduler spreads work of several sizes while the federator hears of everything five seconds late."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.federator_process import Federator, batch, kubernetes, until
from tests.servers.control_plane import ControlPlane
from tests.servers.fake_node import fake_nodes
from tests.servers.fixtures import Cluster, start_cluster
from tests.servers.pod_facts import requests_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SEED = 20265
LAG_S = 5.0
NODES, CORES = 6, 8
STREAM_S = 60.0
EVERY_S = 3.0
LONGEST_PENDING_S = 30.0


@pytest.fixture(scope="module")
def laggy() -> Iterator[Cluster]:
    """Six nodes of eight cores behind a proxy that holds back every event of a watch."""
    cluster = start_cluster(
        ControlPlane("laggy", slow_watch_s=LAG_S), fake_nodes("n", NODES, {"cpu": str(CORES), "memory": "32Gi"})
    )
    yield cluster
    cluster.stop()


@dataclass
class Witness:
    """Looks at the API server itself, past proxy and daemon, about three times a second."""

    cluster: Cluster
    namespace: str
    pending_since: dict[str, float] = field(default_factory=dict)
    pending_s: dict[str, float] = field(default_factory=dict)
    """By pod: how long it was seen Pending."""
    sizes: dict[str, float] = field(default_factory=dict)
    most_on_a_node: float = 0.0
    most_in_all: float = 0.0
    """Cores of all pods that have not ended, those without a node among them."""
    cores_seen: list[float] = field(default_factory=list)
    fault: BaseException | None = None
    _enough: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look until told that it is enough."""
        try:
            while not self._enough.wait(0.3):
                self._look()
        except BaseException as error:  # told in the test's own thread
            self.fault = error

    def stop(self) -> None:
        """It is enough."""
        self._enough.set()

    def _look(self) -> None:
        found = self.cluster.plane.client.call("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        now, on_nodes, in_all = time.monotonic(), Counter[str](), 0.0
        for pod in found["items"]:
            name, phase = pod["metadata"]["name"], pod["status"].get("phase")
            cores = requests_of(pod).get("cpu", 0.0)
            self.sizes[name] = cores
            if phase == "Pending":
                since = self.pending_since.setdefault(name, now)
                self.pending_s[name] = now - since
            if phase in ("Pending", "Running"):
                in_all += cores
                on_nodes[pod["spec"].get("nodeName", "")] += cores
        del on_nodes[""]
        self.cores_seen.append(in_all)
        self.most_in_all = max(self.most_in_all, in_all)
        self.most_on_a_node = max([self.most_on_a_node, *on_nodes.values()])


def stream(chance: random.Random, round_number: int, crowd: int) -> list[dict[str, Any]]:
    """What is handed in at one moment: a few workloads of each size, for different times; ``crowd`` times as many."""
    handed_in = []
    for number in range(crowd * chance.randint(2, 3)):
        cores = chance.choice((1, 1, 4, 4, 8))
        seconds = chance.uniform(2.0, 8.0)
        replicas = chance.randint(1, 4) if cores == 1 else chance.randint(1, 2)
        run_for = {"env": {"FAKE_KUBELET_RUNS_FOR": f"{seconds:.1f}s"}}
        name = f"s{round_number:02}-{number}"
        handed_in.append(batch(name, replicas, ["payload"], cpu=str(cores), container=run_for))
    return handed_in


def test_no_pod_waits_long_for_a_node_and_no_room_is_promised_twice_though_the_watch_is_late(
    federator: Federator, laggy: Cluster
) -> None:
    """For a minute more is handed in than fits. Pods of 1, 4 and 8 cores leave fragments that the federator learns of
    five seconds late; still it sends nothing that stays without a node for long, and everything ends."""
    namespace = laggy.plane.new_namespace("lag")
    federator.write([kubernetes("laggy", laggy.plane.kubeconfig, namespace)])
    federator.start()
    witness = Witness(laggy, namespace)
    thread = threading.Thread(target=witness.watch, daemon=True)
    thread.start()
    chance, handed_in, over_asked, crowd = random.Random(SEED), [], 0, 1
    began = time.monotonic()
    for round_number in range(int(STREAM_S / EVERY_S)):
        documents = stream(chance, round_number, crowd)
        federator.submit(*documents)
        handed_in += documents
        waits = any(w["waiting"] for w in federator.items("workloads?limit=500"))
        over_asked += waits
        crowd += not waits  # a slow machine hands in slowly
        time.sleep(max(0.0, began + EVERY_S * (round_number + 1) - time.monotonic()))

    def all_over() -> bool:
        return all(w["state"] in ("finished", "failed") for w in federator.items("workloads?limit=500"))

    until(all_over, "everything to end", lambda: federator.cli("get", "workloads") + federator.tail(), timeout_s=300)
    took_s = time.monotonic() - began
    witness.stop()
    thread.join(30)
    assert witness.fault is None, witness.fault
    ended = federator.items("workloads?limit=500")
    replicas = sum(d["spec"]["replicas"] for d in handed_in)
    longest = sorted(witness.pending_s.items(), key=lambda item: -item[1])[:5]
    mean = sum(witness.cores_seen) / max(1, len(witness.cores_seen))
    story = (
        f"seed {SEED}: {len(handed_in)} workloads, {replicas} replicas, {len(witness.sizes)} pods in {took_s:.0f} s; "
        f"at most {witness.most_in_all:g} of {NODES * CORES} cores, {witness.most_on_a_node:g} on a node, "
        f"{mean:.0f} in the mean; longest pending: "
        + ", ".join(f"{seconds:.1f} s ({witness.sizes[name]:g} cores)" for name, seconds in longest)
    )
    print(story)
    assert [w["name"] for w in ended if w["state"] != "finished"] == []
    assert sum(w["finished"] for w in ended) == replicas, story
    assert witness.most_on_a_node <= CORES, story
    assert witness.most_in_all <= NODES * CORES, story
    assert max(witness.pending_s.values(), default=0.0) <= LONGEST_PENDING_S, story
    assert over_asked > STREAM_S / EVERY_S / 2, f"the cluster was not over-asked, so this shows nothing; {story}"
