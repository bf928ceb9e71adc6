"""Slurm's programs, from Debian's packages."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from tests.servers.private_apt import PrivateApt
from tests.servers.processes import ServerFailed

PACKAGES = (
    "slurmctld", "slurmd", "slurmrestd", "slurm-client", "slurmdbd", "slurm-wlm-mysql-plugin", "slurm-wlm-jwt-plugin",
    "munge",
)  # fmt: skip
PROGRAMS = (
    "slurmctld", "slurmd", "slurmrestd", "slurmdbd", "munged", "sbatch", "squeue", "sinfo", "scancel", "scontrol",
    "sacctmgr",
)  # fmt: skip
PLUGINS = ("auth_jwt.so", "accounting_storage_mysql.so")
"""Of packages that programs do not tell of."""


def find_slurm() -> dict[str, str]:
    """Slurm's programs by name; root installs Debian's packages when one is missing. Raises ServerFailed."""
    if (found := _programs()) is not None:
        return found
    if os.geteuid() != 0:
        raise ServerFailed(f"Slurm is missing and only root may install it: apt-get install {' '.join(PACKAGES)}")
    codename = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.M)
    with tempfile.TemporaryDirectory() as directory:
        apt = PrivateApt(Path(directory), suite=codename[1] if codename else "bookworm", host_status=True)
        apt.update()
        apt.install(PACKAGES)
    if (found := _programs()) is None:
        wanted = ", ".join((*PROGRAMS, *PLUGINS))
        raise ServerFailed(f"the packages are installed, but not all of these are there: {wanted}")
    return found


def _programs() -> dict[str, str] | None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    found = {name: shutil.which(name, path=path) for name in PROGRAMS}
    plugins = all(any(Path("/usr/lib").glob(f"*/slurm-wlm/{name}")) for name in PLUGINS)
    return {name: where for name, where in found.items() if where} if plugins and all(found.values()) else None
