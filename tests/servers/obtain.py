"""`python -m tests.servers.obtain`: gets every server that the tests use, before the first test waits for one."""

from __future__ import annotations

import sys
import time

from tests.servers.apptainer import find_apptainer
from tests.servers.boinc import find_boinc
from tests.servers.build_kubernetes import build_if_needed
from tests.servers.htcondor_programs import find_htcondor
from tests.servers.mariadb import find_mariadb
from tests.servers.podman import find_podman
from tests.servers.postgres import find_postgres
from tests.servers.s3 import find_moto
from tests.servers.slurm_programs import find_slurm
from tests.servers.sshd import find_ssh


def main() -> None:
    """Find or make each server; exit status 1, with what is missing and the cure, if one cannot be had."""
    servers = (
        ("Kubernetes", build_if_needed),
        ("PostgreSQL", find_postgres),
        ("Apptainer", find_apptainer),
        ("Podman", find_podman),
        ("Slurm", find_slurm),
        ("ssh", find_ssh),
        ("MariaDB", find_mariadb),
        ("moto", find_moto),
        ("HTCondor", find_htcondor),
        ("BOINC", find_boinc),
    )
    for name, obtain in servers:
        began = time.monotonic()
        try:
            found = obtain()
        except Exception as error:
            sys.exit(f"{name} cannot be had: {error}")
        print(f"   {name}: {getattr(found, 'directory', found)} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
