"""Pilots as tasks of an array: the script that starts one, run by a real bash, and what Slurm tells of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from federator.clusters.sent import PilotJobs
from federator.clusters.sizing import End, Limits
from federator.clusters.slurm import pilot_jobs
from federator.clusters.slurm.records import Task
from federator.model.indexset import IndexSet
from federator.model.resources import CPU, MEMORY, Resources

SIZE = Resources.of({CPU: 8000, MEMORY: 16 << 30})
JOBS = PilotJobs("https://fed.example.org:8443", "/etc/fed/cern.token", Limits(SIZE), ca_file="/etc/fed/ca.pem")
TELLS = b"import os, sys; print(*sys.argv[1:]); print(open('cern.token').read(), oct(os.stat('cern.token').st_mode))\n"


def task(number: int, state: str, **more: Any) -> Task:
    one = Task(7, IndexSet.of((number,)), False, state, "", "federator:fed:pilots:cern", submitted_s=100.0)
    return replace(one, **more)


def begin(folder: Path, program: bytes, **env: str) -> subprocess.Popen[str]:
    files = {"pilot.pyz": program, "cern.token": b"secret", "ca.pem": b"certificate"}
    text = pilot_jobs.script("cern", str(folder), JOBS, files)
    told = {"PATH": os.environ["PATH"], "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", **env}
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(["bash", "-c", text], env={**told, "SLURM_TMPDIR": str(folder / "tmp")}, text=True)


def test_a_pilot_starts_with_its_name_and_its_token_and_leaves_what_it_wrote_only_if_it_ends_badly(
    tmp_path: Path,
) -> None:
    assert begin(tmp_path, TELLS + b"sys.exit(2)").wait(60) == 2
    log = (tmp_path / "pilots" / "cern-7-3").read_text()
    assert "--name cern-7-3 --cluster cern --cpu 8 --memory 17179869184" in log
    assert "--token-file cern.token" in log
    assert "--ca-file ca.pem" in log
    assert "secret 0o100600" in log, "nobody else on the node can read the token"
    assert begin(tmp_path, TELLS).wait(60) == 0
    assert not list((tmp_path / "pilots").iterdir())
    assert len(list((tmp_path / "tmp").iterdir())) == 1, "the spool of the one that ended badly"


def test_a_pilot_is_told_to_end_and_is_waited_for(tmp_path: Path) -> None:
    program = b"import signal, sys, time\n"
    program += b"signal.signal(15, lambda *_: (print('drains'), sys.exit(5)))\n"
    program += b"print('up', flush=True)\ntime.sleep(60)\n"
    started = begin(tmp_path, program)
    log = tmp_path / "pilots" / "cern-7-3"
    end = time.monotonic() + 60
    while not (log.exists() and "up" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    started.send_signal(signal.SIGTERM)
    assert started.wait(60) == 5
    assert "drains" in log.read_text()


def test_a_pilot_that_slurm_starts_again_does_nothing(tmp_path: Path) -> None:
    assert begin(tmp_path, TELLS + b"sys.exit(2)", SLURM_RESTART_COUNT="1").wait(60) == 0


def test_a_listing_is_read() -> None:
    tasks = [
        Task(7, IndexSet.of((0, 1)), False, "PENDING", "", "federator:fed:pilots:cern", submitted_s=100.0),
        task(2, "RUNNING", started_s=110.0, ended_s=99_999.0),
        task(3, "COMPLETING"),
        task(4, "COMPLETED", ended_s=120.0),
        task(5, "FAILED", exit_code=2, ended_s=121.0),
        task(6, "CANCELLED", ended_s=122.0),
        task(7, "RUNNING", started_s=1.0, comment="federator:fed:pilots:desy"),
    ]
    found = pilot_jobs.read("cern", "fed", tasks, 130.0)
    assert found.now_s == 130.0
    assert found.waiting == {"7_0": 30.0, "7_1": 30.0}
    assert found.running == {"cern-7-2": ("7_2", 20.0)}
    assert found.going == {"7_3"}
    assert found.ended == {"7_4": End(120.0, True), "7_5": End(121.0, False)}
    assert found.words == "job 7_5 ended with exit status 2"
    assert pilot_jobs.read("cern", "fed", tasks, 50.0).now_s == 122.0, "our clock is behind"
