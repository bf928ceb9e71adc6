"""The volumes of a pod on a node that executes: folders of this machine. emptyDir, Secrets and ConfigMaps.

A Secret or ConfigMap that is not there yet is waited for, and one that changes is written anew, as kubelets do, sooner.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from tests.servers.kube_http import KubeError, KubeHttp
from tests.servers.pod_facts import Json

LOOK_S = 0.5
NO_ANSWER = (aiohttp.ClientError, KubeError, OSError, TimeoutError, ValueError)


class PodVolumes:
    """Of one pod, below a folder."""

    def __init__(self, pod: Json, folder: Path, kube: KubeHttp) -> None:
        self._namespace = pod["metadata"]["namespace"]
        self._volumes: list[Json] = pod["spec"].get("volumes") or []
        self._folder = folder
        self._kube = kube

    async def make(self) -> None:
        """Have all of them there, however long it takes."""
        for volume in self._volumes:
            self._at(volume["name"]).mkdir(parents=True)
            self._at(volume["name"]).chmod(0o777)
            while not await self._fill(volume):
                await asyncio.sleep(LOOK_S)

    async def follow(self) -> None:
        """Write anew what changes."""
        while any(set(volume) & {"secret", "configMap"} for volume in self._volumes):
            await asyncio.sleep(LOOK_S)
            for volume in self._volumes:
                await self._fill(volume)

    def mounts(self, container: Json) -> list[tuple[Path, str]]:
        """Which folder is where in a container."""
        mounts = container.get("volumeMounts") or ()
        return [(self._at(mount["name"]), mount["mountPath"]) for mount in mounts]

    def _at(self, name: str) -> Path:
        return self._folder / "volumes" / name

    async def _fill(self, volume: Json) -> bool:
        """Whether what it holds is there."""
        try:
            if "secret" in volume:
                found = await self._found("secrets", volume["secret"]["secretName"])
                data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
            elif "configMap" in volume:
                found = await self._found("configmaps", volume["configMap"]["name"])
                data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
            else:
                return True
        except NO_ANSWER:
            return False
        _write(self._at(volume["name"]), data)
        return True

    async def _found(self, plural: str, name: str) -> Json:
        return await self._kube.call("GET", f"/api/v1/namespaces/{self._namespace}/{plural}/{name}")


def _write(folder: Path, data: Mapping[str, bytes]) -> None:
    for name, content in data.items():
        path, draft = folder / name, folder / f"..{name}"
        if not path.exists() or path.read_bytes() != content:
            draft.write_bytes(content)
            os.replace(draft, path)
