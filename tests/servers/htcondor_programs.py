"""HTCondor from a newer Debian, unpacked into the cache and made independent of the machine's own libraries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.servers.binaries import cache_directory, made_once
from tests.servers.elf import copy_libraries, find_patchelf
from tests.servers.private_apt import PrivateApt

SUITE = "sid"
UNWANTED = re.compile(r"lib(debian|newt|slang|textwrap|js-|date-manip|perl|python).*")
LOADER = "ld-linux-x86-64.so.2"


def find_htcondor() -> Path:
    """The prefix with ``bin``, ``sbin`` and ``lib``: from the cache, or from Debian. Raises AptFailed."""
    # Root runs pools as another user, who is not let into root's own cache.
    cache = Path("/var/cache/federator") if os.geteuid() == 0 else cache_directory()
    return made_once(cache / "htcondor-1", _make)


def _make(made: Path, prefix: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        apt = PrivateApt(Path(folder) / "sid", suite=SUITE)
        apt.update()
        apt.extract(_needed(apt), tree)
        patchelf = find_patchelf(Path(folder) / "host")
        for source, target in (("usr/bin", "bin"), ("usr/sbin", "sbin"), ("usr/libexec/condor", "libexec/condor"),
                               ("usr/share/condor", "share/condor")):  # fmt: skip
            if (tree / source).exists():
                shutil.copytree(tree / source, made / target, symlinks=True, dirs_exist_ok=True)
        copy_libraries(tree, made / "lib")
        for path in _programs(made):
            words = ["--force-rpath", "--set-rpath", str(prefix / "lib")]
            if path.parent != made / "lib":
                words = ["--set-interpreter", str(prefix / "lib" / LOADER), *words]
            # A library without dynamic part, or a static program, has nothing to be set.
            subprocess.run([patchelf, *words, str(path)], check=False, stderr=subprocess.DEVNULL)
    made.chmod(0o755)  # pools run as other users


def _needed(apt: PrivateApt) -> list[str]:
    """The package and the libraries that it needs, by the names that the suite has now."""
    libraries = {name for name in apt.dependencies(["condor"]) if name.startswith("lib")}
    return ["condor", *sorted(name for name in libraries if not UNWANTED.fullmatch(name))]


def _programs(made: Path) -> Iterator[Path]:
    for path in sorted(made.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != LOADER:
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path
