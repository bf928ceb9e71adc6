"""Packs the pilot into one file that any Python from 3.9 on runs: ``python -m federator.pilot.pack FILE``."""

from __future__ import annotations

import stat
import sys
import zipfile
from pathlib import Path

import federator

SHEBANG = b"#!/usr/bin/env python3\n"
START = 'import sys\n\nfrom federator.pilot.main import main\n\nsys.exit(main(program="pilot.pyz"))\n'
WHEN = (1980, 1, 1, 0, 0, 0)
"""The same sources make the same file."""


def pack(target: Path) -> None:
    """Write the file. Raises OSError."""
    root = Path(federator.__file__).parent
    shared = [root / name for name in ("__init__.py", "expansion.py", "keep.py", "keeper.py", "processes.py")]
    sources = [*shared, *sorted((root / "pilot").glob("*.py"))]
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for source in sources:
                name = f"federator/{source.relative_to(root).as_posix()}"
                archive.writestr(zipfile.ZipInfo(name, WHEN), source.read_bytes(), zipfile.ZIP_DEFLATED)
            archive.writestr(zipfile.ZipInfo("__main__.py", WHEN), START, zipfile.ZIP_DEFLATED)
    target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
    sys.stdout.write(f"{sys.argv[1]} written\n")
