"""AccaSim 1.1.3 on the jobs on which we are measured, in an environment of its own that is made once, from PyPI.

Its environment lies in the cache (``$XDG_CACHE_HOME/federator``, by version). Where it cannot be made, say without a
network, that is said and nothing is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from federator.model.resources import CPU
from federator.simulator.story import Arrival

VERSION, SIMPY = "1.1.3", "4.1.1"
DRIVER = Path(__file__).with_name("peer_driver.py")
SETUP_S, RUN_S = 600, 600
SIMPY_LOOP = """
import sys, time, simpy
def job(env):
    yield env.timeout(5000.0)
def arrivals(env, jobs):
    for _ in range(jobs):
        env.process(job(env))
        yield env.timeout(1250.0)
jobs = int(sys.argv[1])
began = time.process_time()
env = simpy.Environment()
env.process(arrivals(env, jobs))
env.run()
print(time.process_time() - began)
"""
"""Arrivals and ends, and nothing else."""


class Missing(Exception):
    """The environment cannot be made."""


@dataclass(frozen=True)
class Told:
    """What came of a run: seconds of CPU, MiB, and when each job started, by its name in ours."""

    cpu_s: float
    peak_mib: float
    starts: Mapping[str, float]


def environment() -> Path:
    """The Python that has AccaSim and simpy. Raises Missing."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "federator"
    folder = cache / f"accasim-{VERSION}-python{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    print(f"making {folder} for AccaSim, once (some minutes)", file=sys.stderr)
    try:
        venv.create(folder, with_pip=True)
        wanted = ["setuptools<80", f"accasim=={VERSION}", f"simpy=={SIMPY}"]
        command = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *wanted]
        subprocess.run(command, check=True, timeout=SETUP_S, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise Missing(f"AccaSim {VERSION} cannot be installed: {said[-1] if said else 'no word why'}") from error
    (folder / "complete").touch()
    return python


def run(python: Path, jobs: Iterable[Arrival], processors: int, rule: str) -> Told:
    """Have AccaSim simulate these jobs on so many processors under ``FCFS`` or ``EASY``."""
    names: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "jobs.swf"
        with log.open("w", encoding="utf-8") as file:
            for number, one in enumerate(jobs, start=1):
                names[str(number)] = one.workload.name
                file.write(_line(number, one))
        command = [str(python), str(DRIVER), str(log), str(processors), rule, folder]
        made = subprocess.run(command, check=True, timeout=RUN_S, capture_output=True, text=True)
    answer = json.loads(made.stdout.splitlines()[-1])
    starts = {names[number]: start_s for number, start_s in answer["starts"].items()}
    return Told(answer["cpu_s"], answer["peak_mib"], starts)


def _line(number: int, one: Arrival) -> str:
    """A job in the Standard Workload Format."""
    role, expected_s = one.workload.roles[0], one.workload.duration_s or one.run_s
    cores = role.requests[CPU] * role.replicas // 1000
    fields = [number, int(one.at_s), -1, int(one.run_s), cores, -1, -1, cores, int(expected_s), -1, 1, 1, 1, 1, 1, 1]
    return " ".join(map(str, [*fields, -1, -1])) + "\n"


def simpy_cpu_s(python: Path, jobs: int) -> float:
    """The seconds of CPU that simpy's bare loop takes for so many arrivals and ends."""
    command = [str(python), "-c", SIMPY_LOOP, str(jobs)]
    return float(subprocess.run(command, check=True, timeout=RUN_S, capture_output=True, text=True).stdout)
