"""How a command ends badly, and with which exit status: 1 the answer is no, 2 the input is wrong, 3 no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NO = 1
WRONG_INPUT = 2
UNREACHABLE = 3
INTERRUPTED = 130


class Failure(Exception):
    """Ends the command: the words go to standard error, the status to whoever called."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Refused(Failure):
    """The server answered with a problem document."""

    def __init__(self, http_status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(_words(http_status, problem), exit_status(http_status))
        self.http_status = http_status
        self.problem = problem


EXIT_STATUS: Mapping[int, int] = {400: WRONG_INPUT, 413: WRONG_INPUT, 415: WRONG_INPUT, 422: WRONG_INPUT}
"""For HTTP statuses below 500; those not named are a plain no."""

HINTS: Mapping[int, str] = {
    401: "give a token with --token-file or FEDERATOR_TOKEN_FILE",
    413: "hand it in in several parts",
    421: "use the name localhost, or the address that the server was told",
}


def exit_status(http_status: int) -> int:
    """The exit status for an answer that was not what was asked for."""
    return UNREACHABLE if http_status >= 500 else EXIT_STATUS.get(http_status, NO)


def _words(http_status: int, problem: Mapping[str, Any]) -> str:
    located: Sequence[Mapping[str, Any]] = problem.get("errors") or ()
    if located:
        return "\n".join(_located(one) for one in located)
    detail = str(problem.get("detail") or problem.get("title") or f"the server answered with status {http_status}")
    hint = HINTS.get(http_status)
    return f"{detail}; {hint}" if hint else detail


def _located(one: Mapping[str, Any]) -> str:
    place = f"{one.get('file')}:{one['line']}:{one.get('column')}" if one.get("line") else str(one.get("file", ""))
    words = ": ".join(part for part in (place, str(one.get("field") or ""), str(one.get("message") or "")) if part)
    return f"{words}; {one['cure']}" if one.get("cure") else words
