"""Documents on their way to a server: taken apart, and each checked by itself.

What only shows beside the rest of the federation (a cluster that there is not) is left to the daemon. Used on both
ends: by the commands before they send, where slips have their place in the user's files, and by the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from federator.documents import DocumentErrors, Problem
from federator.documents.entries import Entry
from federator.documents.marks import Marks, Place
from federator.documents.reading import read_document


def flat(file: str, value: Any, marks: Marks | Place) -> Iterator[Entry]:
    """The documents of one value: itself, the items of a list, or those of a Kubernetes ``List``."""
    if isinstance(value, Mapping) and value.get("kind") == "List" and isinstance(value.get("items"), list):
        assert isinstance(marks, Marks)
        assert isinstance(marks.inside, dict)
        value, marks = value["items"], marks.inside["items"]
    if not isinstance(value, list):
        yield Entry(file, value, marks)
        return
    assert isinstance(marks, Marks)
    assert isinstance(marks.inside, list)
    for one, place in zip(value, marks.inside, strict=True):
        yield Entry(file, one, place)


def slips_of(entries: Iterable[Entry]) -> list[Problem]:
    """Everything that is wrong with these documents, each by itself."""
    problems: list[Problem] = []
    for entry in entries:
        try:
            read_document(entry)
        except DocumentErrors as error:
            problems += error.problems
    return problems
