"""Commands that go to the database itself, and how the daemon is found."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from federator.cli.connection import connect, write_endpoint, write_private
from federator.cli.failures import Failure
from federator.cli.main import COMMANDS
from federator.cli.output import age, amount, clean, span
from tests.cli.conftest import Run


def test_the_schema_is_made_once(run: Run) -> None:
    first, second = run("db", "upgrade"), run("db", "upgrade")
    assert (first.status, first.out) == (0, "the schema is up to date now\n"), first.err
    assert (second.status, second.out) == (0, "the schema was up to date\n")


def test_tokens_are_made_in_the_database_and_survive_a_backup(run: Run, tmp_path: Path) -> None:
    here, there = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    made = run("token", "new", "ops", "--role", "operator", "--database", here)
    assert made.out.startswith("fed_ops_"), made.err
    assert run("token", "new", "ops", "--role", "operator", "--database", here).status == 1
    assert run("db", "backup", "copy.gz", "--database", here).status == 0
    assert run("db", "restore", "copy.gz", "--database", there).status == 0
    listed = run("token", "list", "--database", there, "-o", "json")
    assert [one["name"] for one in listed.json["items"]] == ["ops"]
    assert made.out.strip() not in listed.out
    for file in tmp_path.iterdir():
        assert made.out.strip().encode() not in file.read_bytes(), "only the hash may be kept"
    assert run("token", "revoke", "ops", "--database", there).status == 0
    assert run("token", "revoke", "ops", "--database", there).status == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("db", "backup", "copy.gz", "--database", "sqlite:///nowhere/x.db"), 3),
        (("db", "restore", "nothing.gz", "--database", "sqlite:///x.db"), 2),
        (("db", "upgrade", "--database", "mysql://x"), 3),
        (("db", "upgrade", "--config", "nothing.yaml"), 2),
        (("run", "--config", "nothing.yaml"), 2),
        (("token", "new", "x", "--role", "reader", "--database", "sqlite:///x.db", "--to-file", "/proc/none/x"), 2),
    ],
)
def test_what_cannot_be_opened_is_told_without_a_traceback(run: Run, arguments: tuple[str, ...], status: int) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (status, ""), result.err
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err


def test_a_private_file_is_whole_and_nobody_else_s(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    write_private(path, "one\n")
    write_private(path, "two\n")
    assert path.read_text() == "two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path], "nothing half-written is left behind"


def test_a_daemon_leaves_its_address_for_the_commands_of_its_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    token = tmp_path / "var" / "admin.token"
    write_private(token, "fed_admin_x\n")
    path = write_endpoint(tmp_path / "var", "http://127.0.0.1:1", token)
    assert json.loads(path.read_text()) == {"url": "http://127.0.0.1:1", "token_file": str(token), "pid": os.getpid()}
    found = connect(None, None)
    assert (found.url, found.token) == ("http://127.0.0.1:1", "fed_admin_x")
    elsewhere = connect("http://192.0.2.1:1/", None)
    assert (elsewhere.url, elsewhere.token) == ("http://192.0.2.1:1", ""), "the local token is for the local daemon"


@pytest.mark.parametrize("text", ["", "two words", "é"])
def test_a_token_file_that_holds_no_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(Failure, match="does not hold one token"):
        connect("http://localhost:1", path)


def test_amounts_and_ages_read_as_people_write_them() -> None:
    assert [amount("cpu", value) for value in (64.0, 0.5, 0.0, 1.234)] == ["64", "0.5", "0", "1.23"]
    assert [amount("memory", value) for value in (0, 512, 1024, 1.5 * 2**30)] == ["0", "512", "1Ki", "1.5Gi"]
    assert [span(value) for value in (5, 119, 120, 7200, 200_000)] == ["5s", "119s", "2m", "2h", "2d"]
    assert age(None) == ""
    assert age(100.0, now_s=145.0) == "45s"
    assert clean("a\x1b[31mb\nc") == "a?[31mb\nc"


def test_the_version_and_the_help_are_shown(run: Run) -> None:
    assert run("--version").out.startswith("federator 0.")
    text = run("--help").out
    for command in COMMANDS:
        assert f" {command.name} " in text, command
    assert run("get", "--help").status == 0
