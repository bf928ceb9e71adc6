"""The pages for people, as data: their console blocks, YAML blocks, links and the commands they name.

``python -m tests.docs.pages`` runs the offline commands of the guides again and writes what they print into the pages.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from federator.cli.main import execute

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GUIDES = (DOCS / "quickstart.md", DOCS / "policies.md", DOCS / "operations.md")
"""The pages whose offline commands are run, and must print what the page says."""
OFFLINE = ("plan", "policy", "schema")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
NAMED = re.compile(r"`(federator [^`]+)`")


@dataclass(frozen=True)
class Shown:
    """A command that a page shows, and what the page says it prints."""

    page: Path
    line: str
    output: str

    @property
    def arguments(self) -> list[str]:
        """Its words without the program, options and all; a comment behind it left out."""
        return shlex.split(self.line, comments=True)[1:]

    @property
    def runs(self) -> bool:
        """Whether it needs no daemon and no shell."""
        return self.line.startswith(tuple(f"federator {word} " for word in OFFLINE)) and not set("|<>") & set(self.line)


def pages() -> list[Path]:
    """All pages, the README among them."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def fences(text: str, language: str) -> Iterator[str]:
    """The bodies of the fenced blocks of a language."""
    return (match[2] for match in FENCE.finditer(text) if match[1] == language)


def shown(page: Path) -> list[Shown]:
    """The federator's commands in the console blocks of a page, with their output."""
    found = []
    for block in fences(page.read_text(encoding="utf-8"), "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            line = line.removeprefix(".venv/bin/")
            if line.startswith("federator"):
                found.append(Shown(page, line, output))
    return found


def named(page: Path) -> list[str]:
    """The federator's commands that a page names in its text or in shell blocks."""
    text = page.read_text(encoding="utf-8")
    lines = [line.strip() for block in (*fences(text, "sh"), *fences(text, "")) for line in block.splitlines()]
    return [*NAMED.findall(FENCE.sub("", text)), *(line for line in lines if line.startswith("federator "))]


def links(page: Path) -> list[str]:
    """Where the links of a page lead, but for those to other sites."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [link for link in LINK.findall(text) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def printed(arguments: list[str]) -> str:
    """What a command prints in the repository's folder, errors and warnings as they come."""
    into = io.StringIO()
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(into), contextlib.redirect_stderr(into):
            execute(arguments)
    finally:
        os.chdir(before)
    return into.getvalue()


def renew(page: Path) -> None:
    """Write what the offline commands of a page print now into it."""
    text = page.read_text(encoding="utf-8")
    for one in shown(page):
        if one.runs:
            text = text.replace(f"$ {one.line}\n{one.output}", f"$ {one.line}\n{printed(one.arguments)}")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for guide in GUIDES:
        renew(guide)
