"""Pydantic's errors in our words: located in the file, with the field as the user wrote it, and a cure."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from federator.documents.marks import Marks, Place, place_in
from federator.documents.problems import Problem, did_you_mean, field_path

Path = tuple[str | int, ...]
Words = tuple[str, str]
"""What is wrong, and the cure."""
Wording = Callable[[Any, Mapping[str, Any]], Words]
"""Words for one of pydantic's kinds of errors, from the value that was given and what pydantic tells of the error."""


class Misfit(Exception):
    """A document does not fit its kind: places below the document's root with what is wrong and the cure."""

    def __init__(self, *faults: tuple[Path, str, str]) -> None:
        super().__init__("; ".join(f"{field_path(path)}: {message}" for path, message, _ in faults))
        self.faults = faults


def locate(misfit: Misfit, file: str, marks: Marks | Place | None) -> list[Problem]:
    """The faults of one document as problems of its file."""
    return [
        Problem(file, *place_in(marks, path), field_path(path), message, cure) for path, message, cure in misfit.faults
    ]


def explain(error: ValidationError, model: type[BaseModel], file: str, marks: Marks | Place | None) -> list[Problem]:
    """Each of pydantic's errors as a problem."""
    problems = []
    for detail in error.errors(include_url=False):
        path, at_key = _path(detail)
        message, cure = _words(detail, model)
        place = place_in(marks, path, at_key=at_key)
        problems.append(Problem(file, *place, field_path(path), message, cure))
    return problems


def _path(detail: ErrorDetails) -> tuple[Path, bool]:
    """Where the error is; True where it is the key there, not its value."""
    path = tuple(detail["loc"])
    at_key = detail["type"] == "extra_forbidden"
    if path and path[-1] == "[key]":
        path, at_key = path[:-1], True
    below = detail.get("ctx", {}).get("at", ())
    return tuple(step for step in path if step not in _TAGS) + tuple(below), at_key


_TAGS = frozenset({"function-after[_resource_name(), constrained-str]", "constrained-str", "literal['*']"})
"""Steps that pydantic adds for the members of a union; they are not in the document."""


def _words(detail: ErrorDetails, model: type[BaseModel], own: Mapping[str, Wording] = MappingProxyType({})) -> Words:
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == "wrong":
        return str(context["message"]), str(context["cure"])
    if kind == "extra_forbidden":
        return _unknown_key(detail, model)
    wording = own.get(kind) or _WORDS.get(kind)
    if wording is not None:
        return wording(detail.get("input"), context)
    return detail["msg"][:1].lower() + detail["msg"][1:], ""


def _unknown_key(detail: ErrorDetails, model: type[BaseModel]) -> Words:
    path = detail["loc"]
    parent = model_at(model, path[:-1])
    known = [field.alias or name for name, field in parent.model_fields.items()] if parent else []
    return f"there is no '{path[-1]}' here", did_you_mean(str(path[-1]), known, what="there are")


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the mapping at a path of a document of ``model``; None where there is none."""
    here: Any = model
    for step in path:
        if step in _TAGS:
            continue
        if isinstance(here, type) and issubclass(here, BaseModel):
            found = {field.alias or name: field.annotation for name, field in here.model_fields.items()}
            here = found.get(str(step))
        else:
            arguments = [argument for argument in typing.get_args(here) if argument is not Ellipsis]
            here = arguments[-1] if arguments else None
        here = _bare(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _bare(annotation: Any) -> Any:
    """The annotation without Annotated and without None."""
    while True:
        arguments = typing.get_args(annotation)
        if hasattr(annotation, "__metadata__"):
            annotation = arguments[0]
        elif type(None) in arguments:
            annotation = next(argument for argument in arguments if argument is not type(None))
        else:
            return annotation


def _name_of(value: object) -> str:
    """What a value is, in a person's words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{value}'" if len(value) <= 60 else "a text"
    return "a list" if isinstance(value, list | tuple) else "a mapping" if isinstance(value, Mapping) else "nothing"


def _not_text(value: object, _: Mapping[str, Any]) -> Words:
    if isinstance(value, bool | int | float):
        written = str(value).lower() if isinstance(value, bool) else str(value)
        return f"must be text, not {_name_of(value)}", f"write it in quotes: '{written}'"
    return f"must be text, not {_name_of(value)}", "write a single text"


def _not_number(value: object, _: Mapping[str, Any]) -> Words:
    whole = isinstance(value, str) and value.strip().lstrip("+-").replace(".", "", 1).isdigit()
    cure = f"write it without quotes: {str(value).strip()}" if whole else "write a number"
    return f"must be a number, not {_name_of(value)}", cure


def _not_whole(value: object, context: Mapping[str, Any]) -> Words:
    message, cure = _not_number(value, context)
    return message.replace("a number", "a whole number", 1), cure.replace("a number", "a whole number")


def _not_flag(value: object, _: Mapping[str, Any]) -> Words:
    return f"must be true or false, not {_name_of(value)}", "write true or false, without quotes"


def _not_list(value: object, _: Mapping[str, Any]) -> Words:
    words = ", ".join(str(value).split()) if isinstance(value, str | int) else ""
    cure = f"write [{words}]" if 0 < len(words) < 60 else "write a list: [a, b]"
    return f"must be a list, not {_name_of(value)}", cure


def _not_mapping(value: object, _: Mapping[str, Any]) -> Words:
    return f"must be a mapping, not {_name_of(value)}", "write {key: value}, or keys indented below"


def _not_one_of(value: object, context: Mapping[str, Any]) -> Words:
    text = str(context["expected"]).replace(" or ", ", ")
    known = [name.strip().strip("'") for name in text.split(",")]
    return f"{_name_of(value)} is not one of {', '.join(known)}", did_you_mean(str(value), known, what="write one of")


def _pattern(value: object, _: Mapping[str, Any]) -> Words:
    text = str(value)
    tidy = "".join(c if c.isascii() and (c.isalnum() or c in "-./") else "-" for c in text.lower()).strip("-./")
    cure = f"write '{tidy}'" if tidy and tidy != text else "use small letters, digits, '-' and '.'"
    return f"'{text[:80]}' is not a name that Kubernetes would take", cure


def _at_least(value: object, context: Mapping[str, Any]) -> Words:
    return f"{value} is too small", f"the least is {context['ge']:,}".replace(",", "")


def _above(value: object, context: Mapping[str, Any]) -> Words:
    return f"{value} is too small", f"write more than {context['gt']}"


def _at_most(value: object, context: Mapping[str, Any]) -> Words:
    return f"{value} is too large", f"the most is {context['le']:.0f}"


_WORDS: Mapping[str, Wording] = {
    "missing": lambda value, context: ("is missing", "add it"),
    "string_type": _not_text,
    "int_type": _not_whole,
    "int_from_float": _not_whole,
    "int_parsing": _not_whole,
    "float_type": _not_number,
    "float_parsing": _not_number,
    "finite_number": _not_number,
    "bool_type": _not_flag,
    "bool_parsing": _not_flag,
    "tuple_type": _not_list,
    "list_type": _not_list,
    "dict_type": _not_mapping,
    "model_type": _not_mapping,
    "model_attributes_type": _not_mapping,
    "literal_error": _not_one_of,
    "string_pattern_mismatch": _pattern,
    "string_too_long": lambda value, context: (
        f"is longer than {context['max_length']} characters",
        "shorten it",
    ),
    "string_too_short": lambda value, context: ("is empty", "write something, or leave it out"),
    "too_long": lambda value, context: (
        f"has {context['actual_length']} entries",
        f"the most is {context['max_length']}",
    ),
    "too_short": lambda value, context: (
        f"has {context['actual_length']} entries",
        f"the least is {context['min_length']}",
    ),
    "greater_than_equal": _at_least,
    "greater_than": _above,
    "less_than_equal": _at_most,
}


def faults_of(
    error: ValidationError, model: type[BaseModel], own: Mapping[str, Wording] = MappingProxyType({})
) -> Iterator[tuple[Path, str, str]]:
    """The same as values without a file, for readers that know no places; ``own`` words go first."""
    for detail in error.errors(include_url=False):
        path, _ = _path(detail)
        yield (path, *_words(detail, model, own))
