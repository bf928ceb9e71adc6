"""The pages of the scenarios that ship show what their commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from federator.cli.main import execute

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"```console\n\$ federator (.*)\n((?:.*\n)*?)```")
PAGES = sorted((ROOT / "simulations").glob("*/README.md"))
CASES = [(page.parent.name, *found) for page in PAGES for found in SHOWN.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("page", "command", "shown"), CASES, ids=[f"{page}-{at}" for at, (page, *_) in enumerate(CASES)]
)
def test_a_page_shows_what_its_command_prints(
    page: str, command: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert execute(shlex.split(command)) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("plans")]
    assert printed == shown.splitlines(), page


def test_every_scenario_has_a_page_that_shows_a_run_of_it() -> None:
    folders = {path.parent for path in (ROOT / "simulations").glob("*/*.yaml")}
    assert {folder.name for folder in folders} == {page for page, *_ in CASES}
