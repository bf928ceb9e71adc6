"""The kinds of values that fields of documents have, and the base of all their models."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from federator.documents import quantities
from federator.documents.expression_types import check_condition
from federator.documents.expressions import Expression, ExpressionError, compile_expression

MAX_REPLICAS = 1_000_000
MAX_WEIGHT = 1_000_000_000
MAX_NODES = 1_000_000


class Part(BaseModel):
    """A mapping in a document: frozen, no unknown keys; a key without a value counts as left out."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        ser_json_inf_nan="null",
    )

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self  # frozen: defaults need no copies

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_left_out(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {key: value for key, value in data.items() if value is not None}
        return data


def wrong(message: str, cure: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """The error to raise in a validator: ``at`` is the path of the culprit below the validated value."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "cure": cure, "at": at})


class Written:
    """Annotates a value that is written as text of its own form; ``parse`` raises ValueError("what; the cure")."""

    def __init__(
        self, form: str, parse: Callable[[Any], Any], write: Callable[[Any], str], *examples: str, number: bool = False
    ) -> None:
        self._parse = parse
        self._write = write
        one: dict[str, Any] = {"type": "string", "format": form, "examples": list(examples)}
        self._schema = {"anyOf": [one, {"type": "number", "minimum": 0}]} if number else one

    def _read(self, value: Any) -> Any:
        try:
            return self._parse(value)
        except ValueError as error:
            message, _, cure = str(error).partition("; ")
            raise wrong(message, cure) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read, serialization=core_schema.plain_serializer_function_ser_schema(self._write)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self._schema)


def _bytes(value: Any) -> int:
    return quantities.amount_of("memory", quantities.parse_quantity(value))


def _write_bytes(value: int) -> str:
    return quantities.format_amount("memory", value)


Quantity = Annotated[
    Fraction, Written("quantity", quantities.parse_quantity, quantities.format_quantity, "500m", "2Gi", number=True)
]
"""A Kubernetes quantity, exact."""
Bytes = Annotated[int, Written("quantity", _bytes, _write_bytes, "4Mi", number=True)]
"""A number of bytes."""
Duration = Annotated[
    float, Written("duration", quantities.parse_duration, quantities.format_duration, "90s", "30m", "2h", "1h30m", "7d")
]
"""A duration in seconds."""
Share = Annotated[int, Written("share", quantities.parse_share, quantities.format_share, "95%")]
"""A share in millionths."""
Time = Annotated[float, Written("date-time", quantities.parse_time, quantities.format_time, "2026-01-01T00:00:00Z")]
"""A time in seconds since the epoch."""

Whole = Annotated[int, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True, ge=0, le=1e12)]
Weight = Annotated[int, Field(strict=True, ge=0, le=MAX_WEIGHT)]
Replicas = Annotated[int, Field(strict=True, ge=0, le=MAX_REPLICAS)]
Priority = Annotated[int, Field(strict=True, ge=-1_000_000_000, le=1_000_000_000)]

_LABEL = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"

Name = Annotated[str, Field(strict=True, max_length=253, pattern=f"^{_DNS}$")]
"""A name as Kubernetes takes it: small letters, digits, ``-`` and ``.``."""
NameOrAll = Annotated[str, Field(strict=True, max_length=253, pattern=rf"^(?:\*|{_DNS})$")]
"""A name, or ``*`` for those that are not named."""
ShortName = Annotated[str, Field(strict=True, max_length=63, pattern=f"^{_DNS}$")]
"""A name that is also used as a label's value: at most 63 characters."""
Glob = Annotated[str, Field(strict=True, min_length=1, max_length=253)]
"""A name, or a pattern with ``*``, ``?`` and ``[abc]``."""
LabelKey = Annotated[str, Field(strict=True, max_length=317, pattern=rf"^(?:{_DNS}/)?{_LABEL}$")]
LabelValue = Annotated[str, Field(strict=True, max_length=63, pattern=rf"^(?:{_LABEL})?$")]
Labels = dict[LabelKey, LabelValue]
Text = Annotated[str, Field(strict=True, max_length=65_536)]

_SLIPS = {
    "mem": "memory",
    "ram": "memory",
    "cpus": "cpu",
    "cores": "cpu",
    "core": "cpu",
    "storage": "ephemeral-storage",
}


def _resource_name(name: str) -> str:
    folded = name.lower()
    right = _SLIPS.get(folded) or (folded if folded in ("cpu", "memory", "ephemeral-storage") else name)
    if right != name:
        raise wrong(f"no resource is called '{name}'", f"did you mean '{right}'?")
    return name


ResourceName = Annotated[str, Field(strict=True, max_length=317, pattern=rf"^(?:{_DNS}/)?{_LABEL}$")]
ResourceKey = Annotated[ResourceName, AfterValidator(_resource_name)]


def _usual_units(amounts: dict[str, Fraction]) -> dict[str, Fraction]:
    for name, amount in amounts.items():
        try:
            quantities.check_unit(name, amount)
        except ValueError as error:
            message, _, cure = str(error).partition("; ")
            raise wrong(message, cure, (name,)) from None
    return amounts


Averages = dict[ResourceKey, Quantity]
"""Amounts by resource that were measured: of anything there may be a part."""
Quantities = Annotated[Averages, AfterValidator(_usual_units)]
"""Amounts by resource that somebody wrote."""


_IS_NAME = re.compile(_DNS)


def is_name(text: str) -> bool:
    """Whether Kubernetes would take it as the name of an object."""
    return len(text) <= 253 and _IS_NAME.fullmatch(text) is not None


def condition(*variables: str) -> Any:
    """The annotation of a field that holds a condition over these variables."""
    known = frozenset(variables)

    def check(source: str) -> str:
        if source.strip():
            check_expression(source, known, gives=check_condition)
        return source

    return AfterValidator(check)


def check_expression(
    source: str,
    variables: frozenset[str],
    functions: frozenset[str] = frozenset(),
    gives: Callable[[Expression], None] | None = None,
) -> None:
    """Raise the error of a field where the expression cannot be used; ``gives`` looks at what comes of it."""
    try:
        expression = compile_expression(source, variables, functions)
        if gives:
            gives(expression)
    except ExpressionError as error:
        where = f" (column {error.column} of the expression)" if error.column else ""
        raise wrong(error.message + where, error.cure) from None


ClusterExpression = Annotated[str, Field(strict=True), condition("cluster", "workload")]
"""CEL over ``cluster`` and ``workload``."""
FlavorExpression = Annotated[str, Field(strict=True), condition("flavor", "cluster", "workload")]
"""CEL over ``flavor``, ``cluster`` and ``workload``."""
WorkloadExpression = Annotated[str, Field(strict=True), condition("workload")]
"""CEL over ``workload``."""


def empty_if_missing(value: Any) -> Any:
    """``name:`` with nothing behind it means an empty mapping."""
    return {} if value is None else value


EmptyIfMissing = BeforeValidator(empty_if_missing)
