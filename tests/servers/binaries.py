"""Where the Kubernetes programs are: a given directory, the cache, or a build."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BUILT_VERSION = "1.20.2"
NEEDED = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")


class ServersMissing(RuntimeError):
    """A server program is not there; the message says which one and how to get it."""


@dataclass(frozen=True)
class KubernetesBinaries:
    """One directory that holds all four programs (and often ``kubectl``)."""

    directory: Path

    @property
    def apiserver(self) -> Path:
        return self.directory / "kube-apiserver"

    @property
    def etcd(self) -> Path:
        return self.directory / "etcd"

    @property
    def controller_manager(self) -> Path:
        return self.directory / "kube-controller-manager"

    @property
    def scheduler(self) -> Path:
        return self.directory / "kube-scheduler"

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor; flags come and go with them."""
        return _version_of(self.apiserver)


def cache_directory() -> Path:
    """What took long to make is kept here, outside the repository."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "federator"


def made_once(final: Path, make: Callable[[Path, Path], None]) -> Path:
    """A folder that took long to make, or makes it now; ``make`` is given where to, and where it will be then."""
    if not final.exists():
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent) as made:
            make(Path(made), final)
            shutil.rmtree(final, ignore_errors=True)
            Path(made).rename(final)
            Path(made).mkdir()  # for the context, which removes it
    return final


def missing_from(directory: Path) -> list[str]:
    return [name for name in NEEDED if not os.access(directory / name, os.X_OK)]


def find_kubernetes() -> KubernetesBinaries:
    """``KUBEBUILDER_ASSETS`` if it is set, else the cache. Never builds by itself.

    A build takes minutes, too long to hide inside a test; so the error names the command.
    """
    given = os.environ.get("KUBEBUILDER_ASSETS")
    directory = Path(given) if given else cache_directory() / f"kubernetes-{BUILT_VERSION}"
    if not (missing := missing_from(directory)):
        return KubernetesBinaries(directory)
    where = "KUBEBUILDER_ASSETS" if given else "the cache"
    cure = (
        "put them there (envtest ships only the first two) or unset KUBEBUILDER_ASSETS"
        if given
        else "run: python -m tests.servers.build_kubernetes"
    )
    raise ServersMissing(f"{where} ({directory}) lacks {', '.join(missing)}; {cure}")


@functools.cache
def _version_of(apiserver: Path) -> tuple[int, int]:
    said = subprocess.run([apiserver, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v(\d+)\.(\d+)", said)
    if found is None:
        raise ServersMissing(f"{apiserver} --version said {said!r}, which names no version")
    return int(found[1]), int(found[2])
