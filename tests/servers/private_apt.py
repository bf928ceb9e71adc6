"""Reads Debian's archive without touching the host's own apt.

The host's lists may be stale, may lack source packages, and may name archives
that do not answer. So we keep lists and cache of our own, in a directory that
is thrown away, and take only the Debian stanzas from the host's sources: no
archive's address is written down here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.servers.binaries import cache_directory


class AptFailed(RuntimeError):
    """apt or dpkg said no; the message carries its last lines."""


def unpacked(name: str, packages: Sequence[str]) -> Path:
    """The tree of the files of packages, from the cache or from Debian; nothing is installed. Raises AptFailed."""
    tree = cache_directory() / name
    if not tree.exists():
        tree.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tree.parent) as made:
            apt = PrivateApt(Path(made) / "apt")
            apt.update()
            apt.extract(packages, Path(made) / "tree")
            shutil.rmtree(tree, ignore_errors=True)
            (Path(made) / "tree").rename(tree)
    return tree


class PrivateApt:
    """An apt with its own lists and cache in ``directory``.

    With ``host_status`` it knows what the host has installed, which ``install``
    needs; without, every download is looked at as if on an empty machine.
    """

    def __init__(self, directory: Path, suite: str = "bookworm", host_status: bool = False) -> None:
        self.directory = directory
        for part in ("lists/partial", "cache/archives/partial", "debs"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        sources = directory / "debian.sources"
        sources.write_text(debian_stanzas(Path("/etc/apt"), suite))
        status = Path("/var/lib/dpkg/status") if host_status else directory / "status"
        if not host_status:
            status.touch()
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": directory / "lists",
            "Dir::State::status": status,
            "Dir::Cache": directory / "cache",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        if os.geteuid() == 0:
            options["APT::Sandbox::User"] = "root"  # apt's own user may not enter our directory
        self._options = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]

    def update(self) -> None:
        self._apt("update")

    def source(self, package: str) -> list[Path]:
        """Download a source package and return its files."""
        before = set(self._debs.iterdir())
        self._apt("source", "--download-only", package)
        return sorted(set(self._debs.iterdir()) - before)

    def extract(self, packages: Sequence[str], tree: Path) -> None:
        """Download binary packages and unpack them below ``tree``; nothing is installed."""
        before = set(self._debs.iterdir())
        self._apt("download", *packages)
        tree.mkdir(parents=True, exist_ok=True)
        for deb in sorted(set(self._debs.iterdir()) - before):
            run(["dpkg-deb", "-x", str(deb), str(tree)])

    def dependencies(self, packages: Sequence[str]) -> set[str]:
        """The packages and all that they depend on, by the names that the suite has now."""
        less = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        options = ["--recurse", *(f"--no-{kind}" for kind in less)]
        told = run(["apt-cache", *self._options, "depends", *options, *packages])
        return {line.strip() for line in told.splitlines() if re.match(r"[a-z0-9]", line)}

    def install(self, packages: Sequence[str]) -> None:
        """Install on the host. Only where unpacking is not enough, and only as root."""
        if os.geteuid() != 0:
            raise AptFailed(f"not root, so please install these packages: {' '.join(packages)}")
        keep = ("-o", "Dpkg::Options::=--force-confold")  # files we put there before are ours
        self._apt("install", "-y", "--no-install-recommends", *keep, *packages)

    @property
    def _debs(self) -> Path:
        return self.directory / "debs"

    def _apt(self, *words: str) -> None:
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", *self._options, "-q", *words], cwd=self._debs, env=quietly)


def debian_stanzas(etc_apt: Path, suite: str) -> str:
    """The host's Debian sources, turned to ``suite`` and asking for sources too.

    Both spellings are read: deb822 stanzas (``*.sources``) and one-line entries (``*.list``).
    """
    stanzas: list[str] = []
    for path in sorted((etc_apt / "sources.list.d").glob("*.sources")):
        found = re.split(r"\n\s*\n", path.read_text())
        debian = [s for s in found if re.search(r"^Signed-By:.*debian-archive|^Suites:.*" + suite, s, re.M)]
        stanzas += [re.sub(r"^Types:.*$", "Types: deb deb-src", s.strip(), flags=re.M) for s in debian]
    lists = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*.list"))]
    entry = re.compile(r"^deb\s+(?:\[[^]]*\]\s+)?(\S*debian\S*)\s+(\S+)\s+(.+)$", re.M)
    for path in lists if not stanzas else ():
        for address, name, components in entry.findall(path.read_text() if path.exists() else ""):
            stanzas.append(f"Types: deb deb-src\nURIs: {address}\nSuites: {name}\nComponents: {components}")
    stanzas = [s for s in stanzas if re.search(r"^Suites:.*\b" + suite, s, re.M)] or [
        re.sub(r"^Suites:.*$", f"Suites: {suite}", s, flags=re.M) for s in stanzas[:1]
    ]
    if not stanzas:
        raise AptFailed(f"no Debian archive is named in {etc_apt}; this needs a Debian machine")
    return "\n\n".join(stanzas) + "\n"


def run(command: Sequence[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end; a failure is raised with its last thirty lines."""
    done = subprocess.run(
        command, cwd=cwd, env=env, text=True, errors="replace", stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-30:])
        raise AptFailed(f"{' '.join(command[:4])} ... ended with {done.returncode}:\n{tail}")
    return done.stdout
