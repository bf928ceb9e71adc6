"""The command of a pod's first container as a process of this machine, for nodes that execute what they are given.

There is no image: command, arguments, environment and working directory are the container's, as a kubelet would give
them to a runtime.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

from tests.servers import pod_facts
from tests.servers.pod_facts import Json

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")


class PodProcess:
    """One start of it; its output is in ``log``."""

    def __init__(self, pod: Json) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pod-"))
        self.log = self.folder / "log"
        self.log.touch()
        self._container = pod["spec"]["containers"][0]
        names = [entry["name"] for entry in self._container.get("env") or ()]
        self._env: dict[str, str] = {}
        for name in names:
            self._env[name] = _expanded(pod_facts.environment(pod, name) or "", self._env)
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Its exit code, once it has ended; 127 where it could not start."""
        work = self.folder / "work"
        work.mkdir()
        words = [*(self._container.get("command") or ()), *(self._container.get("args") or ())]
        with self.log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(_expanded(word, self._env) for word in words),
                    env={"PATH": os.defpath, "HOME": str(work), **self._env},
                    cwd=self._container.get("workingDir") or work,
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            except OSError:
                return 127
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def end(self) -> None:
        """Kill what is left of it, and remove its folder. Its output stays until then."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def _expanded(word: str, env: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda found: "$" if found[1] == "$" else env.get(found[2], found[0]), word)
