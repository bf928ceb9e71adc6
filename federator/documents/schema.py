"""The JSON Schema of every kind, from the models."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from federator.documents.kinds import KINDS, VERSIONS
from federator.documents.problems import DocumentErrors, Problem, did_you_mean


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a kind. Raises DocumentErrors for a name that no kind has."""
    folded = {name.lower(): name for name in KINDS}
    name = folded.get(kind.lower())
    if name is None:
        problem = Problem("<kind>", message=f"there is no kind '{kind}'", cure=did_you_mean(kind, KINDS, what="kinds"))
        raise DocumentErrors([problem])
    return _schema(name)


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
    return schema
