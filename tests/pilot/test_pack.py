"""The pilot as one file, for worker nodes that have nothing but an older Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from federator.pilot.pack import pack

ROOT = Path(__file__).parents[2] / "federator"


def test_the_file_runs_by_itself_and_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(tmp_path / name / "pilot.pyz")
    assert (tmp_path / "one/pilot.pyz").read_bytes() == (tmp_path / "two/pilot.pyz").read_bytes()
    command = [sys.executable, "-I", "-S", str(tmp_path / "one/pilot.pyz"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env={})
    assert done.returncode == 0, done.stderr
    assert "usage: pilot.pyz" in done.stdout


def test_its_sources_are_those_of_python_3_9() -> None:
    sources = [ROOT / "__init__.py", ROOT / "processes.py", *(ROOT / "pilot").glob("*.py")]
    for source in sources:
        ast.parse(source.read_text(), source.name, feature_version=(3, 9))
