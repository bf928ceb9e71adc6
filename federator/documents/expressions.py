"""Expressions in documents: CEL, checked when a document is read, evaluated on values of the model.

An expression never raises for data: where a label is missing or a type does not fit, it does not hold, and says why.
What it may cost is bounded before it is compiled (length, nesting, macros), since users write expressions too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from federator.documents.problems import did_you_mean
from federator.documents.quantities import natural_amount, parse_quantity, price_unit
from federator.model.cluster import Cluster, Flavor
from federator.model.resources import CPU, MEMORY, Resources
from federator.model.workload import Role, Workload

if TYPE_CHECKING:
    import cel  # when it runs it is imported where it is used: it draws in a command line of its own, for over 1 s

MAX_LENGTH = 2000
MAX_NESTING = 50
MAX_MACROS = 2
"""Comprehensions in one expression: nested ones multiply what it costs."""

FIELDS: Mapping[str, Mapping[str, str]] = {
    "workload": {
        "name": "its name",
        "queue": "its queue",
        "labels": "its labels",
        "priority": "its priority, a whole number",
        "replicas": "how many replicas it has in all roles",
        "requests": "what one replica asks for (one of each role together), by resource: cpu in cores, memory in bytes",
        "memoryPerCore": "bytes of memory asked for each core, a whole number; missing where no core is asked for",
        "lifetime": "`batch` or `service`",
        "duration_s": "its expected run time in seconds; missing where it is not known",
    },
    "cluster": {
        "name": "its name",
        "labels": "its labels",
        "provider": "its provider",
        "price": "its prices by resource, per core, GiB or piece and hour",
        "carbonIntensity": "gCO2e/kWh",
    },
    "flavor": {
        "name": "its name",
        "labels": "the labels of its nodes",
        "allocatable": "what one node offers, by resource: cpu in cores, memory in bytes",
        "memoryPerCore": "bytes of memory of a node for each of its cores, a whole number",
    },
}
"""What an expression can read: variables, their fields, and what those are."""

FUNCTIONS: Mapping[str, str] = {
    "version": '`version("12.1")`: compares as a version: `version("12.10") > version("12.9")`; a leading v is ignored',
    "quantity": '`quantity("4Gi")`: a Kubernetes quantity as a number, to compare with requests',
    "size": "the length of a text, a list or a map",
    "contains": '`text.contains("part")`',
    "startsWith": '`text.startsWith("part")`',
    "endsWith": '`text.endsWith("part")`',
    "matches": '`text.matches("regular expression")`',
    "int": "makes a whole number",
    "double": "makes a number with a fraction",
    "string": "makes a text",
    "type": "the type of a value",
}
"""The functions an expression may call, besides operators and macros (has, exists, exists_one, all, map, filter)."""

Functions = Mapping[str, Callable[[Any], object]]

_TYPES = frozenset({"int", "uint", "double", "string", "bool", "bytes", "list", "map", "null_type", "type"})
# raw and long texts and comments too, so that nothing hides in what only looks like a text
_KINDS = (r"//[^\n]*", r"[rR]QQQ(?s:.*?)QQQ", r"[rR]Q[^Q\n]*Q", r"QQQ(?s:(?:\\.|.)*?)QQQ", r"Q(?:\\.|[^Q\\])*Q")
_TEXT = re.compile("|".join(kind.replace("Q", quote) for kind in _KINDS for quote in ('"', "'")))
_MACRO = re.compile(r"\.\s*(?:exists|exists_one|all|map|filter)\s*\(\s*(\w*)")
_FIELD = re.compile(r"(?<![\w.])(workload|cluster|flavor)\s*\.\s*(\w+)")
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")
_VERSION = re.compile(r"\d+(?:\.\d+)*")
_BARE_VERSION = re.compile(r"\bversion\s*\(\s*[\d.]")
_NAMES: Mapping[type, str] = {int: "a number", float: "a number", str: "a text", list: "a list", dict: "a map"}


class ExpressionError(ValueError):
    """The expression cannot be used. ``column`` counts from 1 within it (0: not known)."""

    def __init__(self, message: str, column: int = 0, cure: str = "") -> None:
        super().__init__(f"{message}; {cure}" if cure else message)
        self.message = message
        self.column = column
        self.cure = cure


class Expression:
    """A compiled expression. ``reads`` are the variables that it reads, of those it was compiled with."""

    __slots__ = ("_program", "reads", "source", "variables")

    def __init__(self, source: str, variables: frozenset[str], reads: frozenset[str], program: cel.Program) -> None:
        self.source = source
        self.variables = variables
        self.reads = reads
        self._program = program

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return compile_expression, (self.source, self.variables)  # a worker process compiles its own

    def evaluate(self, values: Mapping[str, Any], functions: Functions | None = None) -> object:
        """The value for these variables; ``functions`` are those that it was compiled with.

        Raises KeyError, TypeError, ArithmeticError, RuntimeError or ValueError.
        """
        import cel

        known = {name: values[name] for name in self.reads if name in values}
        return self._program.execute(cel.Context(known, {**_OURS, **(functions or {})}))

    def holds(self, values: Mapping[str, Any]) -> tuple[bool, str]:
        """Whether it is true for these variables; where it is not, why in words. Never raises for data."""
        try:
            result = self.evaluate(values)
        except KeyError as error:
            return False, f"there is no {error}"
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            return False, _first_sentence(str(error))
        if result is True:
            return True, ""
        if result is False:
            return False, f"{self.source} is false"
        return False, f"{self.source} gives {_NAMES.get(type(result), 'something')}, not true or false"

    def number(self, values: Mapping[str, Any]) -> tuple[int | None, str]:
        """Its value as a whole number (fractions rounded down), for weights; None and why where it has none."""
        try:
            result = self.evaluate(values)
        except KeyError as error:
            return None, f"there is no {error}"
        except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
            return None, _first_sentence(str(error))
        if isinstance(result, bool) or not isinstance(result, int | float) or not abs(result) <= 2**62:
            return None, f"{self.source} gives {_NAMES.get(type(result), 'something')}, not a number"
        return int(result // 1), ""


@lru_cache(maxsize=4096)
def compile_expression(source: str, variables: frozenset[str], functions: frozenset[str] = frozenset()) -> Expression:
    """The expression, checked: it may read ``variables`` and call ``functions`` besides ``FUNCTIONS``.

    Raises ExpressionError for syntax, unknown variables, fields and functions, and for what could cost too much.
    """
    import cel

    bare = _TEXT.sub(lambda found: '"' + "_" * (len(found[0]) - 2) + '"', source)
    _bound_the_cost(source, bare)
    try:
        program = cel.compile(source)
    except ValueError as error:
        raise _syntax(str(error)) from None
    if _BARE_VERSION.search(bare):
        raise ExpressionError("version takes a text", bare.index("version") + 1, 'write version("12.1")')
    bound = {found[1] for found in _MACRO.finditer(bare)}
    used = set(program.variables()) - bound - _TYPES
    for name in sorted(used - variables):
        cure = did_you_mean(name, variables, what="variables here")
        raise ExpressionError(f"no variable is called '{name}' here", _column(bare, name), cure)
    for found in _FIELD.finditer(bare):
        root, name = found.groups()
        if root not in bound and name not in FIELDS[root]:
            raise ExpressionError(
                f"a {root} has no '{name}'", found.start(2) + 1, did_you_mean(name, FIELDS[root], what="it has")
            )
    known = set(FUNCTIONS) | functions
    for name in sorted(program.functions()):
        if name[0].isalpha() and name not in known:
            cure = did_you_mean(name, known, what="functions")
            raise ExpressionError(f"no function is called '{name}'", _column(bare, name), cure)
    return Expression(source, variables, frozenset(used & variables), program)


def _bound_the_cost(source: str, bare: str) -> None:
    if not source.strip():
        raise ExpressionError("the expression is empty", 1, "leave it out, or write true")
    if len(source) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters", 1, "split it")
    depth = 0
    for column, character in enumerate(bare, start=1):
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_NESTING:
            raise ExpressionError(f"is nested more than {MAX_NESTING} deep", column, "simplify it")
    macros = list(_MACRO.finditer(bare))
    if len(macros) > MAX_MACROS:
        column = macros[MAX_MACROS].start() + 1
        raise ExpressionError(f"has more than {MAX_MACROS} of exists, all, map and filter", column, "simplify it")


def _syntax(text: str) -> ExpressionError:
    """The first complaint of the parser: ``<input>:LINE:COLUMN: Syntax error: ...``."""
    found = _PLACE.search(text)
    if found is None:
        return ExpressionError("is not an expression: " + _first_sentence(text.rpartition("': ")[2] or text))
    words = found[3].split(" expecting ")[0].replace("<EOF>", "the end").removeprefix("Syntax error: ")
    words = re.sub(r"token recognition error at: '([\"'].*)'", r"\1 is not closed", words)
    cure = "close it or go on" if "the end" in words else "expressions are CEL: a == b, a && b, a in [b, c]"
    return ExpressionError(f"is not an expression: {words}", int(found[2]), cure)


def _column(bare: str, name: str) -> int:
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", bare)
    return found.start() + 1 if found else 0


def _first_sentence(text: str) -> str:
    return text.split("\n")[0].split(". ")[0].rstrip(".")[:200]


def version_key(text: object) -> object:
    """A text that compares as the version does; what is not a version compares as NaN, so that nothing holds."""
    found = _VERSION.match(text.strip().lstrip("vV")) if isinstance(text, str) else None
    if found is None:
        return float("nan")
    parts = found[0].split(".")
    while len(parts) > 1 and not parts[-1].strip("0"):
        parts.pop()  # 12 and 12.0 are one version
    return ".".join(part.lstrip("0").zfill(12) for part in parts)


def _quantity(text: object) -> object:
    try:
        amount = parse_quantity(text)
    except ValueError:
        return float("nan")
    return int(amount) if amount.denominator == 1 else float(amount)


_OURS = {"version": version_key, "quantity": _quantity}


def workload_variables(workload: Workload) -> dict[str, Any]:
    """``{"workload": ...}`` for an expression."""
    total = Resources()
    for role in workload.roles:
        total = total + role.requests
    return {"workload": _workload(workload, workload.replicas, total)}


def role_variables(workload: Workload, role: Role) -> dict[str, Any]:
    """``{"workload": ...}`` with the replicas and requests of one role only."""
    return {"workload": _workload(workload, role.replicas, role.requests)}


def _workload(workload: Workload, replicas: int, requests: Resources) -> dict[str, Any]:
    values: dict[str, Any] = {
        "name": workload.name,
        "queue": workload.queue,
        "labels": dict(workload.labels),
        "priority": workload.priority,
        "replicas": replicas,
        "requests": _natural(requests),
        "lifetime": workload.lifetime.value,
        **_memory_per_core(requests),
    }
    if workload.duration_s is not None:
        values["duration_s"] = workload.duration_s
    return values


def cluster_variables(cluster: Cluster) -> dict[str, Any]:
    """``{"cluster": ...}`` for an expression."""
    price = {name: micro * price_unit(name) / 1_000_000 for name, micro in cluster.price.items()}
    values = {"name": cluster.name, "labels": dict(cluster.labels), "provider": cluster.provider, "price": price}
    return {"cluster": {**values, "carbonIntensity": cluster.carbon_g_per_kwh}}


def flavor_variables(flavor: Flavor) -> dict[str, Any]:
    """``{"flavor": ...}`` for an expression."""
    allocatable = _natural(flavor.allocatable)
    values = {"name": flavor.name, "labels": dict(flavor.labels), "allocatable": allocatable}
    return {"flavor": {**values, **_memory_per_core(flavor.allocatable)}}


def _memory_per_core(amounts: Resources) -> dict[str, int]:
    """Nothing where there is no core."""
    return {"memoryPerCore": amounts[MEMORY] * 1000 // amounts[CPU]} if amounts[CPU] > 0 else {}


def _natural(resources: Resources) -> dict[str, int | float]:
    return {name: natural_amount(name, amount) for name, amount in resources.items_}
