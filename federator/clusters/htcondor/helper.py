"""Calls to a schedd, made in a process of their own.

The bindings hold the interpreter lock while they wait for the network: a schedd that hangs would stop the daemon. So
each schedd has a process that makes its calls one after the other. One that overruns its deadline is killed, which
ends its connection, and the next call starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from federator.clusters.htcondor.settings import Access

START_S = 60.0
"""How long a new process may take before it listens (importing, on a machine that is busy)."""
MOST_BYTES = 1 << 28


class CallFailed(Exception):
    """The schedd or the collector said no, or nothing; the words say which."""


class Helper:
    """Makes calls of ``calls.CALLS`` by their names."""

    def __init__(self, access: Access, directory: Path) -> None:
        self._access = access
        self._tokens = directory / "tokens"
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def call(self, name: str, **arguments: object) -> Any:
        """What the call gives. Raises CallFailed, and TimeoutError when it took too long."""
        async with self._turn:
            process = await self._started()
            try:
                return await self._ask(process, {"call": name, "arguments": arguments}, self._access.timeout_s)
            except CallFailed:
                raise
            except BaseException:
                # Its answer would be taken for the answer to the next question.
                await self._end()
                raise

    async def close(self) -> None:
        """End the process; what it was doing is not done, or done and not told."""
        await self._end()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            words = [sys.executable, "-m", "federator.clusters.htcondor.calls"]
            self._process = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                limit=MOST_BYTES, env=self._environment(), start_new_session=True,
            )  # fmt: skip
            try:
                await self._ask(self._process, {"call": "ready", "arguments": {}}, START_S)
            except BaseException:
                await self._end()
                raise
        return self._process

    async def _ask(self, process: asyncio.subprocess.Process, question: dict[str, Any], timeout_s: float) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                process.stdin.write(json.dumps(question).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        except TimeoutError as error:
            raise TimeoutError(f"no answer within {timeout_s:g} s") from error
        except OSError as error:
            raise TimeoutError(f"its helper ended: {error}") from error
        if not line.endswith(b"\n"):
            raise TimeoutError("its helper ended before it answered")
        answer = json.loads(line)
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["value"]

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _environment(self) -> dict[str, str]:
        """All of HTCondor's configuration is here: none of the machine's is read."""
        access = self._access
        # Found wherever it was imported from, and nothing else of the daemon's surroundings.
        package = str(Path(__file__).parents[3])
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment |= {
            "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
            "CONDOR_CONFIG": "ONLY_ENV",
            "_CONDOR_COLLECTOR_HOST": access.collector,
            "_CONDOR_SEC_CLIENT_AUTHENTICATION": "REQUIRED",
            "_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS, SCITOKENS" if access.token_file else "FS",
            "FEDERATOR_COLLECTOR": access.collector,
            "FEDERATOR_SCHEDD": access.schedd,
        }
        if access.token_file:
            # HTCondor wants a directory of tokens: one of our own, that leads to this one only.
            self._tokens.mkdir(parents=True, exist_ok=True, mode=0o700)
            link, target = self._tokens / "token", Path(access.token_file).resolve()
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                link.symlink_to(target)
            environment["_CONDOR_SEC_TOKEN_DIRECTORY"] = str(self._tokens)
            environment["_CONDOR_SCITOKENS_FILE"] = access.token_file
        if access.ca_file:
            environment["_CONDOR_AUTH_SSL_CLIENT_CAFILE"] = access.ca_file
        return environment
