"""A Python with numpy for jobs of sites: they run as another user, who may not be let in to the one that runs tests."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.servers.processes import ServerFailed, primary_group

USER = "nobody"


def python_with_numpy(folder: Path) -> tuple[str, Mapping[str, str]]:
    """The program, and variables that it needs. ``folder`` takes a copy of numpy, if need be. Raises ServerFailed."""
    if _runs(sys.executable, {}):
        return sys.executable, {}
    found = importlib.util.find_spec("numpy")
    assert found is not None
    assert found.origin is not None
    installed = Path(found.origin).parent
    for name in ("numpy", "numpy.libs"):
        if (source := installed.with_name(name)).exists():
            shutil.copytree(source, folder / "lib" / name, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    env = {"PYTHONPATH": str(folder / "lib")}
    for program in (f"python{sys.version_info.major}.{sys.version_info.minor}", "python3"):
        if _runs(program, env):
            return program, env
    raise ServerFailed(f"user {USER} has no Python {sys.version_info.major}.{sys.version_info.minor} to run numpy with")


def _runs(program: str, env: Mapping[str, str]) -> bool:
    become = ["setpriv", "--reuid", USER, "--regid", str(primary_group(USER)), "--clear-groups", "--"]
    # By a shell: setpriv itself finds programs that its user does not.
    words = [*(become if os.geteuid() == 0 else ()), "sh", "-c", '"$0" -c "import numpy"', program]
    env = {"PATH": os.defpath, **env}
    return not subprocess.run(words, env=env, cwd="/", capture_output=True, check=False, timeout=60).returncode
