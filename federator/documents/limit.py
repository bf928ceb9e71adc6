"""The kind Limit: what there is so many of and no more, by name; its way into the model and back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from federator.documents.common import API_VERSION, Envelope, ShortMetadata
from federator.documents.documents import Document
from federator.documents.fields import NameOrAll, Part, wrong
from federator.documents.written import Raw, document_of
from federator.model.limits import Limit

Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class LimitSpec(Part):
    """How many there are of it."""

    count: Count | None = None
    """How many in the federation; left out: as many as its clusters allow."""
    clusters: dict[NameOrAll, Count] = Field(default_factory=dict)
    """How many of them on a cluster, by its name; `"*"` speaks for each cluster that is not named."""

    @model_validator(mode="after")
    def _it_limits_something(self) -> LimitSpec:
        if self.count is None and not self.clusters:
            raise wrong("limits nothing", "give 'count', or 'clusters'", ("count",))
        for name, count in self.clusters.items():
            if self.count is not None and count > self.count:
                message = f"{count} on {name} is above count {self.count}"
                raise wrong(message, f"write at most {self.count}, or leave it out", ("clusters", name))
        return self


class LimitDocument(Envelope):
    """What there is so many of and no more, whatever room clusters have: licences, database connections. Workloads say
    in `limits` what each of their replicas takes of it while it runs."""

    api_version: Literal["federator.dev/v1alpha1"] = API_VERSION
    """The version of this kind."""
    kind: Literal["Limit"] = "Limit"
    """The kind."""
    metadata: ShortMetadata
    """Its name, which workloads give in `limits`."""
    spec: LimitSpec
    """How many there are of it."""


def to_limit(document: Document) -> Limit:
    """The limit."""
    spec: LimitSpec = document.spec
    return Limit(document.name, spec.count, dict(sorted(spec.clusters.items())))


def limit_document(limit: Limit) -> Raw:
    """A Limit document."""
    document = document_of("Limit", limit.name, {"clusters": dict(limit.clusters)})
    if limit.count is not None:
        document["spec"]["count"] = limit.count
    return document
