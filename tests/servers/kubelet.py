"""A small kubelet for any number of nodes that do not exist.

The real scheduler binds pods to its nodes and the real controllers count them;
only the running of containers is pretended, except on nodes that execute
(``pod_process``). See ``pod_facts`` for what a pod may ask, and ``runs`` for
what tests can find out afterwards.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from tests.servers.control_plane import ControlPlaneServers
from tests.servers.fake_node import (
    HEARTBEAT_S,
    FakeNode,
    is_ready,
    is_usable,
    lease_object,
    lease_spec,
    node_object,
    node_status,
)
from tests.servers.kube_http import MERGE, STRATEGIC, KubeError, KubeHttp
from tests.servers.kubelet_logs import LogServer
from tests.servers.loop_thread import LoopThread
from tests.servers.pod_facts import Json
from tests.servers.pod_life import PodLife
from tests.servers.runs import Run, Runs

log = logging.getLogger(__name__)
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
BOUND = {"fieldSelector": "spec.nodeName!="}
NO_ANSWER = (aiohttp.ClientError, KubeError, OSError, TimeoutError, ValueError)


@dataclass
class _Life:
    life: PodLife
    task: asyncio.Task[None]


class Kubelet:
    """Leads the pods bound to ``nodes``. Any number of kubelets may share one event loop."""

    def __init__(self, plane: ControlPlaneServers, nodes: Sequence[FakeNode], runs_for_s: float = 1.0) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.runs_for_s = runs_for_s
        self._plane = plane
        self._runs = Runs()
        self._logs = LogServer(self._runs.latest)
        self._online: dict[str, asyncio.Event] = {}
        self._lives: dict[str, _Life] = {}
        self._lost: set[str] = set()
        self._addresses = itertools.count(1)

    # -- what tests ask ------------------------------------------------------

    @property
    def runs(self) -> list[Run]:
        """Every start of a pod's containers so far, in order."""
        return self._runs.all

    @property
    def running(self) -> list[Run]:
        return [run for run in self._runs.all if run.ended_at is None]

    @property
    def peaks(self) -> dict[str, dict[str, float]]:
        """Per node and resource, the most that was requested by pods running at one time."""
        return self._runs.peaks

    @property
    def peak_cpu(self) -> dict[str, float]:
        return {node: peak.get("cpu", 0.0) for node, peak in self._runs.peaks.items()}

    # -- life ----------------------------------------------------------------

    async def start(self, timeout_s: float = 60.0) -> None:
        """Register the nodes and wait until pods can be scheduled on all of them."""
        # Not through the proxy: the cluster's own parts do not share the federator's troubles.
        self._kube = KubeHttp(self._plane.direct_url, self._plane.ca_file, self._plane.token)
        self._online = {name: asyncio.Event() for name in self.nodes}
        for online in self._online.values():
            online.set()
        await self._logs.start()
        await self._in_slices(self._register, list(self.nodes))
        self._following = asyncio.create_task(self._follow())
        self._heart = asyncio.create_task(self._beat())
        async with asyncio.timeout(timeout_s):
            # Asked again and again: only the controllers know when they take their taints off.
            while not self.nodes.keys() <= await self._nodes_where(is_usable):
                await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """Stop leading pods. The Node objects stay and turn NotReady, as when a machine dies."""
        tasks = [self._following, self._heart, *(entry.task for entry in self._lives.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lives.clear()
        await self._logs.stop()
        await self._kube.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- trouble -------------------------------------------------------------

    async def drop(self, name: str, pods_run_on: bool = False) -> None:
        """No more heartbeats from this node. Its pods die with it, or run on unheard (a cut cable)."""
        self._online[name].clear()
        if not pods_run_on:
            mine = [(uid, entry) for uid, entry in self._lives.items() if entry.life.node == name]
            for uid, entry in mine:
                entry.task.cancel()
                del self._lives[uid]
                self._lost.add(uid)
            await asyncio.gather(*(entry.task for _, entry in mine), return_exceptions=True)

    async def revive(self, name: str) -> None:
        """The node is back. Pods it lost and must not restart are reported as failed."""
        self._online[name].set()
        await self._register(name)
        self._following.cancel()
        self._following = asyncio.create_task(self._follow())  # hear what was missed

    async def delete_node(self, name: str) -> None:
        """The node is gone for good, with its pods."""
        await self.drop(name)
        await self._kube.call("DELETE", f"/api/v1/nodes/{name}")

    # -- nodes ---------------------------------------------------------------

    async def _register(self, name: str) -> None:
        try:
            await self._kube.call("POST", "/api/v1/nodes", node_object(self.nodes[name]))
        except KubeError as error:
            if error.status != 409:
                raise
        status = node_status(self.nodes[name], self._logs.port)
        await self._kube.persist("PATCH", f"/api/v1/nodes/{name}/status", status, STRATEGIC)
        await self._renew(name)

    async def _renew(self, name: str) -> None:
        try:
            await self._kube.call("PATCH", f"{LEASES}/{name}", {"spec": lease_spec(name)}, MERGE)
        except KubeError as error:
            if error.status == 404:
                await self._kube.call("POST", LEASES, lease_object(name))

    async def _beat(self) -> None:
        """Renew every Lease; put right what the controllers made of a node we were late for."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                online = [name for name, event in self._online.items() if event.is_set()]
                await self._in_slices(self._renew, online)
                ready = await self._nodes_where(is_ready)
                await self._in_slices(self._register, [name for name in online if name not in ready])
            except NO_ANSWER:
                continue

    async def _nodes_where(self, holds: Callable[[Json], bool]) -> set[str]:
        found = await self._kube.call("GET", "/api/v1/nodes")
        return {node["metadata"]["name"] for node in found["items"] if holds(node)}

    async def _in_slices(self, work: Callable[[str], Awaitable[None]], names: Sequence[str]) -> None:
        for start in range(0, len(names), 50):
            await asyncio.gather(*(work(name) for name in names[start : start + 50]))

    # -- pods ----------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            try:
                found = await self._kube.call("GET", "/api/v1/pods?fieldSelector=spec.nodeName!%3D")
                there = {pod["metadata"]["uid"] for pod in found["items"]}
                for pod in found["items"]:
                    self._see(pod)
                for uid in [uid for uid in self._lives if uid not in there]:
                    self._gone(uid)
                await self._watch(found["metadata"]["resourceVersion"])
            except NO_ANSWER:
                await asyncio.sleep(0.3)

    async def _watch(self, version: str) -> None:
        """Follow events until the server forgets where we were; then the caller lists again."""
        while True:
            async for event in self._kube.watch("/api/v1/pods", BOUND, version):
                if event["type"] == "ERROR":
                    return
                pod = event["object"]
                version = pod["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._gone(pod["metadata"]["uid"])
                elif event["type"] != "BOOKMARK":
                    self._see(pod)

    def _see(self, pod: Json) -> None:
        online = self._online.get(pod["spec"]["nodeName"])
        if online is None or not online.is_set():
            return
        uid = pod["metadata"]["uid"]
        entry = self._lives.get(uid)
        if entry is None:
            number = next(self._addresses)
            address = f"10.{64 + (number >> 16) % 128}.{number >> 8 & 255}.{number & 255}"
            lost = uid in self._lost
            executes = self.nodes[pod["spec"]["nodeName"]].executes
            life = PodLife(pod, self._kube, self._runs, online, self.runs_for_s, address, lost, executes=executes)
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            entry = self._lives[uid] = _Life(life, asyncio.create_task(life.lead(), name=name))
            entry.task.add_done_callback(_complain)
        if pod["metadata"].get("deletionTimestamp"):
            entry.life.grace_s = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            entry.life.deleted.set()

    def _gone(self, uid: str) -> None:
        entry = self._lives.get(uid)
        if entry is not None and self._online[entry.life.node].is_set():
            entry.task.cancel()
            del self._lives[uid]


def _complain(task: asyncio.Task[None]) -> None:
    """A pod whose life went wrong would just hang; the reason must be somewhere."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the fake kubelet gave up on pod %s: %s", task.get_name(), error)


class KubeletThread:
    """A kubelet with a thread and a loop of its own, for fixtures and commands that have no loop."""

    def __init__(self, plane: ControlPlaneServers, nodes: Sequence[FakeNode], runs_for_s: float = 1.0) -> None:
        self.kubelet = Kubelet(plane, nodes, runs_for_s)
        self._loop = LoopThread(f"kubelet-{plane.name}")

    @property
    def runs(self) -> list[Run]:
        return list(self.kubelet.runs)

    def start(self) -> None:
        self._loop.call(self.kubelet.start(), timeout_s=120.0)

    def stop(self) -> None:
        self._loop.call(self.kubelet.stop())
        self._loop.stop()

    def drop(self, name: str, pods_run_on: bool = False) -> None:
        self._loop.call(self.kubelet.drop(name, pods_run_on))

    def revive(self, name: str) -> None:
        self._loop.call(self.kubelet.revive(name))

    def delete_node(self, name: str) -> None:
        self._loop.call(self.kubelet.delete_node(name))
