"""The calls themselves: the only module that touches HTCondor's bindings. Run by ``helper`` as a process of its own.

A line of JSON in, ``{"call", "arguments"}``; a line out, ``{"value"}`` or ``{"error"}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import htcondor2

from federator.telling import ATTRIBUTE

Json = dict[str, Any]
SPOOLING = 16
"""HoldReasonCode of a job whose input files have not come, or have just come."""
SETTLES_S = 5
"""How long somebody who submitted jobs, and was killed, may still have had them taken."""
REMOVED, HELD = 3, 5
JOB = (
    "ClusterId", "ProcId", "JobStatus", "FederatorIntent", "FederatorIndex", "FederatorSpec", "FederatorService",
    "EnteredCurrentStatus", "JobStartDate", "ExitBySignal", "ExitCode", "ExitSignal", "HoldReason", "HoldReasonCode",
    "LastRemoteHost", "RemoteHost", "QDate", "LastRejMatchTime", "LastRejMatchReason", "LastMatchTime", "JobRunCount",
    "RequestCpus", "RequestMemory", "RequestGPUs", "StageInFinish", "ServerTime", "FederatorBackfill", "FederatorKeeps",
    "NumVacates", "VacateReason", "VacateReasonCode", "JobMaxVacateTime", ATTRIBUTE,
)  # fmt: skip
PILOT = (*JOB, "CompletionDate")
SLOT = (
    "Name", "SlotType", "State", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotDisk", "TotalSlotGPUs", "Cpus", "Memory",
    "Disk", "GPUs", "Arch", "OpSysAndVer", "GPUs_DeviceName", "HasContainer", "Offline", "Draining",
    "BackfillSlot", "EnteredCurrentState",
)  # fmt: skip


class Queue:
    """One schedd. It is looked up again whenever a call failed: it may have come back elsewhere."""

    def __init__(self, collector: str, schedd: str) -> None:
        self._collector = collector
        self._name = schedd
        self._ad: Any = None
        self._sent: set[int] = set()
        """Clusters of jobs that this process has sent their files."""

    @property
    def schedd(self) -> htcondor2.Schedd:
        """The schedd, looked up at the collector."""
        if self._ad is None:
            ads = htcondor2.Collector(self._collector).query(htcondor2.AdType.Schedd)
            names = sorted(str(ad["Name"]) for ad in ads)
            mine = [ad for ad in ads if not self._name or self._name in (ad["Name"], str(ad["Name"]).split("@")[0])]
            if len(mine) != 1:
                wanted = f"no schedd {self._name!r}" if self._name else f"{len(mine)} schedds, so one must be named"
                raise RuntimeError(f"the collector {self._collector} knows {wanted}; it has: {', '.join(names)}")
            self._ad = mine[0]
        return htcondor2.Schedd(self._ad)

    @property
    def version(self) -> str:
        """``25.14.1``."""
        words = str(self._ad.get("CondorVersion", "") if self._ad else "").split()
        return words[1] if len(words) > 1 else ""

    def forget(self) -> None:
        """Look it up again next time."""
        self._ad = None

    def look(self, federation: str) -> Json:
        """All slots of the pool, and all our jobs: later, so that no job is shown to run that has left its slot."""
        slots = htcondor2.Collector(self._collector).query(htcondor2.AdType.Startd, projection=list(SLOT))
        jobs = self._ours(federation)
        return {"jobs": jobs, "slots": [_plain(ad) for ad in slots], "version": self.version}

    def news(self, federation: str, since_s: int) -> Json:
        """How many jobs of ours there are, and which changed their state from then on. Cheap, however many."""
        ours = f"FederatorName == {json.dumps(federation)}"
        changed = self.schedd.query(
            f"{ours} && EnteredCurrentStatus >= {since_s}", ["ClusterId", "ProcId", "JobStatus", "EnteredCurrentStatus"]
        )
        count = self.schedd.query(ours, ["ClusterId"], opts=htcondor2.QueryOpts.SummaryOnly)
        total = sum(int(ad.get("Jobs", 0)) for ad in count)
        return {"count": total, "changed": sorted(sorted(_plain(ad).items()) for ad in changed)}

    def submit(self, federation: str, intent: str, description: Mapping[str, str], indices: list[int]) -> Json:
        """Submit those of the indices of which nothing is in the queue; and again those that were sent no files.

        ``unsettled``: of so many somebody else may be sending the files just now. Nothing was done; ask again.
        """
        there = self._ours(federation, intent)
        cut_off = [job for job in there if self._cut_off(job)]
        if unsettled := [job for job in cut_off if not _settled(job)]:
            return {"unsettled": len(unsettled)}
        orphans = self._remove_orphans(cut_off)
        known = {job["FederatorIndex"] for job in there if job not in orphans and _stands(job, description)}
        missing = [index for index in indices if index not in known]
        if missing:
            items: Iterator[dict[str, str]] = iter([{"index": str(index)} for index in missing])
            self._spooled(htcondor2.Submit(dict(description)), itemdata=items)
        return {"unsettled": 0}

    def remove(self, federation: str, intent: str, indices: list[int] | None, keep: list[int], spec: str) -> Json:
        """Remove jobs of an intent: all, those of the indices, or all but those to ``keep`` that have this ``spec``."""
        jobs = self._ours(federation, intent)
        if indices is not None:
            jobs = [job for job in jobs if job["FederatorIndex"] in indices]
        jobs = [job for job in jobs if job["FederatorIndex"] not in keep or job.get("FederatorSpec") != spec]
        if jobs:
            self.schedd.act(htcondor2.JobAction.Remove, _ids(jobs), reason=("not wanted any more", 1))
        return {"removed": len(jobs)}

    def jobs(self, federation: str, intent: str) -> list[Json]:
        """The jobs of one intent."""
        return self._ours(federation, intent)

    def pilots(self, federation: str) -> Json:
        """Our pilots, those that ended lately too, and the schedd's time. Those to which nobody sends files go."""
        ours = f"FederatorName == {json.dumps(federation)} && FederatorPilots =!= undefined"
        jobs = [_plain(ad) for ad in self.schedd.query(ours, list(PILOT))]
        orphans = self._remove_orphans([job for job in jobs if self._cut_off(job) and _settled(job)])
        now_s = max((int(job.get("ServerTime", 0)) for job in jobs), default=0) or int(time.time())
        return {"jobs": [job for job in jobs if job not in orphans], "now_s": now_s}

    def start(self, description: Mapping[str, str], count: int) -> Json:
        """Submit so many pilots; their job ids."""
        cluster = self._spooled(htcondor2.Submit(dict(description)), count=count)
        return {"jobs": [f"{cluster}.{proc}" for proc in range(count)]}

    def withdraw(self, jobs: list[str]) -> Json:
        """Remove pilots."""
        self.schedd.act(htcondor2.JobAction.Remove, jobs, reason=("not needed any more", 1))
        return {}

    def wanted(self, where: str, manager: str, attributes: list[str], most: int) -> Json:
        """For an intake: the jobs that this manager has taken, and at most so many idle ones that it may take."""
        ours = f'ManagedManager == {json.dumps(manager)} && Managed == "External"'
        free = f"JobStatus == 1 && Managed =?= undefined && FederatorReason =?= undefined && ({where})"
        taken = self.schedd.query(ours, attributes)
        idle = self.schedd.query(free, attributes, limit=most)
        return {"taken": [_valued(ad) for ad in taken], "idle": [_valued(ad) for ad in idle]}

    def edit(self, jobs: list[str], attributes: list[tuple[str, str]]) -> Json:
        """Set attributes, one after the other, of jobs that are still there."""
        for name, value in attributes:
            self.schedd.edit(jobs, name, value)
        return {}

    def act(self, verb: str, jobs: list[str], reason: str) -> Json:
        """``Hold`` or ``Remove`` jobs."""
        self.schedd.act(htcondor2.JobAction[verb], jobs, reason=(reason, 1))
        return {}

    def fetch(self, job: str, directory: str) -> Json:
        """Fetch the output of a job that has ended into the directory."""
        self.schedd.edit([job], "SUBMIT_Iwd", json.dumps(directory))
        self.schedd.retrieve([job])
        return {}

    def _spooled(self, submit: htcondor2.Submit, **how: Any) -> int:
        """Submit jobs and send their files; the cluster's number. The schedd takes a second to let them go."""
        result = self.schedd.submit(submit, spool=True, **how)
        self._sent.add(result.cluster())
        try:
            self.schedd.spool(result)
        except Exception:
            self._sent.discard(result.cluster())
            raise
        return int(result.cluster())

    def _cut_off(self, job: Json) -> bool:
        """Whether it waits for files that this process does not send. It has never run."""
        waits = job["JobStatus"] == HELD and job.get("HoldReasonCode") == SPOOLING and "StageInFinish" not in job
        return waits and job["ClusterId"] not in self._sent

    def _remove_orphans(self, orphans: list[Json]) -> list[Json]:
        if orphans:
            self.schedd.act(htcondor2.JobAction.Remove, _ids(orphans), reason=("its submission was cut off", 1))
        return orphans

    def _ours(self, federation: str, intent: str | None = None) -> list[Json]:
        wanted = f"FederatorName == {json.dumps(federation)} && FederatorIntent =!= undefined"
        if intent is not None:
            wanted += f" && FederatorIntent == {json.dumps(intent)}"
        return [_plain(ad) for ad in self.schedd.query(wanted, list(JOB))]


def _settled(job: Json) -> bool:
    """Whether nobody can be sending its files any more."""
    return bool(job.get("ServerTime", 0) - job["EnteredCurrentStatus"] >= SETTLES_S)


def _stands(job: Json, description: Mapping[str, str]) -> bool:
    """Whether the job is the one that is wanted: one index of a batch is never sent twice; a service is kept up."""
    if description["My.FederatorService"] == "false":
        return True
    return bool(job.get("FederatorSpec") == json.loads(description["My.FederatorSpec"])) and job["JobStatus"] != REMOVED


def _ids(jobs: list[Json]) -> list[str]:
    return [f"{job['ClusterId']}.{job['ProcId']}" for job in jobs]


def _plain(ad: Mapping[str, Any]) -> Json:
    """What JSON can say of an ad; undefined and erroneous values are left out."""
    return {str(name): value for name, value in ad.items() if type(value) in (str, int, float, bool)}


def _valued(ad: Any) -> Json:
    """As ``_plain``, and expressions with the value that they have; of the disk only what somebody has written."""
    return _plain({name: ad[name] if name == "RequestDisk" else ad.eval(name) for name in ad})


def _words(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return f"{words} (no connection, or it does not accept our token)" if "ailed communication" in words else words


CALLS: Mapping[str, Callable[..., Any]] = {
    "look": Queue.look,
    "news": Queue.news,
    "submit": Queue.submit,
    "remove": Queue.remove,
    "jobs": Queue.jobs,
    "fetch": Queue.fetch,
    "pilots": Queue.pilots,
    "start": Queue.start,
    "withdraw": Queue.withdraw,
    "wanted": Queue.wanted,
    "edit": Queue.edit,
    "act": Queue.act,
}


def main() -> None:
    """Answer until nobody asks any more."""
    queue = Queue(os.environ["FEDERATOR_COLLECTOR"], os.environ["FEDERATOR_SCHEDD"])
    # The bindings may write to standard output, which is for answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            name = question["call"]
            value = {} if name == "ready" else CALLS[name](queue, **question["arguments"])
            answer = {"value": value}
        except Exception as error:
            queue.forget()
            answer = {"error": _words(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
