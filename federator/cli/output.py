"""How results are shown: tables for people, one JSON or YAML document, or names, always on standard output alone."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Sequence[Any]


class Format(StrEnum):
    """What ``-o`` takes."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


FormatOption = Annotated[Format, typer.Option("--output", "-o", help="How to show the result.")]
PIPE_COLUMNS = 10_000
"""The width where nobody looks: a row stays one line, for grep and awk."""


def console(width: int | None = None) -> Console:
    """Standard output; in a terminal as wide as that is."""
    terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        markup=False,
        highlight=False,
        soft_wrap=False,
        width=width or (None if terminal else PIPE_COLUMNS),
    )


def table(columns: Sequence[str], rows: Iterable[Row], *, width: int | None = None, headings: bool = True) -> None:
    """Print rows under headings; text wraps in a terminal and stays in one line elsewhere, unless a width is given."""
    made = Table(box=None, padding=(0, 3, 0, 0), header_style="bold", pad_edge=False, show_header=headings)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    out = console(width)
    with out.capture() as captured:
        out.print(made)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


STYLES: Mapping[str, str] = {
    "running": "green", "finished": "green", "up": "green", "waiting": "yellow", "away": "red", "lost": "red",
    "failed": "red", "suspect": "red", "cancelled": "dim", "cordoned": "yellow", "draining": "yellow",
    "downtime": "yellow",
}  # fmt: skip


def cell(value: Any) -> Text:
    """A value as text for a terminal, without the control characters that others may have put into it."""
    text = "" if value is None else str(value)
    return Text(clean(text), style=STYLES.get(text, ""))


def clean(text: str) -> str:
    """The text without characters that would steer the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def document(value: Any, form: Format) -> None:
    """Print one JSON or YAML document."""
    if form is Format.JSON:
        sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
    else:
        sys.stdout.write(yaml_text(value))


def yaml_text(*values: Any) -> str:
    """The values as YAML documents, keys in their order."""
    import yaml  # slow to import, and seldom needed

    plain = json.loads(json.dumps(values, default=str))
    return "---\n".join(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120) for value in plain)


def say(text: str) -> None:
    """A line for people, on standard output."""
    sys.stdout.write(clean(text) + "\n")


def complain(text: str) -> None:
    """A line for people, on standard error, if somebody reads it."""
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(clean(text) + "\n")


def amount(resource: str, value: float) -> str:
    """An amount of a resource in its base unit, as people write it: ``64``, ``256Gi``."""
    if resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-"):
        return _binary(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def _binary(value: float) -> str:
    for power, unit in ((5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if abs(value) >= 1024**power:
            return f"{value / 1024**power:.1f}".removesuffix(".0") + unit
    return f"{value:.0f}"


def age(at_s: float | None, now_s: float | None = None) -> str:
    """How long ago, as kubectl writes it: ``45s``, ``12m``, ``5h``, ``3d``."""
    if not at_s:
        return ""
    return span(max(0.0, (time.time() if now_s is None else now_s) - at_s))


def moment(at_s: float) -> str:
    """A time of day with its date, in this machine's time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, length, shown_until in (("s", 1, 120), ("m", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < shown_until:
            return f"{int(seconds / length)}{unit}"
    return f"{int(seconds / 86400)}d"
