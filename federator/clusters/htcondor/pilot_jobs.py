"""Pilots as jobs of a schedd: how one is described, and what a queue of them tells. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from federator.clusters.htcondor.jobs import requested
from federator.clusters.htcondor.seen import COMPLETED, HELD, IDLE, RUNNING, TRANSFERRING, WAITS
from federator.clusters.sent.queue import KEPT_S, Queued
from federator.clusters.sent.settings import PilotJobs
from federator.clusters.sizing import End

Json = Mapping[str, Any]
AGAIN = "JobStatus == 1 && NumJobStarts > 0"
"""A pilot whose slot was taken away is not started again: another one is sent where one is needed."""


def description(cluster: str, mark: str, settings: PilotJobs, program: Path, directory: Path) -> dict[str, str]:
    """The submit description of pilots of a cluster. ``program``: the pilot as one file."""
    files = [settings.token_file, *([settings.ca_file] if settings.ca_file else ())]
    words = settings.words(cluster, pilot_name(cluster, "$(ClusterId)", "$(ProcId)"))
    return {
        "universe": "vanilla",
        "executable": str(program),
        "transfer_executable": "true",
        "arguments": '"' + " ".join(words) + '"',
        "transfer_input_files": ", ".join(files),
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_output_files": '""',
        "initialdir": str(directory),
        "output": "pilot.out",
        "error": "pilot.out",
        "log": "",
        "notification": "never",
        "want_graceful_removal": "true",
        "job_max_vacate_time": "60",
        "periodic_remove": f"({AGAIN}) || (JobStatus == 5 && time() - EnteredCurrentStatus > {KEPT_S})",
        "leave_in_queue": f"JobStatus == 4 && time() - CompletionDate < {KEPT_S}",
        "My.FederatorName": json.dumps(mark),
        "My.FederatorPilots": json.dumps(cluster),
        **requested(settings.limits.size),
    }


def pilot_name(cluster: str, job_cluster: object, proc: object) -> str:
    """What a pilot is called: people find its job by it."""
    return f"{cluster}-{job_cluster}-{proc}"


def read(cluster: str, jobs: Iterable[Json], now_s: float) -> Queued:
    """What the queue tells."""
    waiting: dict[str, float] = {}
    running: dict[str, tuple[str, float]] = {}
    ended: dict[str, End] = {}
    latest = (0.0, "")
    for job in jobs:
        number = f"{job['ClusterId']}.{job['ProcId']}"
        status, since_s = job["JobStatus"], float(job["EnteredCurrentStatus"])
        age_s = max(0.0, float(job.get("ServerTime", since_s)) - since_s)
        if status == IDLE or (status == HELD and job.get("HoldReasonCode") in WAITS):
            waiting[number] = age_s
        elif status in (RUNNING, TRANSFERRING):
            running[pilot_name(cluster, job["ClusterId"], job["ProcId"])] = (number, age_s)
        elif status in (COMPLETED, HELD):
            words = _why(job)
            ended[number] = End(since_s, not words)
            latest = max(latest, (since_s, words)) if words else latest
    return Queued(now_s, waiting, running, ended=ended, words=latest[1])


def _why(job: Json) -> str:
    """Why it ended badly; empty: it ended well."""
    number = f"job {job['ClusterId']}.{job['ProcId']}"
    if job["JobStatus"] == HELD:
        return f"{number} was held: {job.get('HoldReason', '')}"
    if job.get("ExitBySignal") is True:
        return f"{number} ended by signal {job.get('ExitSignal')}"
    return f"{number} ended with exit status {job['ExitCode']}" if job.get("ExitCode") else ""
