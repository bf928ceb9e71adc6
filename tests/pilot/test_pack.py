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
    shared = [ROOT / f"{name}.py" for name in ("__init__", "expansion", "keep", "keeper", "processes")]
    sources = [*shared, *(ROOT / "pilot").glob("*.py")]
    for source in sources:
        ast.parse(source.read_text(), source.name, feature_version=(3, 9))


def test_it_carries_checkpoints_by_itself(tmp_path: Path) -> None:
    pack(tmp_path / "pilot.pyz")
    program = """
import sys, time
sys.path.insert(0, sys.argv[1] + "/pilot.pyz")
from federator.keeper import Keeper
folder = sys.argv[1]
told = {"everySeconds": 60, "limitBytes": 1000, "put": ["file://" + folder + "/kept"], "get": [], "drop": []}
keeper = Keeper(told, folder + "/task", print)
while not keeper.ready():
    time.sleep(0.01)
open(folder + "/task/state", "w").close()
while not keeper.finish(None):
    time.sleep(0.01)
"""
    command = [sys.executable, "-I", "-S", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env={})
    assert (done.stdout.split(), done.stderr) == (["kept"], "")
    assert (tmp_path / "kept").exists()
