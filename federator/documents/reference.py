"""Writes ``docs/reference/`` from the models: ``python -m federator.documents.reference [FOLDER]``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from federator.documents.expressions import FIELDS, FUNCTIONS, MAX_LENGTH, MAX_MACROS, MAX_NESTING
from federator.documents.kinds import KINDS, VERSIONS
from federator.documents.native import JOB, KEYS, MPIJOBS, SERVICES
from federator.documents.reference_prose import EXPRESSIONS, INDEX, NATIVE
from federator.documents.schema import json_schema

FOLDER = Path("docs/reference")
WRITTEN = "<!-- Written by `python -m federator.documents.reference` from the models; do not edit. -->"
FORMS: Mapping[str, str] = {
    "quantity": "quantity (`500m`, `2Gi`)",
    "duration": "duration (`90s`, `30m`, `2h`, `7d`)",
    "share": "share (`95%`)",
    "share/period": "share for a period (`10%/h`)",
    "number/period": "number for a period (`10/h`)",
    "money": "amount of money (`12.50`)",
    "mass": "mass (`50kg`)",
    "date-time": "time (`2026-01-01T00:00:00Z`)",
}
NAME_OF_MEMBER = "NAME"
Schema = dict[str, Any]


def pages() -> dict[str, str]:
    """Every page by its file name."""
    found = {f"{file_name(kind)}.md": _page(kind) for kind in KINDS}
    return {"README.md": _index(), **found, "expressions.md": _expressions(), "native-manifests.md": _native()}


def file_name(kind: str) -> str:
    """``PlacementPolicy`` as ``placement-policy``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower()


def _index() -> str:
    rows = [f"| [{kind}]({file_name(kind)}.md) | {_first(str(json_schema(kind)['description']))} |" for kind in KINDS]
    return f"{WRITTEN}\n{INDEX.format(kinds=_lines(rows))}"


def _page(kind: str) -> str:
    schema = json_schema(kind)
    rows = list(_rows(schema, schema, ()))
    return "\n".join(
        [
            WRITTEN,
            f"# {kind}",
            "",
            str(schema["description"]),
            "",
            f"apiVersion: {' or '.join(f'`{version}`' for version in VERSIONS[kind])}",
            "",
            "| field | type | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _rows(schema: Schema, root: Schema, path: tuple[str, ...]) -> Iterator[str]:
    """One row for each field, those of a mapping below it."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        here = (*path, name)
        if here == ("status",):
            continue
        words = " ".join(str(field.get("description") or _plain(field, root).get("description", "")).split())
        cells = (f"`{'.'.join(here)}`", _type(field, root), _default(field, name in required), words)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        suffix, inner = _inside(field, root)
        if inner is not None:
            yield from _rows(inner, root, (*path, name + suffix))


def _plain(field: Schema, root: Schema) -> Schema:
    """The schema without references and without null."""
    if "$ref" in field:
        return _plain(root["$defs"][field["$ref"].rpartition("/")[2]], root)
    members = [one for one in field.get("anyOf", []) if one.get("type") != "null"]
    return _plain(members[0], root) if len(members) == 1 else field


def _inside(field: Schema, root: Schema) -> tuple[str, Schema | None]:
    """What is below a field: nothing, a mapping, or the mappings of a list or of a mapping by name."""
    plain, suffix = _plain(field, root), ""
    while True:
        if plain.get("type") == "array" and isinstance(plain.get("items"), dict):
            plain, suffix = _plain(plain["items"], root), suffix + "[]"
        elif isinstance(plain.get("additionalProperties"), dict):
            plain, suffix = _plain(plain["additionalProperties"], root), f"{suffix}.{NAME_OF_MEMBER}"
        elif _map_values(plain) is not None:
            plain, suffix = _plain(_map_values(plain) or {}, root), f"{suffix}.{NAME_OF_MEMBER}"
        else:
            return suffix, plain if "properties" in plain else None


def _map_values(plain: Schema) -> Schema | None:
    """The values of a mapping whose keys have a form."""
    patterns = plain.get("patternProperties")
    return next(iter(patterns.values())) if patterns else None


def _type(field: Schema, root: Schema) -> str:
    plain = _plain(field, root)
    if "anyOf" in plain:
        forms = [one for one in plain["anyOf"] if one.get("type") == "string"]
        return _type(forms[0], root) if forms else "value"
    if "enum" in plain or "const" in plain:
        return " | ".join(f"`{one}`" for one in plain.get("enum", [plain.get("const")]) if one)
    kind = plain.get("type")
    if kind == "string":
        return FORMS.get(plain.get("format", ""), "text")
    if kind == "array":
        if "prefixItems" in plain:
            return "[" + ", ".join(_type(one, root) for one in plain["prefixItems"]) + "]"
        return f"list of {_type(plain.get('items', {}), root)}"
    if kind == "object":
        values = plain.get("additionalProperties") if "properties" not in plain else None
        values = values if isinstance(values, dict) else _map_values(plain)
        return f"mapping of {_type(values, root).partition(',')[0]} by name" if values else "mapping"
    names = {"integer": "whole number", "number": "number", "boolean": "true or false"}
    return names.get(str(kind), "anything") + _limits(plain)


def _limits(plain: Schema) -> str:
    """``from 0 to 100``, as far as there are limits."""
    least, most = plain.get("minimum", plain.get("exclusiveMinimum")), plain.get("maximum")
    from_ = f", from {least:,}" if least is not None and abs(least) < 10**9 else ""
    to = f" to {most:,.0f}" if most is not None and most < 10**9 and from_ else ""
    return from_ + to


def _default(field: Schema, required: bool) -> str:
    if required:
        return "required"
    default = field.get("default")
    if default is None or default == "" or (isinstance(default, dict | list) and not any(_leaves(default))):
        return ""
    return f"`{json.dumps(default) if not isinstance(default, str) else default}`"


def _leaves(value: Any) -> Iterator[Any]:
    """What a default says, below all its mappings and lists; those of parts are listed at their own fields."""
    if isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif not isinstance(value, dict):
        yield value


def _first(text: str) -> str:
    return text.split("\n")[0]


def _expressions() -> str:
    variables = [f"| `{name}.{part}` | {words} |" for name, parts in FIELDS.items() for part, words in parts.items()]
    functions = [f"| `{name}` | {words} |" for name, words in FUNCTIONS.items()]
    limits = {"length": MAX_LENGTH, "nesting": MAX_NESTING, "macros": MAX_MACROS}
    text = EXPRESSIONS.format(variables=_lines(variables), functions=_lines(functions), **limits)
    return f"{WRITTEN}\n{text}"


def _native() -> str:
    known = [f"| `{version}` | {kind} |" for version, kind in (JOB, *SERVICES, *MPIJOBS)]
    keys = [f"| `{key}` | {words} |" for key, words in KEYS.items()]
    return f"{WRITTEN}\n{NATIVE.format(known=_lines(known), keys=_lines(keys))}"


def _lines(rows: list[str]) -> str:
    return "\n".join(rows)


def write(folder: Path) -> None:
    """Write every page, and remove pages of kinds that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name, text in wanted.items():
        (folder / name).write_text(text, "utf-8")
    for old in folder.glob("*.md"):
        if old.name not in wanted:
            old.unlink()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
