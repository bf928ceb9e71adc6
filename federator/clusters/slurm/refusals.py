"""What Slurm's words for an error mean: both ways in give the same ones. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

from federator.ports import OrderRefused


class Unreachable(Exception):
    """Slurm did not answer, or did not let us in; the words say what happened."""


class NoNode(Exception):
    """No node of the cluster, as it is now, could ever hold the job."""


class Gone(Exception):
    """There is no such job (any more), or it has ended."""


_NO_NODE = (
    "Requested node configuration is not available",
    "Requested partition configuration not available",
    "Required node not available",
    "Node count specification invalid",
    "More processors requested than permitted",
)
_GONE = ("Invalid job id specified", "Job/step already completing or completed", "Job has already finished")
_BUSY = (
    "Job violates accounting/QOS policy",
    "job submit limit",
    "Job submit limit",
    "Reached max",
    "maximum number of jobs",
    "MaxJobCount",
    "Resource temporarily unavailable",
    "Slurm temporarily unable to accept job",
)
_INVALID = (
    "Invalid partition name",
    "Invalid account",
    "Invalid qos",
    "Invalid feature specification",
    "Invalid job array specification",
    "Invalid generic resource",
    "Invalid time",
    "Access/permission denied",
    "Requested time limit is invalid",
    "User's group not permitted",
    "Job script too large",
    "Pathname of a file, directory or other parameter too long",
    "Batch script",
)


def raise_for(words: str) -> NoReturn:
    """Raise what an error's words mean: NoNode, Gone, OrderRefused or, where they tell of none, Unreachable."""
    if any(known in words for known in _NO_NODE):
        raise NoNode(words)
    if any(known in words for known in _GONE):
        raise Gone(words)
    if any(known in words for known in _BUSY):
        raise OrderRefused("QuotaExceeded", words, permanent=False, retry_after_s=30.0)
    if any(known in words for known in _INVALID):
        raise OrderRefused("Invalid", words, permanent=True)
    raise Unreachable(words)


@contextlib.contextmanager
def no_refusals() -> Iterator[None]:
    """Around calls that are no orders: what Slurm refuses there, it does not answer."""
    try:
        yield
    except (NoNode, Gone, OrderRefused) as error:
        raise Unreachable(str(error)) from error
