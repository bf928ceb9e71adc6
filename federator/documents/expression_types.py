"""What an expression gives, where that can be told without any data: constants, and fields by themselves.

CEL is not typed ahead, so a slip like ``where: cluster.labels.gpu`` (a text) would otherwise just never hold.
"""

from __future__ import annotations

import re

from federator.documents.expressions import Expression, ExpressionError

_END = r"(?:\.\w+|\[(?:\"[^\"]*\"|'[^']*')\])"
_TEXTS = re.compile(rf"(?:\w+\.(?:name|queue|provider|lifetime)|\w+\.labels{_END})")
_NUMBERS = re.compile(
    r"(?:workload\.(?:priority|replicas|duration_s)|(?:workload|flavor)\.memoryPerCore|cluster\.carbonIntensity"
    rf"|(?:workload\.requests|flavor\.allocatable|cluster\.price){_END})"
)
_NAMES = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a map"}


def check_condition(expression: Expression) -> None:
    """Raises ExpressionError where it can never be true or false."""
    gives = _given(expression)
    if gives not in ("", "true or false"):
        example = {"a text": '"..."', "a number": "0"}.get(gives)
        cure = f"compare it: {expression.source.strip()} {'>' if example == '0' else '=='} {example}" if example else ""
        raise ExpressionError(f"gives {gives}, not true or false", 0, cure or "write what must hold")


def check_number(expression: Expression) -> None:
    """Raises ExpressionError where it can never be a number."""
    gives = _given(expression)
    if gives not in ("", "a number"):
        source = expression.source.strip()
        cure = f"write int({source})" if _TEXTS.fullmatch(source) else "write what gives a whole number"
        raise ExpressionError(f"gives {gives}, not a number", 0, cure)


def _given(expression: Expression) -> str:
    """What it gives, in words; "" where only data can tell. Raises ExpressionError where it always fails."""
    source = expression.source.strip()
    if expression.reads:
        return "a text" if _TEXTS.fullmatch(source) else "a number" if _NUMBERS.fullmatch(source) else ""
    try:
        result = expression.evaluate({})
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        words = str(error).split("\n")[0].split(". ")[0].rstrip(".")[:200]
        raise ExpressionError(f"always fails: {words}", 0, "write one that can be evaluated") from None
    return _NAMES.get(type(result), "something else")
