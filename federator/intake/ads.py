"""A job of HTCondor as a Workload document. Pure.

Sources: HTCondor manual, "Job ClassAd Attributes"; condor_submit(1), "arguments" and "environment" (new syntax).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VANILLA = 5
NOWHERE = "/dev/null"
INTAKE, OWNER = "federator.dev/intake", "federator.dev/owner"
"""Labels of what an intake handed in: its name, and whose job it is."""
ATTRIBUTES = (
    "ClusterId", "ProcId", "QDate", "Owner", "JobStatus", "JobUniverse", "Cmd", "Arguments", "Args",
    "Environment", "Env", "In", "TransferInput", "TransferExecutable", "ContainerImage", "DockerImage",
    "RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs", "JobPrio", "JobMaxRetries", "AllowedExecuteDuration",
    "FederatorQueue", "FederatorLabels", "FederatorReason", "RemoteHost", "OsUser", "Iwd", "Out", "Err",
    "TransferOutput",
)  # fmt: skip
"""All that is read of a job."""
_TOKEN = re.compile(r"(?:[^\s']|'(?:[^']|'')*')+")
_PIECE = re.compile(r"'((?:[^']|'')*)'|([^']+)")
_STRANGE = re.compile(r"[^a-z0-9-]+")


class Unfit(Exception):
    """The job cannot run elsewhere; the words say why."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job in the schedd's queue, and the name of the workload that it is or would be."""

    ad: Mapping[str, Any] = field(repr=False)
    workload: str

    @property
    def id(self) -> str:
        """As HTCondor writes it: ``12.0``."""
        return f"{self.ad['ClusterId']}.{self.ad['ProcId']}"

    @property
    def status(self) -> int:
        """``JobStatus``."""
        return int(self.ad["JobStatus"])

    @property
    def owner(self) -> str:
        """The account on the schedd's machine whose files its output is."""
        return str(self.ad.get("OsUser") or self.ad["Owner"])

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Where what it writes belongs: first the file for all of it, then perhaps one that stays empty.

        A federator keeps both streams as one, in the order in which they were written.
        """
        named = [str(self.ad.get(key) or NOWHERE) for key in ("Out", "Err")]
        wanted = dict.fromkeys(Path(str(self.ad.get("Iwd", "/")), name) for name in named if name != NOWHERE)
        return tuple(wanted)


def plain(name: str) -> str:
    """A name as documents want it: ``CE01@head.example.org`` is ``ce01``."""
    return _STRANGE.sub("-", name.partition("@")[0].lower()).strip("-")


def job_of(ad: Mapping[str, Any], intake: str) -> Job:
    """``intake``: a plain name. A queue that begins anew at 1 is told from the one before by the time of submission."""
    return Job(ad, f"{intake}-{ad['ClusterId']}-{ad['ProcId']}-{ad['QDate']}")


def workload(job: Job, intake: str, queue: str) -> dict[str, Any]:
    """The document; the same for the same job. Raises Unfit for what only the schedd could run."""
    ad = job.ad
    _fits(ad)
    spec: dict[str, Any] = {
        "queue": str(ad.get("FederatorQueue", queue)),
        "requests": _requests(ad),
        "priority": int(ad.get("JobPrio", 0)),
        "retries": int(ad.get("JobMaxRetries", 0)),
        "container": _container(ad),
    }
    if limit_s := int(ad.get("AllowedExecuteDuration", 0)):
        spec |= {"duration": f"{limit_s}s", "enforceDuration": True}
    labels = {**_labels(str(ad.get("FederatorLabels", ""))), INTAKE: intake, OWNER: plain(str(ad["Owner"]))}
    return {
        "apiVersion": "federator.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": job.workload, "labels": labels},
        "spec": spec,
    }


def words(text: str) -> list[str]:
    """Arguments in the new syntax: parted by blanks; single quotes hold together, two of them within are one."""
    return ["".join(_unquoted(token)) for token in _TOKEN.findall(text)]


def _unquoted(token: str) -> list[str]:
    return [quoted.replace("''", "'") or bare for quoted, bare in _PIECE.findall(token)]


def _fits(ad: Mapping[str, Any]) -> None:
    faults = (
        (ad.get("JobUniverse", VANILLA) != VANILLA, "only the universes vanilla, container and docker are taken"),
        (bool(ad.get("TransferInput")), "it has input files, which nobody carries to where it would run"),
        (ad.get("In", NOWHERE) not in ("", NOWHERE), "it reads its standard input from a file"),
        (bool(ad.get("TransferOutput")), "it names output files, and only what it writes to its standard streams comes "
         "back; let it write files to storage"),
        (bool(ad.get("Cmd")) and ad.get("TransferExecutable", True), "its executable would have to be carried to where "
         "it runs; say transfer_executable = false where it is in the image, or on every node"),
    )  # fmt: skip
    for wrong, why in faults:
        if wrong:
            raise Unfit(why)


def _container(ad: Mapping[str, Any]) -> dict[str, Any]:
    arguments = words(ad["Arguments"]) if "Arguments" in ad else str(ad.get("Args", "")).split()
    told: dict[str, Any] = {"command": [ad["Cmd"], *arguments]} if ad.get("Cmd") else {"args": arguments}
    settings = words(ad["Environment"]) if "Environment" in ad else filter(None, str(ad.get("Env", "")).split(";"))
    pairs = [setting.partition("=") for setting in settings]
    if env := {name: value for name, _, value in pairs}:
        told["env"] = env
    if image := ad.get("ContainerImage") or ad.get("DockerImage"):
        on_disk = str(image).startswith("/") or "://" in str(image)
        told["image"] = image if on_disk else f"docker://{image}"
    return told


def _requests(ad: Mapping[str, Any]) -> dict[str, str]:
    told = {"cpu": str(ad.get("RequestCpus", 1)), "memory": f"{ad.get('RequestMemory', 128)}Mi"}
    if isinstance(ad.get("RequestDisk"), int):
        told["ephemeral-storage"] = f"{ad['RequestDisk']}Ki"
    if ad.get("RequestGPUs"):
        told["nvidia.com/gpu"] = str(ad["RequestGPUs"])
    return told


def _labels(text: str) -> dict[str, str]:
    pairs = [pair.strip().partition("=") for pair in text.split(",") if pair.strip()]
    if any(not key or not equals for key, equals, _ in pairs):
        raise Unfit(f"FederatorLabels is {text!r}; write it as key=value,key=value")
    return {key: value for key, _, value in pairs}
