"""How long production waits on a cluster full of backfill, and on an empty one: submit to start, on real members.

``python -m benchmarks.yielding [TIMES [MEMBER ...]]``. One member at a time under a daemon of its own: processes of
this machine, a pilot, a real API server with its scheduler (only its nodes are pretended), a Slurm and an HTCondor pool
(set up as for tests: they look for work every second or two). Workloads of two replicas of one core come one by one,
each after the last has gone and the cores have been filled again. The filler saves within 0.2 s of SIGTERM; its grace
is 5 s. Counted is from the call that hands a workload in until the API says that all of it runs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import describe
from tests.e2e.federator_process import Federator, kubernetes, local, named, until, with_version
from tests.e2e.pilot_process import PilotProcess, grid, pilot_token, url_of
from tests.servers.control_plane import ControlPlane
from tests.servers.fake_node import fake_nodes
from tests.servers.htcondor import Pool
from tests.servers.kubelet import KubeletThread
from tests.servers.slurm import CPUS, Sizes, Slurm

TIMES, CORES, WANTED = 10, 8, 2
GRACE, POLL = "5s", "500ms"
START_S = 300.0
"""How long a daemon may take to be ready: what is measured comes afterwards."""
FILL = ["sh", "-c", 'trap "sleep 0.2; exit 0" TERM; while :; do sleep 0.1; done']
RUN = ["sh", "-c", "sleep 3600"]
FAKE = {"FAKE_KUBELET_RUNS_FOR": "1h"}
SAVES = {**FAKE, "FAKE_KUBELET_STOPS_AFTER": "200ms", "FAKE_KUBELET_STOPS_WITH": "0"}


@contextmanager
def on_slurm(federator: Federator) -> Iterator[None]:
    """A Slurm whose ``cpu`` partition has one node."""
    with Slurm(Sizes(1, 1)) as slurm:
        shared = str(slurm.shared())
        block = {"url": slurm.url, "directory": shared, "mountedAt": shared, "poll": POLL, "backfillPartition": "fill"}
        federator.write([named("Cluster", "member", {"provider": "slurm", "slurm": block})])
        federator.start(START_S)
        yield
        federator.stop()


@contextmanager
def on_htcondor(federator: Federator) -> Iterator[None]:
    """A pool of one machine."""
    pool = Pool(cpus=CORES)
    pool.start()
    try:
        block = {"collector": pool.collector, "tokenFile": str(pool.token_file), "submit": "jobs", "poll": POLL}
        federator.write([named("Cluster", "member", {"provider": "htcondor", "htcondor": block})])
        federator.start(START_S)
        yield
        federator.stop()
    finally:
        pool.stop()


@dataclass(frozen=True)
class Member:
    """A kind of cluster, how many cores it has, and the image of its payloads."""

    begin: Callable[[Federator], AbstractContextManager[None]]
    cores: int = CORES
    image: str = ""

    def container(self, command: list[str], env: Mapping[str, str]) -> dict[str, Any]:
        return {"image": self.image, "command": command, "env": dict(env)}

    def workload(self, name: str) -> dict[str, Any]:
        """Two cores for as long as nobody cancels it."""
        spec = {"replicas": WANTED, "requests": {"cpu": 1}, "container": self.container(RUN, FAKE)}
        return named("Workload", name, spec)

    def filler(self) -> dict[str, Any]:
        work = {"requests": {"cpu": 1}, "container": self.container(FILL, SAVES)}
        return named("Backfill", "fill", {"workload": work, "keepFree": "0%", "grace": GRACE})


@contextmanager
def on_processes(federator: Federator) -> Iterator[None]:
    """Processes of this machine."""
    federator.write([local("member", CORES)])
    federator.start(START_S)
    yield


@contextmanager
def on_a_pilot(federator: Federator) -> Iterator[None]:
    """One pilot."""
    federator.write([grid("member")])
    federator.start(START_S)
    token = pilot_token(federator, "member")
    pilot = PilotProcess(federator.folder, "one", url_of(federator), token, cpu=CORES)
    pilot.start()
    try:
        yield
    finally:
        pilot.clean_up()


@contextmanager
def on_kubernetes(federator: Federator) -> Iterator[None]:
    """A control plane of its own."""
    plane = ControlPlane("member")
    plane.start_blocking()
    try:
        kubelet = KubeletThread(plane, fake_nodes("n", 1, {"cpu": str(CORES), "memory": "32Gi"}))
        kubelet.start()
        try:
            federator.write([kubernetes("member", plane.kubeconfig, "work")])
            federator.start(START_S)
            yield
            federator.stop()
        finally:
            kubelet.stop()
    finally:
        plane.stop_blocking()


def started_s(federator: Federator, member: Member, name: str) -> float:
    """Hand a workload in, wait until it runs, and let it go."""
    began = time.perf_counter()
    answer = federator.ask("POST", "/api/v1/workloads", yaml.safe_dump(with_version(member.workload(name))))
    assert answer.status < 300, answer.body
    while (federator.workload(name) or {}).get("running") != WANTED:
        time.sleep(0.01)
    took = time.perf_counter() - began
    federator.ask("DELETE", f"/api/v1/workloads/{name}")
    until(lambda: federator.workload(name) is None, f"{name} to be gone", federator.tail)
    return took


def measured(federator: Federator, member: Member, times: int, *, full: bool) -> list[float]:
    """So many starts."""
    if full:
        federator.cli("apply", "-f", "-", stdin=yaml.safe_dump(with_version(member.filler())))
    found = []
    for number in range(times):
        if full:
            until(lambda: federator.http("/api/v1/backfills/fill")["running"] == member.cores, "the cores to be filled")
        found.append(started_s(federator, member, f"{'full' if full else 'empty'}-{number}"))
    return found


def main() -> None:
    """Print the table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    members = {
        "processes": Member(on_processes),
        "pilot": Member(on_a_pilot),
        "Kubernetes": Member(on_kubernetes, image="example.org/payload:1"),
        "Slurm": Member(on_slurm, cores=CPUS),
        "HTCondor": Member(on_htcondor),
    }
    print(f"{describe()}; {times} starts each, seconds; the filler saves in 0.2 s and has a grace of {GRACE}")
    print(f"{'':12} {'empty: 50%':>11} {'95%':>7} {'full: 50%':>11} {'95%':>7}")
    for name in sys.argv[2:] or members:
        member = members[name]
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            federator = Federator(Path(folder))
            stack.callback(federator.clean_up)
            stack.enter_context(member.begin(federator))
            rows = [measured(federator, member, times, full=full) for full in (False, True)]
        told = [f"{statistics.median(row):11.2f} {_late(row):7.2f}" for row in rows]
        print(f"{name:12} {' '.join(told)}", flush=True)


def _late(row: list[float]) -> float:
    return sorted(row)[min(len(row) - 1, round(0.95 * len(row)))]


if __name__ == "__main__":
    main()
