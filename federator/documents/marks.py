"""Where every value of a YAML text stands."""

from __future__ import annotations

from dataclasses import dataclass, field

Place = tuple[int, int]
"""Line and column, from 1: all that there is to know of a scalar."""


@dataclass(slots=True)
class Marks:
    """Where a mapping or a list stands, and the same for what is in it, by key or index."""

    line: int
    column: int
    inside: dict[str, Marks | Place] | list[Marks | Place]
    keys: dict[str, Place] = field(default_factory=dict)
    """Where each key of a mapping stands."""
    size: int = 1
    """Nodes in it, each alias counted as what it stands for."""
    whole: bool = False
    """False while it is being read: an alias may not stand for what it is part of."""

    def find(self, path: tuple[str | int, ...], *, at_key: bool = False) -> Place:
        """The place of the value at ``path``, of its key if so asked; of the nearest there is where it is missing."""
        here: Marks | Place = self
        place = (self.line, self.column)
        for step in path:
            inside = here.inside if isinstance(here, Marks) else ()
            if isinstance(inside, dict) and isinstance(here, Marks) and isinstance(step, str) and step in inside:
                place, here = here.keys[step], inside[step]
            elif isinstance(inside, list) and isinstance(step, int) and step < len(inside):
                here = inside[step]
                place = place_of(here)
            else:
                return place
        return place if at_key else place_of(here)


def place_of(marks: Marks | Place) -> Place:
    """The place itself."""
    return (marks.line, marks.column) if isinstance(marks, Marks) else marks


def place_in(marks: Marks | Place | None, path: tuple[str | int, ...], *, at_key: bool = False) -> Place:
    """The place of a path; 0 where no place is known."""
    if marks is None:
        return (0, 0)
    return marks.find(path, at_key=at_key) if isinstance(marks, Marks) else marks
