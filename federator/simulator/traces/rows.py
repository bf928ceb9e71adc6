"""Fields of one line of a log by the names of their columns, and lists of comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from federator.simulator.traces.opening import TraceError, lines

UNKNOWN = ("", "None", "none", "Unknown", "null", "NULL", "nan", "NaN", "NA", "N/A", "-1", "-1.0")
MOST_NUMBER = 10**15


class Row:
    """One line. Names are tried in turn: the first field that says something counts."""

    def __init__(self, path: Path, number: int, fields: Mapping[str, str]) -> None:
        self._path, self.line, self._fields = path, number, fields

    def text(self, *names: str) -> str:
        """What the field says; empty for nothing."""
        return next((value for name in names if (value := self._fields.get(name, "").strip()) not in UNKNOWN), "")

    def name(self, *names: str) -> str:
        """What the job is called. Raises TraceError."""
        text = self.text(*names)
        if not text:
            there = next(name for name in names if name in self._fields)
            raise self.wrong(there, "every job needs a name or number of its own")
        return text

    def filled(self, name: str) -> bool:
        """Whether anything stands there, be it that it is not known."""
        return bool(self._fields.get(name, "").strip())

    def whole(self, name: str, cure: str = "write a whole number", *, or_word: bool = False) -> int | None:
        """A whole number; None where it is not known (with ``or_word`` also for words like UNLIMITED)."""
        text = self.text(name)
        if not text or (or_word and not text[0].isdigit()):
            return None
        whole = text.removesuffix(".0")  # as tables are written in which some are not known
        if not whole.isdecimal() or int(whole) >= MOST_NUMBER:
            raise self.wrong(name, cure)
        return int(whole)

    def number(self, name: str) -> float | None:
        """A number that is not below zero; None where it is not known."""
        text = self.text(name)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < MOST_NUMBER:
            raise self.wrong(name, "write a number, or nothing where it is not known")
        return value

    def moment_s(self, name: str) -> float | None:
        """A time in seconds (since 1970, where it is written as a date); None where it is not known."""
        text = self.text(name)
        if not text:
            return None
        if text.replace(".", "", 1).isdecimal():
            return self.number(name)
        try:
            at = datetime.fromisoformat(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except ValueError:
            raise self.wrong(name, "write 2026-11-26T08:00:00, or seconds since 1970") from None

    def wrong(self, name: str, cure: str) -> TraceError:
        """What is wrong with a field."""
        return TraceError(str(self._path), self.line, f"{name} is '{self._fields.get(name, '').strip()[:40]}'", cure)


def table(path: Path, needed: Sequence[Sequence[str]], cure: str) -> Iterator[Row]:
    """The rows of a list of comma-separated values with a heading, which has one of each of the ``needed`` columns.

    Raises TraceError. A field may be quoted, but no field has several lines. Columns are known in small letters, and
    lines that are empty or begin with ``#`` are passed over.
    """
    numbered = ((number, line) for number, line in lines(path) if line.strip() and not line.startswith("#"))
    first, heading = next(numbered, (1, ""))
    columns = columns_of(heading)
    for one_of in needed:
        if not set(one_of) & set(columns):
            raise TraceError(str(path), first, f"the heading has no {' or '.join(one_of)}", cure)
    for number, line in numbered:
        if line == heading:  # of logs put together
            continue
        values = _split(line)
        if line.count('"') % 2:
            raise TraceError(str(path), number, "a quoted field goes on in the next line", "write each job on one line")
        if len(values) != len(columns):
            raise TraceError(str(path), number, f"has {len(values)} fields, the heading {len(columns)}", cure)
        yield Row(path, number, dict(zip(columns, values, strict=True)))


def columns_of(heading: str) -> list[str]:
    """The names of columns, in small letters."""
    return [column.lower() for column in _split(heading)]


def _split(line: str) -> list[str]:
    return [value.strip() for value in next(csv.reader([line]), [])]
