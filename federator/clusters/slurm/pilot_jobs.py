"""Pilots as tasks of a job array: the script that starts one, and what Slurm's listing tells of them. Pure.

Pilot and token travel in the script, which Slurm shows to nobody but who submitted it and its administrators: nothing
of them is on a shared disk or on a command line. A pilot that ends badly leaves what it wrote in
``DIRECTORY/pilots/NAME``.
"""

from __future__ import annotations

import base64
import math
import shlex
from collections.abc import Iterable, Mapping

from federator.clusters.sent.queue import Queued
from federator.clusters.sent.settings import PROGRAM, PilotJobs
from federator.clusters.sizing import End
from federator.clusters.slurm.flavors import MIB
from federator.clusters.slurm.jobs import Job
from federator.clusters.slurm.records import ENDED, RUNNING, WAITING, Task
from federator.clusters.slurm.settings import SlurmSettings
from federator.model.resources import CPU, MEMORY

REMOVED = frozenset({"CANCELLED", "REVOKED", "PREEMPTED", "NODE_FAIL", "TIMEOUT"})
"""How jobs end to which somebody else put an end."""
SPARE_S = 300.0
"""Slurm's own time limit comes so much later than the end of the pilot's lifetime."""

_SCRIPT = """\
#!/bin/bash
[ "${{SLURM_RESTART_COUNT:-0}}" = 0 ] || exit 0  # its node was lost: another pilot is sent where one is needed
name={cluster}-"$SLURM_ARRAY_JOB_ID"-"$SLURM_ARRAY_TASK_ID"
log={directory}/pilots/"$name"
mkdir -p {directory}/pilots && exec >>"$log" 2>&1 </dev/null
umask 077
at=$(mktemp -d "${{SLURM_TMPDIR:-/tmp}}/federator-pilot.XXXXXXXX") && cd "$at" || exit 73
{files}python3 {program} {words} --spool "$at/spool" &
pilot=$!
trap 'told=1; kill -TERM "$pilot"' TERM
while wait "$pilot"; code=$?; [ -n "$told" ]; do told=; done
cd /
[ "$code" != 0 ] || rm -rf "$at" "$log"
exit "$code"
"""


def comment(federation: str, cluster: str) -> str:
    """What all jobs of a cluster's pilots carry."""
    return f"federator:{federation}:pilots:{cluster}"


def script(cluster: str, directory: str, jobs: PilotJobs, files: Mapping[str, bytes]) -> str:
    """What each task does. ``files``: by name, what goes with the pilot, itself among it."""
    unpack = (
        f"base64 -d >{shlex.quote(name)} <<'END'\n{base64.encodebytes(content).decode()}END\n"
        for name, content in files.items()
    )
    words = jobs.words(cluster, "$name")
    quoted = " ".join('"$name"' if word == "$name" else shlex.quote(word) for word in words)
    return _SCRIPT.format(
        cluster=shlex.quote(cluster), directory=directory, files="".join(unpack), program=PROGRAM, words=quoted
    )


def job(cluster: str, federation: str, settings: SlurmSettings, jobs: PilotJobs, text: str, count: int) -> Job:
    """So many pilots as one array. ``text``: the script."""
    size = jobs.limits.size
    return Job(
        base=0,
        name=f"pilots-{cluster}",
        comment=comment(federation, cluster),
        array=f"0-{count - 1}",
        directory=settings.directory,
        script=text,
        partitions=settings.partitions,
        constraint="",
        account=settings.account,
        qos=settings.qos,
        cpus=max(1, math.ceil(size[CPU] / 1000)),
        memory_mib=math.ceil(size[MEMORY] / MIB),
        gpus=size[settings.gpu_resource],
        minutes=math.ceil((jobs.lifetime_s + SPARE_S) / 60),
    )


def read(cluster: str, federation: str, tasks: Iterable[Task], now_s: float) -> Queued:
    """What Slurm tells of pilots. ``now_s``: by our clock; Slurm's is no earlier than the latest that it tells of."""
    mine = [task for task in tasks if task.comment == comment(federation, cluster)]
    # What it says of the end of a job that runs is a guess.
    now_s = max([now_s, *(task.ended_s if task.phase == ENDED else task.submitted_s for task in mine)])
    waiting: dict[str, float] = {}
    running: dict[str, tuple[str, float]] = {}
    going: set[str] = set()
    ended: dict[str, End] = {}
    latest = (0.0, "")
    for task in mine:
        for number in task.tasks:
            name = f"{task.job}_{number}"
            if task.state == "COMPLETING":
                going.add(name)
            elif task.phase == WAITING:
                waiting[name] = now_s - task.submitted_s
            elif task.phase == RUNNING:
                running[f"{cluster}-{task.job}-{number}"] = (name, max(0.0, now_s - task.started_s))
            elif task.state not in REMOVED:
                words = _why(name, task)
                ended[name] = End(task.ended_s, not words)
                latest = max(latest, (task.ended_s, words)) if words else latest
    return Queued(now_s, waiting, running, frozenset(going), ended, latest[1])


def _why(name: str, task: Task) -> str:
    """Why it ended badly; empty: it ended well."""
    if task.state == "COMPLETED":
        return ""
    if task.signal:
        return f"job {name} ended by signal {task.signal}"
    how = f"with exit status {task.exit_code}" if task.exit_code else f"as {task.state}"
    return f"job {name} ended {how}"
