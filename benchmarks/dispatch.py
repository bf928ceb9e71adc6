"""Jobs per second to a real API server: the daemon, and its provider alone, beside a bare kubernetes-asyncio client.

``python -m benchmarks.dispatch [--jobs 1000] [--concurrency 50] [--rounds 5]``: all make the same number of one-pod
Jobs with the same number of requests in flight, in turns, against one control plane; the medians and their ratios are
printed beside the limit. In its turn each is alone with the server: what watches is opened for its turn only. The nodes
have no kubelet: what is measured is the way to the server, and the server.

The daemon is given as many workloads of one replica each; its time runs from handing them in until the server has
taken the last Job, so it holds the reading, the plan, and every intent written to SQLite before its Job is sent.
Beside each rate stands the processor's time that this process took for one Job; the servers' is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
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


Make = Callable[[str], Awaitable[object]]


async def make_all(make: Make, jobs: int, concurrency: int, tag: str) -> None:
    """Make so many Jobs with so many requests in flight."""
    gate = asyncio.Semaphore(concurrency)

    async def one(number: int) -> None:
        async with gate:
            await make(f"{tag}-{number}")

    await asyncio.gather(*(one(number) for number in range(jobs)))


@dataclass(frozen=True)
class Bench:
    """What all turns share."""

    kubeconfig: Path
    folder: Path
    jobs: int
    concurrency: int

    @asynccontextmanager
    async def bare(self, tag: str) -> AsyncIterator[Turn]:
        """The library's own client and models."""
        configuration = client.Configuration()
        await config.load_kube_config(config_file=str(self.kubeconfig), client_configuration=configuration)
        configuration.connection_pool_maxsize = self.concurrency
        async with client.ApiClient(configuration) as connection:
            api = client.BatchV1Api(connection)

            async def make(name: str) -> None:
                await api.create_namespaced_job(NAMESPACE, bare_job(name))

            yield partial(make_all, make, self.jobs, self.concurrency, tag)

    @asynccontextmanager
    async def provider(self, tag: str) -> AsyncIterator[Turn]:
        """``submit``, one order a Job, as the daemon's dispatcher does it."""
        settings = KubernetesSettings(
            kubeconfig=str(self.kubeconfig), namespace=NAMESPACE, qps=0, concurrency=self.concurrency, timeout_s=60.0
        )
        provider = KubernetesProvider("bench", settings, clock=SystemClock(), random=Random(7), federation=tag)
        await provider.open()

        async def make(name: str) -> None:
            await provider.submit(order(name))

        yield partial(make_all, make, self.jobs, self.concurrency, tag)
        await provider.close()

    @asynccontextmanager
    async def daemon(self, tag: str) -> AsyncIterator[Turn]:
        """A daemon over the one cluster, in this process, with a database of its own."""
        folder = self.folder / tag
        folder.mkdir()
        block = {"kubeconfig": str(self.kubeconfig), "namespace": NAMESPACE, "qps": 100_000, "burst": 100_000}
        block |= {"concurrency": self.concurrency, "timeout": "60s"}
        spec = {"provider": "kubernetes", "kubernetes": block}
        cluster = {"apiVersion": API, "kind": "Cluster", "metadata": {"name": "bench"}, "spec": spec}
        (folder / "cluster.yaml").write_text(yaml.safe_dump(cluster))
        store = SqlStore(f"sqlite:///{folder / 'federator.db'}")
        around = Surroundings(folder, SystemClock(), tag, store)
        daemon = Daemon(
            store=store,
            clock=around.clock,
            metrics=Metrics("bench"),
            paths=lambda: [folder / "cluster.yaml"],
            samples=(),
            make_provider=lambda document: make_provider(document, around),
            planners=ThreadPoolExecutor(2),
            pace=Pace(),
            retention_s=1e9,
        )
        await daemon.start()
        while not any(member.observation for member in daemon.state.members.values()):
            await asyncio.sleep(0.05)

        async def work() -> None:
            workloads = [workload(f"{tag}-{number}") for number in range(self.jobs)]
            await daemon.service.submit(workloads, owner="bench", permit=lambda queue: None)
            while len(daemon.state.answered) < self.jobs:
                await asyncio.sleep(0.02)

        yield work
        await daemon.stop()


Turn = Callable[[], Awaitable[None]]


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


@dataclass
class Row:
    """What one way of making Jobs needed, turn by turn."""

    jobs_per_s: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """For one Job, of this process."""

    async def take(self, turn: Turn, jobs: int) -> None:
        """One turn."""
        began, processor = time.perf_counter(), time.process_time()
        await turn()
        self.jobs_per_s.append(jobs / (time.perf_counter() - began))
        self.cpu_ms.append(1000 * (time.process_time() - processor) / jobs)


async def measure(bench: Bench, rounds: int) -> dict[str, Row]:
    """All rounds, in turns; each round begins with another one."""
    ways: dict[str, Callable[[str], AbstractAsyncContextManager[Turn]]] = {
        BARE: bench.bare, "daemon": bench.daemon, "provider alone": bench.provider,
    }  # fmt: skip
    rows = {name: Row() for name in ways}
    names, made = list(ways), 0
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(bench.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as connection:
        core = client.CoreV1Api(connection)
        await core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                async with ways[name](f"{name.split()[0]}-{number}") as turn:
                    await quiet(core, made)
                    await rows[name].take(turn, bench.jobs)
                made += bench.jobs
            told = ", ".join(f"{name} {row.jobs_per_s[-1]:.0f}" for name, row in rows.items())
            print(f"round {number + 1}: {told} Jobs/s", flush=True)
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Jobs per second to a real API server")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    # Nodes without a kubelet must not become NotReady while we measure.
    plane = ControlPlane("dispatch", node_grace_s=36_000.0)
    plane.start_blocking()
    try:
        make_nodes(plane)
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(plane.kubeconfig, Path(folder), chosen.jobs, chosen.concurrency)
            rows = asyncio.run(measure(bench, chosen.rounds))
    finally:
        plane.stop_blocking()
    print(f"{chosen.jobs} Jobs, {chosen.concurrency} requests in flight, medians of {chosen.rounds}; {describe()}")
    bare = statistics.median(rows[BARE].jobs_per_s)
    for name, row in rows.items():
        rate, cpu_ms = statistics.median(row.jobs_per_s), statistics.median(row.cpu_ms)
        share = 100 * rate / bare
        limit = f"{share:.0f} % (limit {LIMIT} %: {'reached' if share >= LIMIT else 'MISSED'})" if name != BARE else ""
        print(f"  {name:24} {rate:6.0f} Jobs/s   {cpu_ms:.1f} ms of processor a Job   {limit}")


if __name__ == "__main__":
    main()
