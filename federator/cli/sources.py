"""FILES as client commands take them: files, folders and ``-``, each document checked by itself before it is sent.

Names that documents use of each other (a policy's clusters) are left to the server, which knows what there is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from federator.api.incoming import flat, slips_of
from federator.cli.failures import WRONG_INPUT, Failure, Refused
from federator.documents.entries import Entry
from federator.documents.problems import DocumentErrors, Problem, field_path
from federator.documents.reading import SUFFIXES
from federator.documents.yaml_reader import TextRefused, read_yaml

FilesOption = Annotated[
    list[str], typer.Option("--filename", "-f", help="A file, a folder, or - for standard input. May be repeated.")
]


def read_sources(names: Sequence[str]) -> list[Entry]:
    """All documents of these files. Raises DocumentErrors with everything that is wrong in any of them, or Failure."""
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name in names:
        for file, text in _texts(name):
            try:
                for value, marks in read_yaml(text, file):
                    if value is not None:
                        entries += flat(file, value, marks)
            except TextRefused as error:
                problems.append(error.problem)
    problems += slips_of(entries)
    if problems:
        raise DocumentErrors(problems)
    if not entries:
        raise Failure(f"there is no document in {', '.join(names)}", WRONG_INPUT)
    return entries


def _texts(name: str) -> Iterator[tuple[str, str]]:
    try:
        if name == "-":
            yield "standard input", sys.stdin.buffer.read().decode("utf-8-sig")
            return
        path = Path(name)
        for one in _files_in(path) if path.is_dir() else [path]:
            yield str(one), one.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failure(f"{name}: is not UTF-8 text; save it as UTF-8", WRONG_INPUT) from error
    except OSError as error:
        raise Failure(f"{error.filename or name}: {(error.strerror or str(error)).lower()}", WRONG_INPUT) from error


def _files_in(folder: Path) -> list[Path]:
    """All documents below a folder, hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def in_their_files(refused: Refused, sources: Sequence[Entry]) -> Refused:
    """The same refusal, with the places in the user's files of what the server calls ``Workload/w``."""
    known = {source.called: source for source in sources}
    errors = [_in_its_file(one, known) for one in refused.problem.get("errors") or ()]
    return Refused(refused.http_status, {**refused.problem, "errors": errors})


def _in_its_file(error: Mapping[str, Any], known: Mapping[str, Entry]) -> Mapping[str, Any]:
    source = known.get(str(error.get("file")))
    if source is None:
        return error
    path = next((path for path in _paths(source.raw) if field_path(path) == error.get("field")), ())
    line, column = source.place(path)
    return {**error, "file": source.file, "line": line, "column": column}


def _paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every path into a JSON value."""
    yield above
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _paths(inside, (*above, key))
    elif isinstance(value, list):
        for at, inside in enumerate(value):
            yield from _paths(inside, (*above, at))
