"""Jobs per second to a real API server: the provider's submit beside a bare kubernetes-asyncio client.

``python -m benchmarks.dispatch [--jobs 1000] [--concurrency 50] [--rounds 3]``: both make the same number of one-pod
Jobs with the same number of requests in flight, in turns, against one control plane; the medians and their ratio are
printed beside the limit. There are no nodes: what is measured is the way to the server, and the server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from random import Random

from kubernetes_asyncio import client, config

from federator.clock import SystemClock
from federator.clusters.kubernetes import KubernetesProvider, KubernetesSettings
from federator.model.indexset import IndexSet
from federator.model.intent import Container, Intent, Order
from federator.model.resources import Resources
from federator.model.workload import Lifetime, Role
from tests.servers.control_plane import ControlPlane

LIMIT = 80
NAMESPACE = "dispatch"
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


async def quiet(core: client.CoreV1Api, jobs: int) -> None:
    """Return when the controllers have made the pod of every Job so far: no round pays for the one before."""
    while True:
        found = await core.list_namespaced_pod(NAMESPACE, limit=1)
        there = len(found.items) + (found.metadata.remaining_item_count or 0)
        if there >= jobs:
            return
        await asyncio.sleep(0.5)


async def measure(kubeconfig: Path, jobs: int, concurrency: int, rounds: int) -> tuple[list[float], list[float]]:
    """The rates of all rounds: the provider's and the bare client's, in turns."""
    settings = KubernetesSettings(
        kubeconfig=str(kubeconfig), namespace=NAMESPACE, qps=0, concurrency=concurrency, timeout_s=60.0
    )
    provider = KubernetesProvider("bench", settings, clock=SystemClock(), random=Random(7), federation="bench")
    await provider.open()
    await provider.submit(order("warm-up"))
    configuration = client.Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    configuration.connection_pool_maxsize = concurrency
    ours, bare = [], []
    made = 1
    async with client.ApiClient(configuration) as connection:
        api, core = client.BatchV1Api(connection), client.CoreV1Api(connection)
        for number in range(rounds):
            await quiet(core, made)
            bare.append(await rate_of_bare_client(api, jobs, concurrency, f"bare-{number}"))
            made += jobs
            await quiet(core, made)
            ours.append(await rate_of_provider(provider, jobs, concurrency, f"ours-{number}"))
            made += jobs
            print(f"round {number + 1}: provider {ours[-1]:.0f} Jobs/s, bare client {bare[-1]:.0f} Jobs/s", flush=True)
    await provider.close()
    return ours, bare


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Jobs per second to a real API server")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    plane = ControlPlane("dispatch")
    plane.start_blocking()
    try:
        ours, bare = asyncio.run(measure(plane.kubeconfig, chosen.jobs, chosen.concurrency, chosen.rounds))
    finally:
        plane.stop_blocking()
    provider_rate, bare_rate = statistics.median(ours), statistics.median(bare)
    share = 100 * provider_rate / bare_rate
    print(
        f"provider {provider_rate:.0f} Jobs/s, bare kubernetes-asyncio {bare_rate:.0f} Jobs/s (medians of {len(ours)})"
    )
    print(f"{share:.0f} % of the bare client; the limit is {LIMIT} %: {'reached' if share >= LIMIT else 'MISSED'}")


if __name__ == "__main__":
    main()
