"""Logs: JSON lines that hold no secret."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from federator.telemetry.logs import configure_logs, without_secrets


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    made = io.StringIO()
    configure_logs(stream=made)
    return made


def test_an_event_is_one_json_object_with_time_level_and_event_first(stream: io.StringIO) -> None:
    structlog.get_logger("x").info("placed", workload="w", replicas=3)
    (line,) = lines(stream)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert (line["level"], line["event"], line["workload"], line["replicas"]) == ("info", "placed", "w", 3)
    assert line["ts"].endswith("Z")


def test_libraries_and_warnings_speak_through_the_same_lines(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("%d things", 3)
    warnings.warn("careful", stacklevel=1)
    first, second = lines(stream)
    assert (first["event"], first["logger"], first["level"]) == ("3 things", "some.library", "warning")
    assert "careful" in second["event"]


@pytest.mark.parametrize(
    "field",
    [
        {"token": "hunter22"},
        {"authorization": "hunter22"},
        {"db_password": "hunter22"},
        {"Api-Key": "hunter22"},
        {"outer": {"secret": "hunter22"}},
        {"outer": [{"password": "hunter22"}]},
        {"header": "Bearer hunter22hunter22"},
        {"text": "the token fed_ci_hunter22hunter22 was used"},
        {"url": "postgresql://federator:hunter22@db/federator"},
        {"jwt": "eyJhunter22abc.eyJhunter22.hunter22"},
    ],
)
def test_a_secret_never_gets_out(stream: io.StringIO, field: dict[str, Any]) -> None:
    structlog.get_logger("x").info("event", **field)
    assert "hunter22" not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()


def test_a_secret_in_an_exception_or_a_library_s_message_never_gets_out(stream: io.StringIO) -> None:
    try:
        raise RuntimeError("postgresql://u:hunter22@db refused fed_ci_hunter22")
    except RuntimeError:
        structlog.get_logger("x").exception("failed")
    logging.getLogger("lib").error("sent Bearer hunter22hunter22")
    assert "hunter22" not in stream.getvalue()
    assert "RuntimeError" in lines(stream)[0]["exception"]


def test_what_only_sounds_like_a_secret_stays(stream: io.StringIO) -> None:
    structlog.get_logger("x").info("event", token_file="/run/token", tokens=0, queue="fed_x")
    (line,) = lines(stream)
    assert (line["token_file"], line["tokens"], line["queue"]) == ("/run/token", 0, "fed_x")


def test_deep_and_odd_values_do_not_break_a_log_line(stream: io.StringIO) -> None:
    deep: Any = "end"
    for _ in range(50):
        deep = {"in": deep}
    structlog.get_logger("x").info("event", deep=deep, odd={1, 2}, thing=object())
    assert len(lines(stream)) == 1
    assert without_secrets({"a": None, "b": 1.5, "c": True}) == {"a": None, "b": 1.5, "c": True}


def test_the_level_is_kept(stream: io.StringIO) -> None:
    structlog.get_logger("x").debug("too fine")
    assert stream.getvalue() == ""
    configure_logs(stream=stream, level="debug")
    structlog.get_logger("x").debug("fine")
    assert [line["event"] for line in lines(stream)] == ["fine"]


def test_for_the_live_table_lines_go_to_a_function_as_text() -> None:
    got: list[str] = []
    configure_logs(sink=got.append)
    structlog.get_logger("x").info("placed", workload="w")
    assert len(got) == 1
    assert "placed" in got[0]
    assert "workload=w" in got[0]
