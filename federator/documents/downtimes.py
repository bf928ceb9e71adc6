"""Announced downtimes of clusters, as a part of their documents; their way into the model and back."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from federator.documents.fields import Duration, Part, Time, wrong
from federator.documents.quantities import format_duration, format_time
from federator.documents.written import Raw, said
from federator.model.cluster import Downtime

MOST_DOWNTIMES = 50


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise wrong("is not one line of text", "write one line, without tabs")
    return value


class DowntimePart(Part):
    """A time in which a cluster gives nothing, announced before."""

    from_: Annotated[Time, Field(alias="from")]
    """When it begins, with its zone. What runs there then, and has found no other place, stops and waits."""
    to: Time
    """When it is over: the cluster takes work again."""
    drain: Duration = 0.0
    """How long before `from` nothing new starts there any more, and what runs moves where its policies allow."""
    reason: Annotated[str, Field(strict=True, max_length=200), AfterValidator(_one_line)] = ""
    """What it is for, in a line, for those whose work waits."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> DowntimePart:
        if self.to <= self.from_:
            begin, end = format_time(self.from_), format_time(self.to)
            raise wrong(f"{end} is not after 'from', {begin}", "write when it ends", ("to",))
        return self


def to_downtime(part: DowntimePart) -> Downtime:
    """The downtime."""
    return Downtime(part.from_, part.to, part.drain, part.reason)


def written_downtime(downtime: Downtime) -> Raw:
    """A downtime as documents have it."""
    return said(
        {
            "from": format_time(downtime.from_s),
            "to": format_time(downtime.to_s),
            "drain": format_duration(downtime.drain_s) if downtime.drain_s else None,
            "reason": downtime.reason,
        }
    )
