"""The part of a cluster's settings that says which pilots are sent there."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from federator.documents.fields import Duration, Flag, Part, Quantities, wrong
from federator.documents.quantities import amount_of

Most = Annotated[int, Field(strict=True, ge=1, le=100_000)]


class PilotJobsPart(Part):
    """Pilots that the federator sends to a batch system, as many as what waits for the cluster needs."""

    url: str = ""
    """Where pilots find the federator from the worker nodes: `https://HOST:PORT`."""
    token_file: str = ""
    """The file with the pilots' token (`federator token new NAME --role pilot --site CLUSTER --to-file FILE`); it goes
    with every pilot. A relative path starts at this document's folder."""
    ca_file: str = ""
    """Certificates that pilots trust instead of the system's; goes with every pilot."""
    requests: Quantities = Field(default_factory=lambda: {"cpu": Fraction(8), "memory": Fraction(16 << 30)})
    """What one pilot asks the batch system for, and offers to payloads. Left out: 8 cores and 16Gi."""
    runtimes: tuple[Literal["process", "apptainer", "podman"], ...] = ("process",)
    """In what pilots run payloads."""
    lifetime: Duration = 86_400.0
    """How long a pilot lives."""
    idle: Duration = 600.0
    """How long a pilot without work waits for some before it ends."""
    most: Most = 100
    """Pilots of this cluster in all, those that wait among them."""
    waiting: Most = 20
    """Pilots that wait in the batch system's queue."""
    first: Most = 5
    """Pilots that are tried before one has come; afterwards twice as many as live may be on their way."""
    backoff: Duration = 60.0
    """How long no pilot is sent after one that ended badly; doubled for each in a row, up to an hour."""
    keep_waiting: Duration = 60.0
    """How long a pilot that is not needed any more goes on waiting in the queue before it is taken back."""
    patience: Duration = 600.0
    """How long a pilot may wait in the queue before the site counts as full: then no more are sent, and what waits for
    pilots there is placed elsewhere, if it can be."""
    silent: Duration = 600.0
    """How long a pilot may run before it registers; then it is taken away, and has ended badly."""
    lease: Duration = 60.0
    """How long a lease is good for without a heartbeat."""
    margin: Duration = 60.0
    """A replica is given to a pilot only if at least so much of the pilot's lifetime is left."""
    images_as_processes: Flag = False
    """Run the command of a container as a plain process of the worker node, whatever its image."""

    @model_validator(mode="after")
    def _a_pilot_has_cores(self) -> PilotJobsPart:
        if not self.requests.get("cpu") or amount_of("cpu", self.requests["cpu"]) < 1000:
            raise wrong("a pilot has no core to offer", "write at least cpu: 1", ("requests",))
        if not self.runtimes:
            raise wrong("a pilot can run nothing", "write process, apptainer or podman", ("runtimes",))
        return self
