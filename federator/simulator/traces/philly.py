"""Logs of GPU clusters as comma-separated values, as simulators of deep learning clusters use them.

There are two habits, and both are read: that of Tiresias, into which Microsoft's Philly log is commonly turned
(``job_id,num_gpu,submit_time,iterations,model_name,duration,interval``), and that of Helios (``job_id,user,vc,gpu_num,
cpu_num,node_num,state,submit_time,start_time,end_time,duration,queue``). Read are:

- ``job_id`` (or ``jobid``) and ``submit_time`` (or ``submitted_time``), which must be there;
- ``num_gpu``, ``gpu_num`` or ``num_gpus``, of which one must be there; ``cpu_num`` and ``node_num``;
- ``duration`` in seconds, or ``start_time`` and ``end_time``; ``state`` or ``status``; ``user`` and ``vc`` (the queue).

Times are seconds, or dates like ``2020-05-01 12:00:00``. Other columns are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from federator.documents.sources import TracePart
from federator.model.resources import CPU, GPU, Resources
from federator.model.workload import Role
from federator.simulator.traces.job import Job, alike
from federator.simulator.traces.rows import Row, columns_of, table

ID, SUBMIT, GPUS = ("job_id", "jobid"), ("submit_time", "submitted_time"), ("num_gpu", "gpu_num", "num_gpus")
CURE = "write job_id,num_gpu,submit_time,duration and what else is known"
ENDED = {
    "completed": 1, "pass": 1, "succeeded": 1, "failed": 0, "node_fail": 0, "timeout": 0, "cancelled": 5, "killed": 5,
}  # fmt: skip


def known(first: str) -> bool:
    """Whether a log that begins with this line is one of these."""
    columns = set(columns_of(first))
    return all(columns & set(one_of) for one_of in (ID, SUBMIT, GPUS))


def read(path: Path, part: TracePart) -> Iterator[Job]:
    """The jobs in the log's order. Raises TraceError."""
    for row in table(path, (ID, SUBMIT, GPUS), CURE):
        submit_s = next((at_s for name in SUBMIT if (at_s := row.moment_s(name)) is not None), None)
        if submit_s is None:
            raise row.wrong(SUBMIT[0], "every job needs a time of submission")
        start_s, end_s, run_s = row.moment_s("start_time"), row.moment_s("end_time"), row.number("duration")
        if run_s is None and start_s is not None and end_s is not None:
            run_s = max(0.0, end_s - start_s)
        roles = _roles(row, part)
        yield Job(
            row.name(*ID), submit_s, roles, run_s,
            wait_s=None if start_s is None else max(0.0, start_s - submit_s),
            together=sum(role.replicas for role in roles) > 1,
            status=ENDED.get(row.text("state", "status").lower(), -1),
            user=row.text("user"), queue=row.text("vc"), line=row.line,
        )  # fmt: skip


def _roles(row: Row, part: TracePart) -> tuple[Role, ...]:
    """A replica for each node where the log tells how many those were; else one for each GPU, or one with all."""
    gpus = next((int(count) for name in GPUS if (count := row.whole(name)) is not None), 0)
    cores_milli = 1000 * (row.whole("cpu_num") or 0)
    nodes = row.whole("node_num") or (1 if part.jobs_are == "cores" else max(1, gpus))
    requests = Resources.of({GPU: -(-gpus // nodes), CPU: -(-cores_milli // nodes)})
    return alike((Role("", nodes, requests),)) if requests else ()
