"""A document before it is typed, with the way back to its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from federator.documents.complaints import Path
from federator.documents.marks import Marks, Place, place_in
from federator.documents.problems import Problem, field_path
from federator.documents.yaml_reader import MAX_DEPTH, MAX_NODES


@dataclass(frozen=True, slots=True)
class Entry:
    """One document of a file (``marks`` known) or of a request."""

    file: str
    raw: Any
    marks: Marks | Place | None = None

    @property
    def line(self) -> int:
        """The line it begins in; 0 where it is not known."""
        return self.place(())[0]

    @property
    def kind(self) -> str:
        """Its kind, as far as it says one."""
        return self._text(self.raw.get("kind")) if isinstance(self.raw, Mapping) else ""

    @property
    def name(self) -> str:
        """Its name, as far as it says one."""
        return self._text(self.at("metadata", "name"))

    @property
    def called(self) -> str:
        """What errors call it where it is in no file: ``Workload/w``."""
        return "/".join(part for part in (self.kind, self.name) if part) or "<request>"

    @staticmethod
    def _text(value: Any) -> str:
        return value if isinstance(value, str) else ""

    def at(self, *path: str | int) -> Any:
        """What stands at a path; None where nothing does."""
        here = self.raw
        for step in path:
            try:
                here = here[step]
            except (KeyError, IndexError, TypeError):
                return None
        return here

    def problem(self, path: Path, message: str, cure: str = "", *, at_key: bool = False) -> Problem:
        """A problem at a path of it."""
        return Problem(self.file, *self.place(path, at_key=at_key), field_path(path), message, cure)

    def place(self, path: Path, *, at_key: bool = False) -> Place:
        """Line and column of a path of it; 0 where they are not known."""
        return place_in(self.marks, path, at_key=at_key)


def refuse_depth(value: Any) -> str | None:
    """What is wrong with the size of a JSON value: too deep or too many parts; None if nothing is. No recursion."""
    level = [value]
    nodes = 0
    for _ in range(MAX_DEPTH + 1):
        nodes += len(level)
        if nodes > MAX_NODES:
            return f"holds more than {MAX_NODES} values"
        below: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                below.extend(item.values())
            elif isinstance(item, list | tuple):
                below.extend(item)
        if not below:
            return None
        level = below
    return f"is nested more than {MAX_DEPTH} deep"
