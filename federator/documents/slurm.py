"""The block of a Cluster document that says how a Slurm cluster is reached."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from federator.documents.fields import Duration, Flag, Part, ResourceName, wrong
from federator.documents.pilot_jobs import PilotJobsPart


def _url_of_slurmrestd(value: str) -> str:
    if value and not re.fullmatch(r"unix:/.+|https?://[^/@]+", value.rstrip("/")):
        raise wrong(f"'{value}' is no address of slurmrestd", "write unix:/PATH, http://HOST:PORT or https://HOST:PORT")
    return value


def _plain_folder(value: str) -> str:
    if value and not re.fullmatch(r"(/[A-Za-z0-9_.+-]+)+", value):
        cure = "write an absolute path of letters, digits and . _ + -"
        raise wrong(f"'{value}' is no folder that job scripts and commands can name without quotes", cure)
    return value


PlainName = Annotated[str, Field(strict=True, max_length=128, pattern=r"^[A-Za-z0-9_.+-]*$")]


class SlurmSettings(Part):
    """A Slurm cluster: behind slurmrestd (`url`), or by Slurm's commands on a login node (`command`)."""

    url: Annotated[str, Field(strict=True, max_length=1024), AfterValidator(_url_of_slurmrestd)] = ""
    """Of slurmrestd: `http://HOST:PORT`, `https://HOST:PORT` or `unix:/PATH`."""
    command: tuple[Annotated[str, Field(strict=True, min_length=1)], ...] | None = None
    """Instead of `url`: what comes before Slurm's commands, as `[ssh, login.site]`; `[]`: they are on this machine."""
    user: PlainName = ""
    """Who submits, where slurmrestd wants a token."""
    token_file: str = ""
    """The file with the token (JWT), where the site has them. It is read for every call, so it can be exchanged."""
    api: Annotated[str, Field(strict=True, pattern=r"^v\d+\.\d+\.\d+$")] = "v0.0.38"
    """The version of slurmrestd's interface."""
    directory: Annotated[str, Field(strict=True, max_length=1024), AfterValidator(_plain_folder)] = ""
    """Of the cluster, shared by its nodes, writable for who submits: replicas work and leave their output below it."""
    mounted_at: str = ""
    """Where the daemon's machine sees `directory`. Left out with `url`: there are no logs, and ends that come while the
    daemon is away for longer than Slurm remembers them are lost. Left out with `command`: it is read by commands."""
    partitions: tuple[Annotated[PlainName, Field(min_length=1)], ...] = ()
    """The partitions that jobs go to; empty: the default one."""
    account: PlainName = ""
    """The account that jobs are charged to; empty: the user's default."""
    qos: PlainName = ""
    """The quality of service of jobs; empty: the user's default."""
    backfill_partition: PlainName = ""
    """The preemptable partition that backfill goes to, of the same nodes; empty: the `partitions`. The cluster is
    filled if this or `backfillQos` is given."""
    backfill_qos: PlainName = ""
    """The preemptable quality of service of backfill; empty: `qos`."""
    gpu_resource: ResourceName = "nvidia.com/gpu"
    """What a `gpu` of Slurm is called in requests."""
    images_as_processes: Flag = False
    """Run the command of a container as a plain process of the node, whatever its image; else in Apptainer."""
    array_size: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1000
    """The most replicas of one job array; less than the site's `MaxArraySize`."""
    submit: Literal["jobs", "pilots"] = "jobs"
    """Send each replica as a job, or pilots that pull work."""
    pilots: PilotJobsPart = PilotJobsPart()
    """The pilots that are sent."""
    poll: Annotated[Duration, Field(gt=0)] = 2.0
    """How often Slurm is asked for news."""
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 30.0
    """How long one call may take."""

    @model_validator(mode="after")
    def _one_way_in(self) -> SlurmSettings:
        if self.url and self.command is not None:
            raise wrong("both 'url' and 'command' are given", "keep one of the two", ("command",))
        reached = bool(self.url) or self.command is not None
        if reached and not self.directory:
            raise wrong("'directory' is missing", "name a folder that all nodes of the cluster share", ("directory",))
        if self.backfill_partition and self.backfill_partition in self.partitions:
            cure = "name a partition of a lower PriorityTier that nothing but backfill is sent to"
            raise wrong("backfill would not give way to what is in its own partition", cure, ("backfillPartition",))
        if self.backfill_qos and self.backfill_qos == self.qos:
            cure = "name a quality of service that those of all other work preempt"
            raise wrong("backfill would not give way to what has its own quality of service", cure, ("backfillQos",))
        if self.token_file and not self.user:
            raise wrong("there is a tokenFile, but no user", "name the user that the token is for", ("user",))
        return self
