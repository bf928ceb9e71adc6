"""Parts that several kinds of documents share: metadata, selectors, constraints, taints and tolerations."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from federator.documents.fields import (
    ClusterExpression,
    FlavorExpression,
    LabelKey,
    Labels,
    LabelValue,
    Name,
    Part,
    Text,
    Whole,
    wrong,
)

API_VERSION: Final = "federator.dev/v1alpha1"


class Metadata(Part):
    """Who a document is."""

    name: Name
    """Unique among the documents of one kind: small letters, digits, `-` and `.`."""
    labels: Labels = Field(default_factory=dict)
    """For selectors and expressions."""
    annotations: dict[LabelKey, Text] = Field(default_factory=dict)
    """For people and tools; the federator reads those in [native manifests](native-manifests.md)."""
    namespace: str | None = None
    """Taken and ignored, so that documents from Kubernetes tools can be read."""
    uid: str | None = None
    """Written by the server; ignored when read."""
    generation: int | None = None
    """Written by the server; ignored when read."""
    creation_timestamp: str | None = None
    """Written by the server; ignored when read."""


class ShortMetadata(Metadata):
    """As Metadata, with a name that is also used as a label's value."""

    name: Annotated[Name, Field(max_length=63)]
    """Unique among the documents of one kind: small letters, digits, `-` and `.`; at most 63 characters."""


class Envelope(Part):
    """What every document has around its spec."""

    status: Any = None
    """Written by the server; ignored when read."""


class SelectorTerm(Part):
    """One term of a selector."""

    key: LabelKey
    """The label it is about."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label stands to the values. NotIn holds where the label is absent, as in Kubernetes."""
    values: tuple[LabelValue, ...] = ()
    """For In and NotIn."""

    @model_validator(mode="after")
    def _values_fit_the_operator(self) -> SelectorTerm:
        if self.operator in ("In", "NotIn") and not self.values:
            raise wrong(f"{self.operator} needs values", "name at least one", ("values",))
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            raise wrong(f"{self.operator} takes no values", "remove them, or use In or NotIn", ("values",))
        return self


class LabelSelector(Part):
    """Which labelled things are meant, as in Kubernetes; all of it must hold, and an empty one takes everything."""

    match_labels: Labels = Field(default_factory=dict)
    """Labels and the values that they must have."""
    match_expressions: tuple[SelectorTerm, ...] = ()
    """Further terms."""


class ClusterConstraint(Part):
    """A hard limit on clusters; both parts must hold."""

    selector: LabelSelector = LabelSelector()
    """On the labels of the cluster."""
    where: ClusterExpression = ""
    """An [expression](expressions.md) over `cluster` and `workload`."""


class FlavorConstraint(Part):
    """A hard limit on flavors; both parts must hold."""

    selector: LabelSelector = LabelSelector()
    """On the labels of the flavor's nodes."""
    where: FlavorExpression = ""
    """An [expression](expressions.md) over `flavor`, `cluster` and `workload`."""


class TaintPart(Part):
    """Keeps replicas off the nodes, unless they tolerate it."""

    key: LabelKey
    """What the taint is about."""
    value: LabelValue = ""
    """Its value, if any."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"
    """What it does; PreferNoSchedule refuses nobody."""


class TolerationPart(Part):
    """Lets replicas onto nodes with a matching taint."""

    key: str = ""
    """The taint's key; empty with Exists tolerates every taint."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the value counts."""
    value: str = ""
    """The taint's value, for Equal."""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """The taint's effect; empty means any."""
    toleration_seconds: Whole | None = None
    """Taken for Kubernetes; planning does not read it."""
