"""The JSON Schema of every kind, from the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from federator.documents.kinds import KINDS, VERSIONS
from federator.documents.problems import DocumentErrors, Problem, did_you_mean
from federator.documents.quantities import format_duration, format_quantity, format_share


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a kind. Raises DocumentErrors for a name that no kind has."""
    folded = {name.lower(): name for name in KINDS}
    name = folded.get(kind.lower())
    if name is None:
        problem = Problem("<kind>", message=f"there is no kind '{kind}'", cure=did_you_mean(kind, KINDS, what="kinds"))
        raise DocumentErrors([problem])
    return _schema(name)


WRITERS: Mapping[str, Callable[[Any], str]] = {
    "duration": format_duration,
    "share": format_share,
    "quantity": lambda amount: format_quantity(Fraction(amount)),
}
"""How the defaults of fields with a form of their own are written."""


def _write_defaults(schema: Any) -> None:
    """Defaults as a user would write them, all through the schema."""
    if isinstance(schema, list):
        for one in schema:
            _write_defaults(one)
    if not isinstance(schema, dict):
        return
    default = schema.get("default")
    form = schema.get("format") or next((one["format"] for one in schema.get("anyOf", []) if "format" in one), None)
    if isinstance(form, str) and form in WRITERS and isinstance(default, int | float):
        schema["default"] = WRITERS[form](default)
    for one in schema.values():
        _write_defaults(one)


@lru_cache(maxsize=32)
def _schema(kind: str) -> dict[str, Any]:
    schema = KINDS[kind].model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = kind
    required = ["apiVersion", "kind", *schema.get("required", [])]
    schema["required"] = list(dict.fromkeys(required))
    schema["properties"]["apiVersion"] = {
        **schema["properties"]["apiVersion"],
        "enum": list(VERSIONS[kind]),
    }
    schema["properties"]["apiVersion"].pop("const", None)
    _write_defaults(schema)
    return schema
