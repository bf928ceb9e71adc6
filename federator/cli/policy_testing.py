"""policy test: runs the policy tests among documents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer

from federator.cli.failures import NO, WRONG_INPUT, Failure
from federator.cli.files import FilesArgument, read
from federator.cli.output import Format, FormatOption, document, say
from federator.cli.reporting import check_places
from federator.cli.simulating import traces_folder
from federator.simulator.policy_tests import Verdict, judged
from federator.simulator.traces.opening import TraceError


def run_tests(
    files: FilesArgument,
    junit: Annotated[Path | None, typer.Option(help="Also write the results there, as JUnit XML.")] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Run the policy tests among these documents: status 1 if any fails, with an account of the first moment."""
    check_places(junit)
    found = read(files).policy_tests
    if not found:
        raise Failure(f"there is no PolicyTest in {', '.join(files)}", WRONG_INPUT)
    try:
        verdicts = [judged(one, traces_folder()) for one in found]
    except TraceError as error:
        raise Failure(str(error), WRONG_INPUT) from None
    if junit is not None:
        junit.write_bytes(as_junit(verdicts))
    if form in (Format.JSON, Format.YAML):
        document(
            [{"name": v.name, "file": v.file, "plans": v.plans, "failures": list(v.failures)} for v in verdicts], form
        )
    else:
        for verdict in verdicts:
            say(f"{'FAILED' if verdict.failures else 'ok':8}{verdict.name} ({verdict.file}, {verdict.plans} plans)")
            for failure in verdict.failures:
                say("\n".join(f"        {line}" for line in failure.splitlines()))
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    if failed:
        raise Failure(f"{failed} of {len(verdicts)} policy tests failed", NO)


def as_junit(verdicts: list[Verdict]) -> bytes:
    """The results as CI systems read them."""
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    suite = ElementTree.Element(
        "testsuite",
        name="federator policy test",
        tests=str(len(verdicts)),
        failures=str(failed),
        errors="0",
        skipped="0",
    )
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", name=verdict.name, classname=verdict.file)
        for failure in verdict.failures:
            told = ElementTree.SubElement(case, "failure", message=failure.splitlines()[0])
            told.text = failure
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)) + b"\n"
