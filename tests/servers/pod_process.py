"""The command of a pod's first container as a process of this machine, for nodes that execute what they are given.

There is no image: command, arguments, environment and working directory are the container's, as a kubelet would give
them to a runtime. One with volumes is the first process of a pid namespace, as in a container, and sees them where they
are mounted: below folders of the machine's root, which are otherwise empty to it. It has a /dev of its own, with a file
whose end stands in its pod's status when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.servers import pod_facts
from tests.servers.kube_http import KubeHttp
from tests.servers.pod_facts import Json
from tests.servers.pod_volumes import PodVolumes

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_MESSAGE = "termination-log"
_MESSAGE_BYTES = 4096
_APART = ("unshare", *(("--map-root-user",) if os.geteuid() else ()), "--mount", "--pid", "--fork", "--kill-child")


class PodProcess:
    """One start of it; its output is in ``log``."""

    def __init__(self, pod: Json, kube: KubeHttp) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pod-"))
        self.log = self.folder / "log"
        self.log.touch()
        self._volumes = PodVolumes(pod, self.folder, kube)
        self._container = pod["spec"]["containers"][0]
        names = [entry["name"] for entry in self._container.get("env") or ()]
        self._env: dict[str, str] = {}
        for name in names:
            self._env[name] = _expanded(pod_facts.environment(pod, name) or "", self._env)
        self._apart = False
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Its exit code, once it has ended; 127 where it could not start."""
        await self._volumes.make()
        work = self.folder / "work"
        work.mkdir()
        words = [*(self._container.get("command") or ()), *(self._container.get("args") or ())]
        words = [_expanded(word, self._env) for word in words]
        if mounts := self._volumes.mounts(self._container):
            self._apart = True
            words = _seeing([*mounts, *self._devices()], words)
        following = asyncio.create_task(self._volumes.follow())
        try:
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *words,
                    env={"PATH": os.defpath, "HOME": str(work), **self._env},
                    cwd=self._container.get("workingDir") or work,
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            code = await self._process.wait()
        except OSError:
            return 127
        finally:
            following.cancel()
        return code if code >= 0 else 128 - code

    @property
    def message(self) -> str:
        """The end of what it has written for its status."""
        path = self.folder / "dev" / _MESSAGE
        return path.read_bytes()[-_MESSAGE_BYTES:].decode(errors="replace") if path.exists() else ""

    def _devices(self) -> list[tuple[Path, str]]:
        own = self.folder / "dev"
        own.mkdir()
        (own / _MESSAGE).touch()
        (own / _MESSAGE).chmod(0o666)
        for name in _DEVICES:
            (own / name).touch()
        return [(own, "/dev")]

    async def stop(self, running: asyncio.Task[int], grace_s: Callable[[], float]) -> int:
        """Tell its first process to end, and end it when its grace is over; its exit code."""
        if self._process is None:  # its volumes are not there yet
            return 128 + signal.SIGKILL
        loop = asyncio.get_running_loop()
        self._tell()
        began_s = loop.time()
        while not running.done() and loop.time() - began_s < grace_s():
            await asyncio.wait({running}, timeout=0.1)
        if running.done():
            return running.result()
        self._kill()
        return await running

    def end(self) -> None:
        """Kill what is left of it, and remove its folder. Its output stays until then."""
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        pid = self._process.pid
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            inside = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if self._apart else [str(pid)]
            for first in inside:
                os.kill(int(first), signal.SIGTERM)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _seeing(mounts: Sequence[tuple[Path, str]], words: Sequence[str]) -> list[str]:
    """The words as those of a process that sees these folders."""
    tops = sorted({"/" + path.split("/")[1] for _, path in mounts} - {"/dev"})
    steps = [f"mount -t tmpfs none {top}" for top in tops]
    steps += [
        f"mount --bind /dev/{name} {source}/{name}" for source, path in mounts if path == "/dev" for name in _DEVICES
    ]
    steps += [f"mkdir -p {path} && mount --rbind {source} {path}" for source, path in mounts]
    return [*_APART, "--mount-proc", "--", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh", *words]


def _expanded(word: str, env: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda found: "$" if found[1] == "$" else env.get(found[2], found[0]), word)
