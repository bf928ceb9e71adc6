"""Which labelled things are meant: label selectors, taints and tolerations, with Kubernetes' meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector: ``key`` stands in relation ``operator`` to ``values``."""

    key: str
    operator: str  # In | NotIn | Exists | DoesNotExist
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy this term (NotIn holds where the label is absent, as in Kubernetes)."""
        present = self.key in labels
        if self.operator == "In":
            return present and labels[self.key] in self.values
        if self.operator == "NotIn":
            return not present or labels[self.key] not in self.values
        return present if self.operator == "Exists" else not present

    def __str__(self) -> str:
        if self.operator == "In" and len(self.values) == 1:
            return f"{self.key}={self.values[0]}"
        return f"{self.key} {self.operator} {', '.join(self.values)}".rstrip()


@dataclass(frozen=True, slots=True)
class Selector:
    """All of its requirements must hold; the empty selector matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether every requirement holds for these labels."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    def failing(self, labels: Mapping[str, str]) -> Requirement | None:
        """The first requirement that does not hold; None if all do."""
        return next((r for r in self.requirements if not r.matches(labels)), None)


@dataclass(frozen=True, slots=True)
class Taint:
    """Keeps replicas off a node unless they tolerate it. PreferNoSchedule does not refuse anybody."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"  # NoSchedule | PreferNoSchedule | NoExecute

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """Lets a replica onto nodes with a matching taint; an empty key with Exists tolerates all."""

    key: str = ""
    operator: str = "Equal"  # Equal | Exists
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether this toleration covers the taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if not self.key:
            return self.operator == "Exists"
        return self.key == taint.key and (self.operator == "Exists" or self.value == taint.value)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A hard limit: a selector on labels and a CEL expression (empty: always true), both of which must hold."""

    selector: Selector = Selector()
    where: str = ""


ANYWHERE = Constraint()
"""No limit."""
