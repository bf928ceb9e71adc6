"""What is wrong in a pilot's body, in our words: which field, what is wrong with it, what would be right. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from federator.documents.complaints import Wording, Words, faults_of
from federator.documents.problems import field_path

MOST = 20
"""So many slips of one body are told."""
MOST_CHARS = 60
"""Of a value that is told."""
NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,125}[A-Za-z0-9])?$"
REASON = r"^[A-Z][A-Za-z0-9]{0,62}$"
PATTERNS: Mapping[str, Words] = {
    NAME: ("is no name", "use 1 to 127 letters, digits, '.', '_' and '-', with a letter or digit at both ends"),
    REASON: ("is no reason", "write one word of letters and digits that begins with a capital, such as Error"),
}


def slips(error: ValidationError, kind: type[BaseModel]) -> list[dict[str, Any]]:
    """As problem documents list them; the first of many."""
    return [
        {"file": "body", "line": 0, "column": 0, "field": field_path(path) or "body", "message": message, "cure": cure}
        for path, message, cure in islice(faults_of(error, kind, WORDS), MOST)
    ]


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]}…"


def _kind(what: str, example: str) -> Wording:
    return lambda value, _: (f"must be {what}, not {_shown(value)}", f"send {example}")


def _pattern(value: object, context: Mapping[str, Any]) -> Words:
    message, cure = PATTERNS[context["pattern"]]
    return f"{_shown(value)} {message}", cure


WORDS: Mapping[str, Wording] = {
    "missing": lambda value, context: ("is missing", "send it"),
    "string_type": _kind("a text", 'a text in quotes: "a"'),
    "int_type": _kind("a whole number", "a number without quotes and without a point: 1"),
    "float_type": _kind("a number", "a number without quotes: 1.5"),
    "finite_number": _kind("a finite number", "a finite number"),
    "bool_type": _kind("true or false", "true or false, without quotes"),
    "list_type": _kind("a list", 'a list: ["a", "b"]'),
    "dict_type": _kind("an object", 'an object: {"key": value}'),
    "model_type": _kind("an object", 'an object: {"key": value}'),
    "greater_than_equal": lambda value, context: (f"{_shown(value)} is too small", f"the least is {context['ge']:.0f}"),
    "less_than_equal": lambda value, context: (f"{_shown(value)} is too large", f"the most is {context['le']:.0f}"),
    "string_pattern_mismatch": _pattern,
}
"""Where those of documents would speak of YAML, or of names in Kubernetes."""
