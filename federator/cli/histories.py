"""What a daemon remembers of workloads that are over, as jobs of a log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from federator.cli.client import Client
from federator.cli.running import at
from federator.documents.stored import workload_spec
from federator.simulator.traces.job import Job

STATUS = {"finished": 1, "failed": 0, "cancelled": 5}
"""What has ended is in one of these states; and the numbers of the Standard Workload Format."""
PAGE = 1000
Json = Mapping[str, Any]


async def remembered(client: Client, since_s: float | None) -> list[Json]:
    """The workloads that have ended and were handed in since then (None: ever), as the API shows them."""
    found = [one for state in STATUS for one in await client.all("workloads", state=state)]
    found = [one for one in found if since_s is None or one["submittedAt"] >= since_s]
    # what has only just ended is listed without its document
    return [one if "document" in one else await client.get(at("workloads", one["name"])) for one in found]


async def first_ends(client: Client) -> dict[str, float]:
    """By workload: when the first of its replicas was seen to have completed, as far as events are kept."""
    found: dict[str, float] = {}
    after = "0"
    while True:
        page = await client.get("/events", after=after, limit=PAGE)
        for event in page["items"]:
            if event["kind"] == "submitted":
                found.pop(event["workload"], None)  # the name was used before, by another
            elif event["kind"] == "completed":
                found.setdefault(event["workload"], event["at"])
        if len(page["items"]) < PAGE:
            return found
        after = page["next"]


def jobs_of(workloads: Iterable[Json], ends: Mapping[str, float]) -> Iterator[Job]:
    """The jobs in the order of submission, times from the first on. Fillers are none: a scenario has its own.

    Replicas are alike, so each is taken to have run as long as the one that completed first; where no event tells of
    that, from the workload's first start to its end. What never started says nothing of it.
    """
    first_s: float | None = None
    for one in sorted(workloads, key=lambda one: (one["submittedAt"], one["name"])):
        made = workload_spec(one["document"]).workload
        if made.backfill:
            continue
        submit_s, started_s = one["submittedAt"], one["startedAt"]
        first_s = submit_s if first_s is None else first_s
        ended_s = ends.get(one["name"], one["endedAt"])
        yield Job(
            one["name"], round(submit_s - first_s, 3), made.roles,
            run_s=None if started_s is None or ended_s is None else round(max(0.0, ended_s - started_s), 3),
            expected_s=made.duration_s,
            wait_s=None if started_s is None else round(max(0.0, started_s - submit_s), 3),
            together=made.gang is not None, status=STATUS.get(one["state"], -1), priority=made.priority,
            user=one["owner"], queue=one["queue"],
        )  # fmt: skip
