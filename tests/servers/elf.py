"""What makes programs of another Debian independent of this machine's libraries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.servers.private_apt import PrivateApt

LIBRARY = re.compile(r"\.so(\.\d+)*$")


def find_patchelf(folder: Path) -> str:
    """The program: of this machine, or from its Debian, unpacked below ``folder``. Raises AptFailed."""
    if (found := shutil.which("patchelf")) is not None:
        return found
    codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    apt = PrivateApt(folder, suite=codename[1] if codename else "bookworm")
    apt.update()
    apt.extract(["patchelf"], folder / "tree")
    return str(folder / "tree/usr/bin/patchelf")


def copy_libraries(tree: Path, lib: Path) -> None:
    """All libraries side by side, links as what they point to: the loader finds each by its one name."""
    lib.mkdir()
    for path in sorted(tree.rglob("*.so*")):
        if LIBRARY.search(path.name) and path.is_file() and not (lib / path.name).exists():
            shutil.copy(path, lib / path.name)
