"""The pages tell the truth: commands are there, examples are valid, plans are as shown, links lead somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from federator.api.server import ROUTES
from federator.cli.main import COMMANDS, tree
from federator.documents import DocumentErrors, read_configuration, read_files, read_text
from federator.model.reasons import Reason
from federator.telemetry.metrics import Metrics
from tests.docs.pages import DOCS, GUIDES, ROOT, Shown, anchors, fences, links, named, pages, printed, shown

EXAMPLES = sorted((DOCS / "examples").rglob("*.yaml"))
CLUSTERS = DOCS / "examples" / "clusters.yaml"
WITH_MISTAKES = DOCS / "examples" / "mistakes.yaml"
OWN_CLUSTERS = re.compile(r"^kind: (Cluster|Configuration)$", re.MULTILINE)


def short(value: object) -> str:
    """The name of a case in a test's report."""
    return value.name if isinstance(value, Path) else str(getattr(value, "line", value))


@pytest.mark.parametrize("page", pages(), ids=short)
def test_every_link_leads_to_a_page_and_heading_that_are_there(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.relative_to(ROOT)}: {target.name} has no heading {anchor}"


@pytest.mark.parametrize("page", pages(), ids=short)
def test_every_command_that_a_page_shows_is_one_of_the_program(page: Path) -> None:
    for line in [*(one.line for one in shown(page)), *named(page)]:
        for command in re.split(r"\| *(?=federator )", line):
            check_command(page, command)


@pytest.mark.parametrize("example", [path for path in EXAMPLES if path != WITH_MISTAKES], ids=short)
def test_every_example_is_valid(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    if "kind: Configuration" in text:
        assert read_configuration(example).spec is not None
    else:
        beside = [] if OWN_CLUSTERS.search(text) else [CLUSTERS]
        assert read_files([*beside, example]).all


def test_the_example_with_mistakes_has_all_of_them() -> None:
    with pytest.raises(DocumentErrors) as caught:
        read_files([CLUSTERS, WITH_MISTAKES])
    assert len(caught.value.problems) == 4


def test_every_example_is_used_by_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    assert [path.name for path in EXAMPLES if str(path.relative_to(ROOT)) not in text] == []


@pytest.mark.parametrize("one", [one for page in GUIDES for one in shown(page) if one.runs], ids=short)
def test_the_program_prints_what_the_guide_says(one: Shown) -> None:
    """``python -m tests.docs.pages`` writes the pages anew where the program is right and the page is not."""
    assert printed(one.arguments) == one.output


@pytest.mark.parametrize("page", GUIDES, ids=short)
def test_yaml_in_the_guides_is_valid_and_excerpts_are_from_the_file_they_name(page: Path) -> None:
    for block in fences(page.read_text(encoding="utf-8"), "yaml"):
        first, _, rest = block.partition("\n")
        if first.startswith("# docs/examples/"):
            source = (ROOT / first.removeprefix("# ")).read_text(encoding="utf-8")
            assert rest.strip("\n") in source, f"{page.name}: {first} does not hold this:\n{rest}"
        elif "kind: Configuration" not in block and block.startswith("apiVersion: federator.dev/"):
            assert read_text(block, page.name).all


def test_the_guide_to_policies_explains_every_reason() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", (DOCS / "policies.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(explained) == sorted(reason.value for reason in Reason)


def test_every_decision_is_in_the_index() -> None:
    folder = DOCS / "decisions"
    listed = {link for link in links(folder / "README.md") if "/" not in link}
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}


@cache
def command_tree() -> Any:
    """The whole tree of commands."""
    return typer.main.get_command(tree())


def check_command(page: Path, line: str) -> None:
    """Fail if the line names a command or an option that the program does not have."""
    words = re.findall(r"[^\s\[\]]+", line.partition("#")[0])[1:]
    command = command_tree()
    if not words or words[0].startswith("-") or words[0].isupper():
        return
    for name in words[0].split("/"):
        assert name in command.commands, f"{page.name}: there is no command {name!r} ({line})"
    command = command.commands[words[0].split("/")[0]]
    rest = words[1:]
    if hasattr(command, "commands") and rest and not rest[0].startswith(("-", "…")):
        for name in rest[0].rstrip(",").split("|"):
            assert name in command.commands, f"{page.name}: there is no command {words[0]} {name!r} ({line})"
        command = command.commands[rest[0].split("|")[0].rstrip(",")]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        option = re.match(r"--?[a-z][a-z-]*", word)
        if option and option[0] != "--help":
            assert option[0] in known, f"{page.name}: {words[0]} has no option {option[0]} ({line})"


def test_the_check_of_commands_notices_a_slip() -> None:
    """A planted mistake: without it the test above could pass by looking at nothing."""
    for line in ("federator plane x.yaml", "federator plan --befor 5m", "federator token make me"):
        with pytest.raises(AssertionError):
            check_command(DOCS / "cli.md", line)
    assert {command.name for command in COMMANDS} == set(command_tree().commands)


@pytest.mark.parametrize("page", [DOCS / "backfill.md", DOCS / "metrics.md", DOCS / "operations.md"], ids=short)
def test_every_metric_that_a_page_names_is_one_of_the_daemon(page: Path) -> None:
    """So that what is pasted into Prometheus from here finds something."""
    families = [family for family in Metrics().registry.collect() if family.name.startswith("federator_")]
    known = {family.name + end for family in families for end in ("", "_total", "_bucket", "_sum", "_count", "_info")}
    for name in re.findall(r"\bfederator_[a-z_]+[a-z](?![a-z_]*\.)", page.read_text(encoding="utf-8")):
        assert name in known, f"{page.name} names {name}, which is no metric"


def test_the_page_of_metrics_has_every_metric_and_its_tables_are_whole() -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(federator_\w+)` \|", text, re.MULTILINE))
    families = [family for family in Metrics().registry.collect() if family.name.startswith("federator_")]
    ends = {"counter": "_total", "info": "_info"}
    assert rows == {family.name + ends.get(family.type, "") for family in families}
    assert not re.search(r"^\|.*\n\n\|", text, re.MULTILINE), "an empty line cuts a table in two"


def test_the_page_of_the_api_has_every_path_and_every_kind_of_problem() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    pilots = (DOCS / "pilots.md").read_text(encoding="utf-8")
    for route in ROUTES:
        steps = [step for step in route.path.split("/") if step and step[0] != "{"]
        assert f"`/{'/'.join(steps[:3])}" in text, f"api.md does not name {route.path}"
        verb = steps[3] if len(steps) > 3 else ""
        assert verb in (pilots if steps[2:3] == ["pilots"] else text), f"no page names {route.path}"
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "federator" / "api").glob("*.py"))
    slugs = set(re.findall(r"Problem\(\s*\d+, \"([a-z-]+)\"", source)) | {"method-not-allowed"}
    assert [slug for slug in sorted(slugs) if f"`{slug}`" not in text] == []
