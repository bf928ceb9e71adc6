"""Jobs per second to a real API server: the daemon, and its provider alone, beside a bare kubernetes-asyncio client.

``python -m benchmarks.dispatch [--jobs 1000] [--concurrency 50] [--rounds 3]``: all make the same number of one-pod
Jobs with the same number of requests in flight, in turns, against one control plane; the medians and their ratios are
printed beside the limit. The nodes have no kubelet: what is measured is the way to the server, and the server.

The daemon is given as many workloads of one replica each; its time runs from handing them in until the server has
taken the last Job, so it holds the reading, the plan, and every intent written to SQLite before its Job is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import yaml
from kubernetes_asyncio import client, config

from benchmarks.machine import describe
from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings
from federator.daemon.compose import Daemon
from federator.daemon.cycle import Pace
from federator.daemon.providers import Surroundings, make_provider
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role
from federator.store import SqlStore
from federator.telemetry.metrics import Metrics
from tests.servers.control_plane import ControlPlane

LIMIT = 80
NAMESPACE = "dispatch"
API = "federator.dev/v1alpha1"
BARE = "bare kubernetes-asyncio"
REQUESTS = Resources.of({"cpu": 100, "memory": 2**26})


def order(name: str) -> Order:
    """One replica of one core."""
    intent = Intent(name, name, f"uid-{name}", "", "bench", IndexSet.span(0, 1))
    container = Container("docker://busybox", ("sh", "-c", "true"), env={"GREETING": "hello"})
    return Order(intent, Lifetime.BATCH, (Role("", 1, REQUESTS),), "bench", container=container, spec_hash="1")


def bare_job(name: str) -> client.V1Job:
    """What the provider makes of ``order``, as the library's own models."""
    labels = {"bench": "bare", "name": name}
    variables = {"FEDERATOR_REPLICA_INDEX": "0", "GREETING": "hello"}
    container = client.V1Container(
        name="main",
        image="busybox",
        command=["sh", "-c", "true"],
        env=[client.V1EnvVar(name=key, value=value) for key, value in variables.items()],
        resources=client.V1ResourceRequirements(requests={"cpu": "100m", "memory": str(2**26)}),
    )
    spec = client.V1PodSpec(containers=[container], restart_policy="Never", automount_service_account_token=False)
    template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=spec)
    job = client.V1JobSpec(template=template, completions=1, parallelism=1, backoff_limit=0)
    return client.V1Job(metadata=client.V1ObjectMeta(name=name, labels=labels), spec=job)


async def rate_of_provider(provider: KubernetesProvider, jobs: int, concurrency: int, tag: str) -> float:
    """Jobs per second through ``submit``, one order a Job, as the daemon's dispatcher does it."""
    gate = asyncio.Semaphore(concurrency)

    async def one(number: int) -> None:
        async with gate:
            await provider.submit(order(f"{tag}-{number}"))

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(jobs)))
    return jobs / (time.perf_counter() - started)


async def rate_of_bare_client(api: client.BatchV1Api, jobs: int, concurrency: int, tag: str) -> float:
    """Jobs per second through ``create_namespaced_job``."""
    gate = asyncio.Semaphore(concurrency)

    async def one(number: int) -> None:
        async with gate:
            await api.create_namespaced_job(NAMESPACE, bare_job(f"{tag}-{number}"))

    started = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(jobs)))
    return jobs / (time.perf_counter() - started)


class DaemonUnderTest:
    """A daemon over the one cluster, in this process."""

    def __init__(self, folder: Path, kubeconfig: Path, concurrency: int) -> None:
        block = {"kubeconfig": str(kubeconfig), "namespace": NAMESPACE, "qps": 100_000, "burst": 100_000}
        block |= {"concurrency": concurrency, "timeout": "60s"}
        spec = {"provider": "kubernetes", "kubernetes": block}
        cluster = {"apiVersion": API, "kind": "Cluster", "metadata": {"name": "bench"}, "spec": spec}
        (folder / "cluster.yaml").write_text(yaml.safe_dump(cluster))
        around = Surroundings(folder, SystemClock(), "bench-daemon")
        self.daemon = Daemon(
            store=SqlStore(f"sqlite:///{folder / 'federator.db'}"),
            clock=around.clock,
            metrics=Metrics("bench"),
            paths=lambda: [folder / "cluster.yaml"],
            samples=(),
            make_provider=lambda document: make_provider(document, around),
            planners=ThreadPoolExecutor(2),
            pace=Pace(),
            retention_s=1e9,
        )

    async def start(self) -> None:
        """Start, and wait until the nodes are seen."""
        await self.daemon.start()
        while not any(member.observation for member in self.daemon.state.members.values()):
            await asyncio.sleep(0.05)

    async def rate(self, jobs: int, tag: str) -> float:
        """Jobs per second from handing workloads in to the last Job taken by the server."""
        started = time.perf_counter()
        workloads = [workload(f"{tag}-{number}") for number in range(jobs)]
        await self.daemon.service.submit(workloads, owner="bench", permit=lambda queue: None)
        state = self.daemon.state
        while sum(i.workload.startswith(tag) and i.id in state.answered for i in state.intents.values()) < jobs:
            await asyncio.sleep(0.02)
        return jobs / (time.perf_counter() - started)


def workload(name: str) -> dict[str, object]:
    """The same work as ``order``, as a user hands it in."""
    container = {"image": "docker://busybox", "command": ["sh", "-c", "true"], "env": {"GREETING": "hello"}}
    spec = {"replicas": 1, "requests": {"cpu": "100m", "memory": "64Mi"}, "container": container}
    return {"apiVersion": API, "kind": "Workload", "metadata": {"name": name}, "spec": spec}


def make_nodes(plane: ControlPlane) -> None:
    """Room for everything: nodes that are Ready and stay so without a kubelet."""
    capacity = {"cpu": "1000", "memory": "4Ti", "pods": "10000"}
    conditions = [{"type": "Ready", "status": "True", "reason": "Bench", "message": ""}]
    for number in range(10):
        name = f"bench-{number}"
        plane.client.call("POST", "/api/v1/nodes", {"metadata": {"name": name}})
        node = plane.client.call("GET", f"/api/v1/nodes/{name}")
        del node["metadata"]["resourceVersion"]  # the controllers write to it as well
        node["status"] = {"capacity": capacity, "allocatable": capacity, "conditions": conditions}
        plane.client.call("PUT", f"/api/v1/nodes/{name}/status", node)


async def quiet(core: client.CoreV1Api, jobs: int) -> None:
    """Return when the controllers have made the pod of every Job so far: no round pays for the one before."""
    while True:
        found = await core.list_namespaced_pod(NAMESPACE, limit=1)
        there = len(found.items) + (found.metadata.remaining_item_count or 0)
        if there >= jobs:
            return
        await asyncio.sleep(0.5)


Rates = dict[str, list[float]]


async def measure(kubeconfig: Path, folder: Path, jobs: int, concurrency: int, rounds: int) -> Rates:
    """The rates of all rounds, in turns."""
    under_test = DaemonUnderTest(folder, kubeconfig, concurrency)
    await under_test.start()
    settings = KubernetesSettings(
        kubeconfig=str(kubeconfig), namespace=NAMESPACE, qps=0, concurrency=concurrency, timeout_s=60.0
    )
    provider = KubernetesProvider("bench", settings, clock=SystemClock(), random=Random(7), federation="bench")
    await provider.open()
    await provider.submit(order("warm-up"))
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    configuration.connection_pool_maxsize = concurrency
    rates: Rates = {"daemon": [], "provider alone": [], BARE: []}
    made = 1
    async with client.ApiClient(configuration) as connection:
        api, core = client.BatchV1Api(connection), client.CoreV1Api(connection)
        for number in range(rounds):
            turns: list[tuple[str, Callable[[], Awaitable[float]]]] = [
                (BARE, lambda n=number: rate_of_bare_client(api, jobs, concurrency, f"bare-{n}")),  # type: ignore[misc]
                ("daemon", lambda n=number: under_test.rate(jobs, f"daemon-{n}")),  # type: ignore[misc]
                ("provider alone", lambda n=number: rate_of_provider(provider, jobs, concurrency, f"ours-{n}")),  # type: ignore[misc]
            ]
            for name, turn in turns:
                await quiet(core, made)
                rates[name].append(await turn())
                made += jobs
            told = ", ".join(f"{name} {rates[name][-1]:.0f}" for name in rates)
            print(f"round {number + 1}: {told} Jobs/s", flush=True)
    await under_test.daemon.stop()
    await provider.close()
    return rates


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Jobs per second to a real API server")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    # Nodes without a kubelet must not become NotReady while we measure.
    plane = ControlPlane("dispatch", node_grace_s=36_000.0)
    plane.start_blocking()
    try:
        make_nodes(plane)
        with tempfile.TemporaryDirectory() as folder:
            rates = asyncio.run(measure(plane.kubeconfig, Path(folder), chosen.jobs, chosen.concurrency, chosen.rounds))
    finally:
        plane.stop_blocking()
    print(f"{chosen.jobs} Jobs, {chosen.concurrency} requests in flight, medians of {chosen.rounds}; {describe()}")
    bare = statistics.median(rates[BARE])
    for name, measured in rates.items():
        rate = statistics.median(measured)
        share = 100 * rate / bare
        limit = (
            "" if name == BARE else f"   {share:.0f} % (limit {LIMIT} %: {'reached' if share >= LIMIT else 'MISSED'})"
        )
        print(f"  {name:28} {rate:6.0f} Jobs/s{limit}")


if __name__ == "__main__":
    main()
