"""ClassAds as XML, as ``condor_history -xml`` prints them, a job at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError, XMLParser

from federator.simulator.traces.opening import TraceError

CURE = "print it with condor_history -xml once more"
JOB, ATTRIBUTE, VALUE = 2, 3, 4
"""How deep these lie: in the list of all there are jobs, with attributes, with a value each."""
READ: Mapping[str, Callable[[str], Any]] = {"i": int, "r": float, "s": str, "b": lambda text: text == "t"}
"""How values are read, by their tags."""


def ads(path: Path, numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each job by its attributes in small letters, with the number of its last line. Raises TraceError."""
    reading = _Reading()
    parser, number = XMLParser(target=reading), 0
    try:
        for number, text in numbered:
            parser.feed(f"{text}\n")
            ended, reading.ended = reading.ended, []
            yield from ((number, ad) for ad in ended)
        parser.close()
    except ParseError as error:
        raise TraceError(str(path), number, f"is no XML: {error.msg}", CURE) from None


class _Reading:
    """Hears of tags and texts, and puts jobs together: numbers, texts and truths; None for what else there is."""

    def __init__(self) -> None:
        self.ended: list[dict[str, Any]] = []
        self._deep = 0
        self._ad: dict[str, Any] = {}
        self._name = self._text = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._deep += 1
        if self._deep == JOB:
            self._ad = {}
        elif self._deep == ATTRIBUTE:
            self._name = attributes.get("n", "").lower()
            self._ad[self._name] = None
        elif self._deep == VALUE:
            self._text = attributes.get("v", "")

    def data(self, text: str) -> None:
        if self._deep == VALUE:
            self._text += text

    def end(self, tag: str) -> None:
        if self._deep == VALUE:
            self._ad[self._name] = _value(tag, self._text)
        elif self._deep == JOB and tag == "c":
            self.ended.append(self._ad)
        self._deep -= 1

    def close(self) -> None:
        """Nothing is left to tell."""


def _value(tag: str, text: str) -> Any:
    try:
        return READ[tag](text)
    except (KeyError, ValueError):
        return None
