"""A server that speaks S3: moto, in an environment of its own, on a loopback port. It checks no signatures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE_S
from tests.servers.binaries import cache_directory
from tests.servers.processes import Server, free_port

WANTED = ("moto==5.2.5", "flask==3.1.3", "flask-cors==6.0.5")
"""Some of what it needs is in older versions than the federator's own."""


def find_moto() -> Path:
    """The interpreter of an environment that has it; made once, in about a minute. Raises CalledProcessError."""
    directory = cache_directory() / "moto-5.2.5"
    interpreter = directory / "bin" / "python"
    if not (directory / "made").exists():
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", *WANTED]
        subprocess.run(install, check=True, capture_output=True, text=True)
        (directory / "made").touch()
    return interpreter


@dataclass(frozen=True)
class Bucket:
    """A bucket on a server that runs."""

    endpoint: str
    name: str = "bucket"

    def keys(self) -> list[str]:
        """The names of all objects in it."""
        return re.findall(r"<Key>([^<]*)</Key>", self._ask("GET"))

    def make(self) -> None:
        """Make it. Raises OSError while the server does not answer."""
        self._ask("PUT")

    def _ask(self, method: str) -> str:
        request = urllib.request.Request(f"{self.endpoint}/{self.name}", method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())


@contextmanager
def bucket() -> Iterator[Bucket]:
    """An empty bucket, with a server for it alone."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        command = [str(find_moto()), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = Server("moto", command, Path(folder) / "moto.log")
        server.start()
        try:
            one = Bucket(f"http://127.0.0.1:{port}")
            server.wait_until(lambda: _made(one), PATIENCE_S, "a bucket")
            yield one
        finally:
            server.stop()


def _made(one: Bucket) -> bool:
    try:
        one.make()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
