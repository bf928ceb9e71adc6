"""Runs commands in this process, beside a server over a fake federation."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from federator.cli.main import execute
from tests.api.conftest import Api, api

__all__ = ["Api", "api"]


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command in an empty folder, with nothing of this user's around it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FEDERATOR_SERVER", "FEDERATOR_TOKEN_FILE", "FEDERATOR_DATABASE"):
        monkeypatch.delenv(name, raising=False)

    def go(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        status = execute(arguments)
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Result(status, out, err)

    return go


@pytest.fixture
def client(api: Api, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a client command as the operator, in a thread, because the server lives in this one."""
    token = tmp_path / "operator.token"
    token.write_text(api.tokens["operator"] + "\n")
    monkeypatch.setenv("FEDERATOR_SERVER", api.url)
    monkeypatch.setenv("FEDERATOR_TOKEN_FILE", str(token))

    async def go(*arguments: str, stdin: str = "") -> Result:
        return await asyncio.to_thread(run, *arguments, stdin=stdin)

    return go
