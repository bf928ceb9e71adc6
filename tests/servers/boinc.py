"""BOINC's client from Debian, unpacked into the cache; nothing is installed."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.binaries import cache_directory, made_once
from tests.servers.private_apt import PrivateApt

OWN = re.compile(r"lib(boinc|brotli|bsd|curl|ldap|md|nghttp2|psl|rtmp|sasl2|ssh2|x|zstd).*")
"""Libraries that a small machine may lack; the others any Debian with Python has."""
UNWANTED = re.compile(r".*(-data|-db|-modules|-common)$")


@dataclass(frozen=True)
class Boinc:
    """``program``: what starts the client."""

    program: Path


def find_boinc() -> Boinc:
    """From the cache, or from Debian. Raises AptFailed."""
    return Boinc(made_once(cache_directory() / "boinc-1", _make) / "boinc")


def _make(made: Path, final: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        apt = PrivateApt(Path(folder))
        apt.update()
        names = apt.dependencies(["boinc-client"])
        libraries = [name for name in names if OWN.fullmatch(name) and not UNWANTED.fullmatch(name)]
        apt.extract(["boinc-client", *sorted(libraries)], made / "tree")
    (found,) = (made / "tree/usr/lib").glob("*/libboinc.so.7")
    folder_of_libraries = final / found.parent.relative_to(made)
    script = made / "boinc"
    script.write_text(
        f'#!/bin/sh\nexport LD_LIBRARY_PATH={folder_of_libraries}\nexec {final}/tree/usr/bin/boinc "$@"\n'
    )
    script.chmod(0o755)
