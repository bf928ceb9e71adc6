"""Logs: one line of JSON per event (``ts``, ``level``, ``event`` and what belongs to it), readable text in a terminal.

Everything goes through one handler: our own events, those of libraries that use ``logging``, and warnings. Secrets
never get out: values of keys such as ``token`` or ``password``, and anything in a text that looks like a secret, are
replaced on the way.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

HIDDEN = "[redacted]"
SECRET_KEY = re.compile(
    r"(^|[_\-.])(token|tokens|authorization|password|passwd|secret|api[_-]?key|cookie|credentials?|private[_-]?key)$",
    re.IGNORECASE,
)
SECRET_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bfed_[A-Za-z0-9._\-]{6,}"), "fed_" + HIDDEN),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/\-]{6,}=*", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*"), HIDDEN),
    (re.compile(r"(://[^/\s:@]+:)[^@\s/]+@"), rf"\1{HIDDEN}@"),
)
"""Our own secrets, Authorization headers, JSON web tokens, and passwords in database URLs."""
MAX_DEPTH = 6
QUIET = {
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "aiosqlite": logging.WARNING,
    "kubernetes_asyncio": logging.INFO,
}
"""Libraries that say more than anybody wants to read at our own level."""

LineSink = Callable[[str], None]


def configure_logs(
    *, level: str = "info", as_json: bool | None = None, stream: TextIO | None = None, sink: LineSink | None = None
) -> None:
    """Send all logs to ``stream`` (default: standard error), or line by line to ``sink`` (the live table).

    ``as_json`` None: JSON unless the stream is a terminal. May be called again; the last call counts.
    """
    target = stream or sys.stderr
    if as_json is None:
        as_json = sink is None and not target.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    colours = sink is None and target.isatty()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), _with_logger_name, *shared],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _in_order,
            structlog.processors.JSONRenderer(default=str) if as_json else _readable(colours),
        ],
    )
    handler: logging.Handler = _SinkHandler(sink) if sink else logging.StreamHandler(target)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))
    logging.captureWarnings(True)


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: the same event without secrets."""
    return {key: HIDDEN if _is_secret(key) and value else without_secrets(value) for key, value in event.items()}


def without_secrets(value: Any, depth: int = 0) -> Any:
    """The value with everything hidden that is, or looks like, a secret; at any depth up to ``MAX_DEPTH``."""
    if isinstance(value, str):
        for pattern, instead in SECRET_TEXT:
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, bool | int | float | None):
        return value
    if depth >= MAX_DEPTH:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if _is_secret(str(key)) and inner else without_secrets(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(inner, depth + 1) for inner in value]
    return without_secrets(str(value), depth)


def _is_secret(key: str) -> bool:
    return SECRET_KEY.search(key) is not None


def _with_logger_name(logger: logging.Logger | None, _method: str, event: EventDict) -> EventDict:
    """Events of libraries say which library speaks."""
    record = event.get("_record")
    event["logger"] = record.name if record else getattr(logger, "name", "")
    return event


def _in_order(_logger: Any, _method: str, event: EventDict) -> MutableMapping[str, Any]:
    """``ts``, ``level`` and ``event`` first, the rest by name: lines are read by people too."""
    first = {key: event.pop(key) for key in ("ts", "level", "event") if key in event}
    return {**first, **dict(sorted(event.items()))}


def _readable(colours: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="ts", sort_keys=False, pad_event_to=40)


class _SinkHandler(logging.Handler):
    """Hands every line to a function."""

    def __init__(self, sink: LineSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        self._sink(self.format(record))
