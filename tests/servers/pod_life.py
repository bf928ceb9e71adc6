"""One bound pod from its start to its deletion, as a kubelet would lead it.

What happens to the containers does not wait for the apiserver: a pod that ends
during an outage ends then, and it is reported when there is someone to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tests.servers import pod_facts
from tests.servers.fake_node import now
from tests.servers.kube_http import STRATEGIC, KubeHttp
from tests.servers.pod_facts import Behaviour, Json
from tests.servers.pod_process import PodProcess
from tests.servers.runs import Run, Runs

# Real kubelets wait 10 s and double it; tests have no time for that.
RESTART_PAUSE_S = 1.0
KILLED = 137


class PodLife:
    """``deleted`` is set when the pod is to go; cancel the task when it is gone already."""

    def __init__(
        self,
        pod: Json,
        kube: KubeHttp,
        runs: Runs,
        online: asyncio.Event,
        default_s: float,
        ip: str,
        lost: bool,
        *,
        executes: bool = False,
    ) -> None:
        self.node: str = pod["spec"]["nodeName"]
        self.deleted = asyncio.Event()
        self.grace_s = 0.0
        """From its deletion to its end, where it executes."""
        self.run: Run | None = None
        self._pod = pod
        self._kube = kube
        self._runs = runs
        self._online = online
        self._behaviour: Behaviour = pod_facts.behaviour(pod, default_s)
        self._lost = lost
        self._process = PodProcess(pod, kube) if executes else None
        # A kubelet that comes back finds what it said before; an address once given stays.
        before = pod.get("status") or {}
        self._ip: str = before.get("podIP") or ip
        self._since: str = before.get("startTime") or now()
        metadata = pod["metadata"]
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._uid: str = metadata["uid"]

    async def lead(self) -> None:
        """The whole life. Cancelling it means that the containers vanish."""
        phase = (self._pod.get("status") or {}).get("phase")
        try:
            if phase in ("Succeeded", "Failed"):
                pass
            elif self._lost and self._pod["spec"].get("restartPolicy") == "Never":
                await self._report("Failed", _terminated(KILLED, "ContainerStatusUnknown", self._since), 0)
            elif self._behaviour.waiting:
                await self._report("Pending", {"waiting": _waiting(self._behaviour.waiting)}, 0)
            else:
                await (self._execute(self._process) if self._process else self._run_containers())
            await self.deleted.wait()
            await self._remove()
        finally:
            if self.run is not None:
                self._runs.end(self.run, None)
            if self._process is not None:
                self._process.end()

    async def _execute(self, process: PodProcess) -> None:
        """Its command runs once, to its end or until the pod is to go."""
        self.run = self._runs.begin(self._pod, 0)
        self.run.output, started = process.log, now()
        await self._report("Running", {"running": {"startedAt": started}}, 0)
        running, leaving = asyncio.create_task(process.run()), asyncio.create_task(self.deleted.wait())
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            code = running.result() if running.done() else await process.stop(running, lambda: self.grace_s)
        finally:
            running.cancel()
            leaving.cancel()
        self._runs.end(self.run, code)
        ended = _terminated(code, "Completed" if code == 0 else "Error", started)
        if message := process.message:
            ended["terminated"]["message"] = message
        await self._report("Succeeded" if code == 0 else "Failed", ended, 0)

    async def _run_containers(self) -> None:
        plan, restart = self._behaviour, 0
        limit_s = self._pod["spec"].get("activeDeadlineSeconds")
        too_long = limit_s is not None and (plan.runs_for_s is None or plan.runs_for_s > limit_s)
        while not self.deleted.is_set():
            self.run = self._runs.begin(self._pod, restart)
            started = now()
            running = asyncio.create_task(self._report("Running", {"running": {"startedAt": started}}, restart))
            try:
                if await self._deleted_within(limit_s if too_long else plan.runs_for_s):
                    await asyncio.sleep(plan.stops_after_s)
                    self._runs.end(self.run, None)
                    return
                self._runs.end(self.run, KILLED if too_long else plan.exit_code)
                await running
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running
            if too_long:
                await self._report("Failed", _terminated(KILLED, "Error", started), restart, reason="DeadlineExceeded")
                return
            ended = _terminated(plan.exit_code, plan.reason, started)
            if not plan.restarts:
                await self._report("Succeeded" if plan.exit_code == 0 else "Failed", ended, restart)
                return
            restart += 1
            await self._report("Running", {"waiting": _waiting("CrashLoopBackOff")}, restart, last=ended)
            await self._deleted_within(RESTART_PAUSE_S)

    async def _deleted_within(self, timeout_s: float | None) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.deleted.wait()
        return self.deleted.is_set()

    async def _remove(self) -> None:
        """Say how it ended, as kubelets do before they let go of a pod, then let go."""
        if self.run is not None and self.run.exit_code is None:
            code = KILLED if self._behaviour.stops_with is None else self._behaviour.stops_with
            phase, reason = ("Succeeded", "Completed") if code == 0 else ("Failed", "Error")
            await self._report(phase, _terminated(code, reason, self._since), self.run.restart)
        await self._online.wait()
        precondition = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._uid}}
        await self._kube.persist("DELETE", self._path, precondition)

    async def _report(
        self, phase: str, state: Json, restarts: int, last: Json | None = None, reason: str | None = None
    ) -> None:
        await self._online.wait()
        ready = "running" in state
        # The uid makes sure that a newer pod of the same name is left alone.
        body = {
            "metadata": {"uid": self._uid},
            "status": {
                "phase": phase,
                **({"reason": reason} if reason else {}),
                "startTime": self._since,
                "hostIP": "127.0.0.1",
                "conditions": [
                    _condition("Initialized", True),
                    _condition("Ready", ready),
                    _condition("ContainersReady", ready),
                ],
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": f"fake://{container['image']}",
                        "ready": ready,
                        "started": ready,
                        "restartCount": restarts,
                        "state": state,
                        "lastState": last or {},
                    }
                    for container in self._pod["spec"]["containers"]
                ],
                **({} if phase == "Pending" else {"podIP": self._ip, "podIPs": [{"ip": self._ip}]}),
            },
        }
        await self._kube.persist("PATCH", f"{self._path}/status", body, STRATEGIC)


def _condition(kind: str, holds: bool) -> Json:
    return {"type": kind, "status": str(holds), "lastTransitionTime": now()}


def _waiting(reason: str) -> Json:
    return {"reason": reason, "message": f"{reason}: as the pod's annotation says"}


def _terminated(exit_code: int, reason: str, started: str) -> dict[str, Any]:
    return {"terminated": {"exitCode": exit_code, "reason": reason, "startedAt": started, "finishedAt": now()}}
