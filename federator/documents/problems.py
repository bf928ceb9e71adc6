"""What is wrong with a document, where, and the cure: the one form in which every reader here complains."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. ``line`` and ``column`` count from 1; 0 means that they are not known.

    ``field`` is written as the user writes it (``spec.tiers[0].fillTo``); ``cure`` says what to write instead.
    """

    file: str
    line: int = 0
    column: int = 0
    field: str = ""
    message: str = ""
    cure: str = ""

    def __str__(self) -> str:
        place = self.file + (f":{self.line}:{self.column}" if self.line else "")
        words = f"{self.field}: {self.message}" if self.field else self.message
        return f"{place}: {words}; {self.cure}" if self.cure else f"{place}: {words}"


class DocumentErrors(Exception):
    """Everything that is wrong with the documents that were read, sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[type[DocumentErrors], tuple[tuple[Problem, ...]]]:
        return DocumentErrors, (self.problems,)


def did_you_mean(name: str, known: Iterable[str], *, what: str = "known") -> str:
    """The cure for a name that is not known: the nearest that is, else what there is (the first 12)."""
    names = sorted(set(known))
    folded = {candidate.lower(): candidate for candidate in reversed(names)}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{folded[near[0]]}'?"
    if not names:
        return f"{what}: none"
    return f"{what}: {', '.join(names[:12])}" + (", ..." if len(names) > 12 else "")


def field_path(path: Iterable[str | int]) -> str:
    """A path as a user writes it: ``spec.tiers[0].fillTo``; keys that are not plain words stand in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum() or step == "*":
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text
