"""YAML text as plain JSON-able values in which every value knows its line and column.

Built on the events of libyaml, in one pass without recursion, so that text which is deep, huge or full of aliases is
refused before it costs anything. Values follow what kubectl reads: ``yes`` and ``on`` are booleans; times stay text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from federator.documents.marks import Marks, Place, place_of
from federator.documents.problems import Problem, field_path
from federator.documents.yaml_scalars import plain

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 64
MAX_NODES = 1_000_000

_TAGS = {"str": str, "int": int, "float": float, "bool": bool, "null": None, "map": dict, "seq": list}


class TextRefused(Exception):
    """The text is not YAML, or not YAML that we take."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    value: dict[str, Any] | list[Any]
    marks: Marks
    anchor: str | None
    key: str | None = None
    merge: bool = False
    own: set[str] = field(default_factory=set)
    """Keys written here, not merged in."""

    @property
    def expects_key(self) -> bool:
        """Whether a mapping has no key open."""
        return self.key is None and not self.merge


def read_yaml(text: str, file: str) -> Iterator[tuple[Any, Marks | Place]]:
    """Each document of the text with its marks. Raises TextRefused, after having given the documents before."""
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TextRefused(Problem(file, message="is larger than 8 MiB", cure="split it into several files"))
    if file.endswith(".json"):
        text = text.replace("\t", " ")  # a tab may stand between JSON's tokens but not between YAML's
    try:
        yield from _Reader(file).documents(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        message, cure = _explain(error, text, line)
        raise TextRefused(Problem(file, line, column, "", message, cure)) from None
    except yaml.reader.ReaderError as error:
        # the position is one of bytes or characters, by the part of libyaml that found it: near enough for a line
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise TextRefused(
            Problem(file, *place, "", "holds a character that YAML does not allow", "remove it, or escape it in quotes")
        ) from None
    except UnicodeEncodeError:
        raise TextRefused(Problem(file, message="holds half a surrogate pair", cure="save it as UTF-8")) from None


def _explain(error: yaml.MarkedYAMLError, text: str, line: int) -> tuple[str, str]:
    """libyaml's complaint with the cure for the usual slips."""
    words = error.problem or "is malformed"
    lines = text.splitlines()
    at = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in at[: len(at) - len(at.lstrip())] or "'\\t'" in words or "tab character" in words:
        return "a tab is used to indent", "indent with spaces"
    cures = {
        "could not find expected ':'": "write 'key: value', and put text that goes over several lines in quotes",
        "mapping values are not allowed": "indent keys of one mapping alike, and put text with ': ' in quotes",
        "did not find expected key": "check the indentation, and that every quote and bracket is closed",
        "did not find expected '-' indicator": "indent the items of a list alike",
        "did not find expected ',' or ']'": "close the list with ]",
        "did not find expected ',' or '}'": "close the mapping with }",
        "found unexpected end of stream": "close the quotes",
        "cannot start any token": "put text that begins with this character in quotes",
        "found undefined alias": "define it with & before, or put text that begins with * in quotes",
    }
    cure = next((cure for part, cure in cures.items() if part in words), "")
    return f"is not YAML: {words}", cure


class _Reader:
    """One pass over the events of a text."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, tuple[Any, Marks | Place]] = {}
        self._stack: list[_Open] = []
        self._nodes = 0
        self._root: tuple[Any, Marks | Place] | None = None

    def documents(self, text: str) -> Iterator[tuple[Any, Marks | Place]]:
        """Each document in turn."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        event: Any  # told apart by its class, which mypy does not follow
        for event in yaml.parse(text, Loader=loader):
            kind = type(event)
            if kind is yaml.ScalarEvent:  # first: nearly all of them are
                place = _place(event)
                self._add(self._scalar(event, place), place, event.anchor)
            elif kind is yaml.MappingStartEvent:
                self._open({}, Marks(*_place(event), {}), event)
            elif kind is yaml.SequenceStartEvent:
                self._open([], Marks(*_place(event), []), event)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._close()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                self._anchors, self._root = {}, None
            elif kind is yaml.DocumentEndEvent and self._root is not None:
                yield self._root

    def _refuse(self, line: int, column: int, message: str, cure: str) -> TextRefused:
        steps: list[str | int] = []
        for frame in self._stack:
            if isinstance(frame.value, list):
                steps.append(len(frame.value))
            elif frame.key is not None:
                steps.append(frame.key)
        return TextRefused(Problem(self._file, line, column, field_path(steps), message, cure))

    def _open(self, value: dict[str, Any] | list[Any], marks: Marks, event: yaml.CollectionStartEvent) -> None:
        self._check_tag(event.tag, type(value), (marks.line, marks.column))
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].expects_key:
            raise self._refuse(marks.line, marks.column, "a key must be text", "write a single word before the colon")
        if len(self._stack) >= MAX_DEPTH:
            message = f"is nested more than {MAX_DEPTH} deep"
            raise TextRefused(Problem(self._file, marks.line, marks.column, "", message, "flatten it"))
        self._stack.append(_Open(value, marks, event.anchor))
        if event.anchor:
            self._anchors[event.anchor] = (value, marks)

    def _close(self) -> None:
        frame = self._stack.pop()
        frame.marks.whole = True
        self._add(frame.value, frame.marks, frame.anchor, frame.marks.size, 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line, column = _place(event)
        known = self._anchors.get(event.anchor or "")
        if known is None:
            message = f"the alias *{event.anchor} is not defined before"
            raise self._refuse(line, column, message, "define it with & first")
        value, marks = known
        size = 1
        if isinstance(marks, Marks):
            size = marks.size
            if not marks.whole:
                message = f"the alias *{event.anchor} stands for what it is part of"
                raise self._refuse(line, column, message, "remove it")
        self._add(value, marks, None, size, size)

    def _add(self, value: Any, marks: Marks | Place, anchor: str | None, size: int = 1, new: int = 1) -> None:
        """Put a value where it belongs: under the open key, at the end of the open list, or as the document.

        ``size`` counts the nodes in it, ``new`` those of them that were not counted when they were read.
        """
        self._nodes += new
        if self._nodes > MAX_NODES:
            message = f"holds more than {MAX_NODES} values, aliases counted as what they stand for"
            raise TextRefused(Problem(self._file, *place_of(marks), "", message, "split it, or write it out"))
        if anchor:
            self._anchors[anchor] = (value, marks)
        if not self._stack:
            self._root = (value, marks)
            return
        frame = self._stack[-1]
        whole = frame.marks
        whole.size += size
        if isinstance(frame.value, list):
            frame.value.append(value)
            whole.inside.append(marks)  # type: ignore[union-attr]  # a list for a list
        elif frame.key is not None:
            frame.value[frame.key] = value
            whole.inside[frame.key] = marks  # type: ignore[call-overload]  # a dict for a dict
            frame.key = None
        elif frame.merge:
            self._merge(frame, value, marks)
        else:
            self._key(frame, value, place_of(marks))

    def _key(self, frame: _Open, key: Any, place: Place) -> None:
        if key == "<<":
            frame.merge = True
            return
        if not isinstance(key, str):
            written = "empty" if key is None else f"'{str(key).lower()}'"
            message = f"the key reads as {written}, which is not text in YAML"
            raise self._refuse(*place, message, "write the key in quotes")
        frame.key = key
        if key in frame.own:
            message = f"the key '{key}' is there twice, first in line {frame.marks.keys[key][0]}"
            raise self._refuse(*place, message, "keep one of the two")
        frame.own.add(key)
        frame.marks.keys[key] = place

    def _merge(self, frame: _Open, value: Any, marks: Marks | Place) -> None:
        """``<<: *alias``: the keys of other mappings, where this one does not have them."""
        frame.merge = False
        inside = marks.inside if isinstance(marks, Marks) and isinstance(marks.inside, list) else [marks]
        target, places = frame.value, frame.marks.inside
        for source, found in zip(value if isinstance(value, list) else [value], inside, strict=True):
            if not isinstance(source, dict) or not isinstance(found, Marks) or not isinstance(found.inside, dict):
                place = place_of(marks)
                raise self._refuse(*place, "<< takes a mapping", "write <<: *alias of a mapping")
            assert isinstance(target, dict)
            assert isinstance(places, dict)
            for key in source:
                if key not in target:
                    target[key] = source[key]
                    places[key] = found.inside[key]
                    frame.marks.keys.setdefault(key, found.keys[key])

    def _check_tag(self, tag: str | None, kind: type, place: Place) -> None:
        if tag is None or tag == "!":
            return
        name = tag.removeprefix("tag:yaml.org,2002:")
        if _TAGS.get(name) is not kind:
            raise self._refuse(*place, f"the tag {tag} is not taken here", "leave the tag out")

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Any:
        tag = event.tag
        if "\0" in event.value:  # no path, argument or variable can hold one, and PostgreSQL no text
            raise self._refuse(*place, "holds a NUL character", "leave it out")
        if not event.implicit[0] if tag is None else tag in ("!", "tag:yaml.org,2002:str"):
            return event.value  # in quotes, or called a text
        try:
            value = plain(event.value)
        except ValueError as error:
            raise self._refuse(*place, str(error), "write it in quotes, or smaller") from None
        self._check_tag(tag, type(value), place)
        return value


def _place(event: yaml.Event) -> tuple[int, int]:
    """Line and column of an event, from 1."""
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)
